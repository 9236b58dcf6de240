/* SPDX-License-Identifier: Apache-2.0 */
/* host_side.c - see host_side.h. */
#include "host_side.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "ring.h"

#define ANSWER_S 60

enum command {
    COMMAND_FILL = 1,
    COMMAND_SPOIL = 2,
    COMMAND_CHECK = 3,
};

struct order {
    uint32_t command;
    uint32_t reserved;
    uint64_t seed;
    uint64_t offset;
    uint64_t len;
};

struct hello {
    uint64_t addr;
    uint32_t desc_len;
    uint8_t desc[BC_HOST_SIDE_DESC_MAX];
};

static void serve(int socket, void *ring, size_t len)
{
    struct order order;

    while (recv(socket, &order, sizeof(order), 0) == (ssize_t)sizeof(order)) {
        uint32_t answer = 1;

        if (order.command == COMMAND_FILL) {
            bc_ring_fill(ring, len, order.seed, 0);
        } else if (order.command == COMMAND_SPOIL) {
            bc_ring_spoil((uint8_t *)ring + order.offset, order.len);
        } else {
            answer = bc_ring_check(ring, len, order.seed, 0);
        }
        if (send(socket, &answer, sizeof(answer), MSG_NOSIGNAL) != (ssize_t)sizeof(answer)) {
            break;
        }
    }
}

static void child_main(int socket, const char *kind, size_t len, bc_host_side_export_fn make_desc)
{
    static struct hello hello;
    void *ring;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* Its maker copies from and to it by system calls. */
    (void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    ring = bc_ring_alloc(kind, len);
    hello.addr = (uint64_t)(uintptr_t)ring;
    hello.desc_len = make_desc != NULL ? make_desc(ring, len, hello.desc) : 0;
    if (send(socket, &hello, sizeof(hello), MSG_NOSIGNAL) == (ssize_t)sizeof(hello)) {
        serve(socket, ring, len);
    }
    _exit(0);
}

static pid_t started_pid;
static int started_socket;

/* It ends when its socket closes; waiting for it gives its processor time to whoever counts ours. */
static void stop(void)
{
    (void)close(started_socket);
    (void)waitpid(started_pid, NULL, 0);
}

static void receive(const struct bc_host_side *side, void *into, size_t len)
{
    ssize_t got;

    do {
        got = recv(side->socket, into, len, 0);
    } while (got < 0 && errno == EINTR);
    if (got != (ssize_t)len) {
        bc_harness_fail("the host's process does not answer");
    }
}

void bc_host_side_start(struct bc_host_side *side, const char *kind, size_t len,
                        bc_host_side_export_fn make_desc)
{
    static struct hello hello;
    struct timeval deadline = {.tv_sec = ANSWER_S};
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0 ||
        setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)) != 0) {
        bc_harness_fail("socketpair: %s", strerror(errno));
    }
    side->pid = fork();
    if (side->pid < 0) {
        bc_harness_fail("fork: %s", strerror(errno));
    }
    if (side->pid == 0) {
        (void)close(pair[0]);
        child_main(pair[1], kind, len, make_desc);
    }
    (void)close(pair[1]);
    side->socket = pair[0];
    started_pid = side->pid;
    started_socket = side->socket;
    (void)atexit(stop);
    receive(side, &hello, sizeof(hello));
    side->addr = hello.addr;
    side->desc_len = hello.desc_len;
    memcpy(side->desc, hello.desc, sizeof(side->desc));
}

static uint32_t give(struct bc_host_side *side, struct order order)
{
    uint32_t answer = 0;

    if (send(side->socket, &order, sizeof(order), MSG_NOSIGNAL) != (ssize_t)sizeof(order)) {
        bc_harness_fail("the host's process is gone");
    }
    receive(side, &answer, sizeof(answer));
    return answer;
}

void bc_host_side_fill(struct bc_host_side *side, uint64_t seed)
{
    (void)give(side, (struct order){.command = COMMAND_FILL, .seed = seed});
}

void bc_host_side_spoil(struct bc_host_side *side, uint64_t offset, uint64_t len)
{
    (void)give(side, (struct order){.command = COMMAND_SPOIL, .offset = offset, .len = len});
}

bool bc_host_side_check(struct bc_host_side *side, uint64_t seed)
{
    return give(side, (struct order){.command = COMMAND_CHECK, .seed = seed}) == 1;
}
