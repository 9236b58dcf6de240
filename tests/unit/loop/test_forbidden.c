/* SPDX-License-Identifier: Apache-2.0 */
/* A container that forbids io_uring: the loop says so, and what to allow. Each case is a child
 * process with a seccomp filter of its own. */
#include "loop_test.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

static void find_words(void *arg, enum bc_log_level level, const char *line)
{
    bool *found = arg;

    (void)level;
    *found = strstr(line, "io_uring_setup") != NULL && strstr(line, "io_uring_enter") != NULL;
}

static int forbid_io_uring(int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = BC_ARRAY_LEN(filter), .filter = filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return -errno;
    }
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0 ? -errno : 0;
}

/* 0: as wanted, 1: not, 77: no seccomp here. */
static int child(int error)
{
    struct bc_loop_options options = {.name = "test"};
    struct bc_loop *loop = NULL;
    bool found = false;

    if (forbid_io_uring(error) != 0) {
        return 77;
    }
    bc_log_set_sink(find_words, &found);
    return bc_loop_create(&options, &loop) == -error && found ? 0 : 1;
}

static void explained(int error)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(child(error));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void forbidden_io_uring_is_explained(void **state)
{
    (void)state;
    explained(EPERM);
}

static void missing_io_uring_is_explained(void **state)
{
    (void)state;
    explained(ENOSYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forbidden_io_uring_is_explained),
        cmocka_unit_test(missing_io_uring_is_explained),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
