/* SPDX-License-Identifier: Apache-2.0 */
/* failing_calls.c - runs a program and lets a chosen system call of it fail.
 *
 *   failing_calls count FILE PROGRAM...             FILE gets a line "NAME NUMBER" for every call of
 *                                                   the table below that the program made
 *   failing_calls fail NAME ERRNO N[+] PROGRAM...   the N-th NAME (from 1) fails with ERRNO, a
 *                                                   number; N+: that one and all behind it
 *
 * The kernel asks this process about every such call (a seccomp filter with a listener), so those
 * that no library function stands for are reached too, io_uring's among them. Counted is over all
 * threads together, and only behind the program's prctl(BC_TEST_BEGIN), which failing_malloc.so
 * makes before main: no program survives a failure in the dynamic linker.
 *
 * Exit status: the program's; 128 + N when it was ended by signal N; 125 when it could not be run,
 * 126 when the kernel or the container does not allow this. SIGTERM and SIGINT go to the program,
 * which does not outlive this process.
 * Invariant: one thread; between fork and exec the child makes system calls only. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "failing_calls.h"

#define EXIT_NOT_RUN     125
#define EXIT_NOT_ALLOWED 126

/* Never futex, exit or what gives memory back: there a failure is a broken kernel. */
#define CALL(name)        \
    {                     \
#name, SYS_##name \
    }
static const struct {
    const char *name;
    int number;
} calls[] = {
    CALL(openat),
    CALL(mmap),
    CALL(mprotect),
    CALL(madvise),
    CALL(io_uring_setup),
    CALL(io_uring_enter),
    CALL(io_uring_register),
    CALL(socket),
    CALL(bind),
    CALL(listen),
    CALL(setsockopt),
    CALL(getsockopt),
    CALL(getsockname),
    CALL(getpeername),
    CALL(connect),
    CALL(accept4),
    CALL(eventfd2),
    CALL(memfd_create),
    CALL(clone3),
    CALL(mkdirat),
    CALL(renameat),
    CALL(renameat2),
    CALL(linkat),
    CALL(unlinkat),
    CALL(fsync),
    CALL(fdatasync),
    CALL(ftruncate),
    CALL(fallocate),
    CALL(flock),
    CALL(fcntl),
    CALL(read),
    CALL(pread64),
    CALL(write),
    CALL(pwrite64),
    CALL(getdents64),
    CALL(statfs),
    CALL(fstatfs),
    CALL(newfstatat),
    CALL(recvfrom),
    CALL(sendto),
    CALL(recvmsg),
    CALL(sendmsg),
    CALL(ppoll),
    CALL(getrandom),
    CALL(prlimit64),
    CALL(timerfd_create),
    CALL(pidfd_open),
    CALL(rt_sigtimedwait),
    CALL(process_vm_readv),
    CALL(process_vm_writev),
    CALL(sched_getaffinity),
#ifdef SYS_mkdir
    CALL(mkdir),
    CALL(poll),
#endif
};
#define CALLS ((int)(sizeof(calls) / sizeof(calls[0])))

static unsigned long counted[sizeof(calls) / sizeof(calls[0])];
static bool begun;
static int chosen = -1; /* of calls; negative: only count */
static int error_number;
static unsigned long fail_at;
static bool and_all_behind;
static pid_t program;

static void pass_on(int number)
{
    if (program > 0) {
        kill(program, number);
    }
}

