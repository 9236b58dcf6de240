/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_echo.c - the time of a small message and its answer between two processes over TCP on the
 * loopback interface: what a request and its completion cost without anything behind them.
 *
 *   tcp_echo [bytes=LENGTH] [apart=0|1]
 *
 *   echo COUNT wait|spin
 *       wait: both processes sleep in recv(). spin: both poll the socket and never sleep.
 *
 * Left to the kernel, two processes that wake each other up share one processor, and no other one
 * has to be
 * woken: apart=1 gives each a processor of its own. */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

#define BYTES_MAX 4096u
#define WAIT_NS   (10 * BC_HARNESS_NS_PER_S)

/* First byte of a message: how the server waits for the next one. */
enum mode {
    MODE_WAIT = 1,
    MODE_SPIN = 2,
};

/* False when the peer is gone, or does not send. */
static bool receive(int socket, uint8_t *message, size_t len, enum mode mode)
{
    int flags = mode == MODE_SPIN ? MSG_DONTWAIT : 0;
    uint64_t end_ns = 0;
    size_t have = 0;

    while (have < len) {
        ssize_t got = recv(socket, message + have, len - have, flags);

        if (got > 0) {
            have += (size_t)got;
            continue;
        }
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            return false;
        }
        if (mode == MODE_SPIN) {
            uint64_t now_ns = bc_harness_now_ns();

            end_ns = end_ns == 0 ? now_ns + WAIT_NS : end_ns;
            if (now_ns > end_ns) {
                return false;
            }
        }
    }
    return true;
}

static bool deliver(int socket, const uint8_t *message, size_t len)
{
    return send(socket, message, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static void serve(int socket, size_t len)
{
    uint8_t message[BYTES_MAX];
    enum mode mode = MODE_WAIT;

    while (receive(socket, message, len, mode) && deliver(socket, message, len)) {
        mode = (enum mode)message[0];
    }
}

/* A connection over the loopback interface whose other end is served by a process of its own. */
static int start_server(size_t len, bool apart)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_len = sizeof(address);
    int one = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int server;
    pid_t pid;

    if (listener < 0 || client < 0 ||
        bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &address_len) != 0 ||
        connect(client, (struct sockaddr *)&address, sizeof(address)) != 0) {
        bc_harness_fail("TCP: %s", strerror(errno));
    }
    server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (server < 0 || setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0 ||
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0) {
        bc_harness_fail("TCP: %s", strerror(errno));
    }
    (void)close(listener);
    pid = fork();
    if (pid < 0) {
        bc_harness_fail("fork: %s", strerror(errno));
    }
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close(client);
        if (apart) {
            bc_harness_pin(-1);
        }
        serve(server, len);
        _exit(0);
    }
    (void)close(server);
    if (apart) {
        bc_harness_pin(0);
    }
    return client;
}

static void do_echo(int socket, size_t len, const char *line)
{
    uint8_t message[BYTES_MAX] = {0};
    uint64_t *samples;
    uint64_t count;
    char name[8];
    enum mode mode;

    if (sscanf(line, "echo %" SCNu64 " %7s", &count, name) != 2 || count == 0) {
        bc_harness_fail("echo takes a number and wait or spin");
    }
    mode = strcmp(name, "spin") == 0 ? MODE_SPIN : MODE_WAIT;
    samples = calloc(count, sizeof(*samples));
    if (samples == NULL) {
        bc_harness_fail("no memory for %" PRIu64 " samples", count);
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t begin = bc_harness_now_ns();

        /* After the last one the server goes back to sleep. */
        message[0] = (uint8_t)(i + 1 < count ? mode : MODE_WAIT);
        if (!deliver(socket, message, len) || !receive(socket, message, len, mode)) {
            bc_harness_fail("the echo does not come");
        }
        samples[i] = bc_harness_now_ns() - begin;
    }
    bc_harness_answer(
        "{\"samples\": %" PRIu64 ", \"p50_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64 "}", count,
        bc_harness_percentile(samples, count, 500), bc_harness_percentile(samples, count, 990));
    free(samples);
}

int main(int argc, char **argv)
{
    size_t len = (size_t)bc_harness_number(argc, argv, "bytes", 64);
    char line[BC_HARNESS_LINE_MAX];
    int socket;

    if (len == 0 || len > BYTES_MAX) {
        bc_harness_fail("bytes: 1 to %u", BYTES_MAX);
    }
    socket = start_server(len, bc_harness_number(argc, argv, "apart", 0) != 0);
    bc_harness_answer("{\"ready\": true}");
    while (bc_harness_command(line)) {
        if (strncmp(line, "echo ", 5) != 0) {
            bc_harness_fail("%s: no such command", line);
        }
        do_echo(socket, len, line);
    }
    return EXIT_SUCCESS;
}