static int find_call(const char *name)
{
    for (int i = 0; i < CALLS; i++) {
        if (strcmp(calls[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

/* Asks about the chosen call, or about all; and about prctl, for the mark. */
static size_t make_filter(struct sock_filter *filter)
{
    size_t len = 0;

    filter[len++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < CALLS; i++) {
        if (chosen < 0 || chosen == i) {
            filter[len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                                         (uint32_t)calls[i].number, 0, 1);
            filter[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
        }
    }
    filter[len++] =
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)SYS_prctl, 0, 3);
    filter[len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                                 offsetof(struct seccomp_data, args[0]));
    filter[len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, BC_TEST_BEGIN, 0, 1);
    filter[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    filter[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    return len;
}

/* In the child, which shares its table of descriptors with the parent until it is the program:
 * that is how the parent gets the listener. *place: the descriptor + 1, or a negative errno. */
static void become_program(char **argv, struct sock_fprog *filter, int *place)
{
    long listener;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    listener =
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, filter);
    __atomic_store_n(place, listener < 0 ? -errno : (int)listener + 1, __ATOMIC_RELEASE);
    if (listener >= 0) {
        execv(argv[0], argv); /* closes the child's listener */
    }
    _exit(listener < 0 ? EXIT_NOT_ALLOWED : EXIT_NOT_RUN);
}

static int index_of(int number)
{
    for (int i = 0; i < CALLS; i++) {
        if (calls[i].number == number) {
            return i;
        }
    }
    return -1;
}

static bool should_fail(const struct seccomp_notif *asked)
{
    int index = index_of(asked->data.nr);

    if (!begun || index < 0) {
        return false;
    }
    counted[index]++;
    return index == chosen &&
           (and_all_behind ? counted[index] >= fail_at : counted[index] == fail_at);
}

static void answer_one(int listener)
{
    struct seccomp_notif asked;
    struct seccomp_notif_resp answer;

    memset(&asked, 0, sizeof(asked));
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0) {
        return; /* the thread that asked is gone */
    }
    memset(&answer, 0, sizeof(answer));
    answer.id = asked.id;
    if (asked.data.nr == SYS_prctl) {
        begun = true;
    } else if (should_fail(&asked)) {
        answer.error = -error_number;
    } else {
        answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    }
    (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

/* Answers until the program has ended; its wait status. */
static int answer_all(int listener)
{
    struct pollfd polled = {.fd = listener, .events = POLLIN};
    int status = 0;

    while (waitpid(program, &status, WNOHANG) == 0) {
        /* When nobody is left to ask it hangs up; not with older kernels, hence the time. */
        int ready = poll(&polled, 1, 50);
        if (ready > 0 && (polled.revents & POLLIN) != 0) {
            answer_one(listener);
        } else if (ready > 0) {
            waitpid(program, &status, 0);
            break;
        }
    }
    return status;
}

static int write_counts(const char *path)
{
    FILE *file = fopen(path, "we");

    if (file == NULL) {
        return -1;
    }
    for (int i = 0; i < CALLS; i++) {
        fprintf(file, "%s %lu\n", calls[i].name, counted[i]);
    }
    return fclose(file);
}

static int run(char **argv)
{
    struct sock_filter instructions[2 * CALLS + 8];
    struct sock_fprog filter = {.filter = instructions};
    int *place = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int listener;
    int status;

    if (place == MAP_FAILED) {
        return EXIT_NOT_RUN;
    }
    filter.len = (unsigned short)make_filter(instructions);
    program = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
    if (program < 0) {
        return EXIT_NOT_RUN;
    }
    if (program == 0) {
        become_program(argv, &filter, place);
    }
    while ((listener = __atomic_load_n(place, __ATOMIC_ACQUIRE)) == 0) {
        sched_yield();
    }
    if (listener < 0) {
        fprintf(stderr, "failing_calls: not allowed: %s\n", strerror(-listener));
        waitpid(program, NULL, 0);
        return EXIT_NOT_ALLOWED;
    }
    status = answer_all(listener - 1);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
    bool counting = argc >= 4 && strcmp(argv[1], "count") == 0;
    int status;

    signal(SIGTERM, pass_on);
    signal(SIGINT, pass_on);
    if (!counting) {
        char *end = NULL;

        if (argc < 6 || strcmp(argv[1], "fail") != 0 || (chosen = find_call(argv[2])) < 0) {
            fprintf(stderr, "failing_calls: see the head of failing_calls.c\n");
            return EXIT_NOT_RUN;
        }
        error_number = atoi(argv[3]);
        fail_at = strtoul(argv[4], &end, 10);
        and_all_behind = *end == '+';
    }
    status = run(argv + (counting ? 3 : 5));
    if (counting && write_counts(argv[2]) != 0) {
        return EXIT_NOT_RUN;
    }
    return status;
}
