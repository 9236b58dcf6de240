/* SPDX-License-Identifier: Apache-2.0 */
/* memcached_peer.c - what a C program gets from memcached over a Unix socket.
 *
 *   memcached_peer socket=PATH [memory=shared|malloc|huge] [ring=BYTES]
 *
 *   round COUNT SIZE REQUESTS SEED
 *       Sets REQUESTS times COUNT items of SIZE bytes under fresh keys, then gets them, COUNT keys
 *       with one multi-get, into the ring. One request at a time, as push_pull.c does it with a
 *       window of 1: what was set is overwritten before the next one, and the clock stands still.
 *   check SIZE ITEMS SEED
 *       Gets the items of a round of another process and looks at their bytes.
 *
 * It speaks the text protocol by itself and gives memcached the best of it: sets are sent without
 * waiting, from where the bytes lie, and only the last one of a request is answered (a connection's
 * commands are served in order); a multi-get's values are received where they belong. Libraries
 * copy them once more. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "harness.h"
#include "ring.h"

#define KEY_ROOM   48u
#define COUNT_MAX  16384u
#define LINE_ROOM  128u
#define INPUT_ROOM 16384u
#define ANSWER_S   60
#define SOCKET_LEN (4 * (int)BC_HARNESS_MIB) /* the kernel may allow less */

struct peer {
    int socket;
    uint8_t *ring;
    uint64_t ring_len;
    /* Received and not looked at yet. */
    char input[INPUT_ROOM];
    size_t input_at;
    size_t input_len;
    char command[COUNT_MAX * KEY_ROOM + 8];
};

static void open_peer(struct peer *peer, int argc, char **argv)
{
    const char *path = bc_harness_text(argc, argv, "socket", "");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval deadline = {.tv_sec = ANSWER_S};
    int len = SOCKET_LEN;

    peer->ring_len = bc_harness_number(argc, argv, "ring", 512 * BC_HARNESS_MIB);
    peer->ring = bc_ring_alloc(bc_harness_text(argc, argv, "memory", "shared"), peer->ring_len);
    if (strlen(path) >= sizeof(address.sun_path)) {
        bc_harness_fail("socket=%s is too long", path);
    }
    strcpy(address.sun_path, path);
    peer->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (peer->socket < 0 ||
        setsockopt(peer->socket, SOL_SOCKET, SO_SNDBUF, &len, sizeof(len)) != 0 ||
        setsockopt(peer->socket, SOL_SOCKET, SO_RCVBUF, &len, sizeof(len)) != 0 ||
        setsockopt(peer->socket, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)) != 0 ||
        setsockopt(peer->socket, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof(deadline)) != 0 ||
        connect(peer->socket, (struct sockaddr *)&address, sizeof(address)) != 0) {
        bc_harness_fail("%s: %s", path, strerror(errno));
    }
}

/* ---- bytes ---------------------------------------------------------------------------------- */

static void send_all(const struct peer *peer, struct iovec *parts, int count)
{
    while (count > 0) {
        ssize_t sent = writev(peer->socket, parts, count);

        if (sent < 0 && errno != EINTR) {
            bc_harness_fail("memcached does not take it: %s", strerror(errno));
        }
        while (sent > 0 && count > 0) {
            size_t part = (size_t)sent < parts->iov_len ? (size_t)sent : parts->iov_len;

            parts->iov_base = (char *)parts->iov_base + part;
            parts->iov_len -= part;
            sent -= (ssize_t)part;
            if (parts->iov_len == 0) {
                parts++;
                count--;
            }
        }
    }
}

/* Receives something: first for `at`, what is more for the input. Returns how much is for `at`. */
static size_t receive_some(struct peer *peer, void *at, size_t len)
{
    struct iovec parts[2] = {{.iov_base = at, .iov_len = len},
                             {.iov_base = peer->input, .iov_len = sizeof(peer->input)}};
    ssize_t got;

    do {
        got = readv(peer->socket, parts, 2);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) {
        bc_harness_fail("memcached does not answer: %s", got < 0 ? strerror(errno) : "closed");
    }
    peer->input_at = 0;
    peer->input_len = (size_t)got > len ? (size_t)got - len : 0;
    return (size_t)got - peer->input_len;
}

static void receive_line(struct peer *peer, char line[LINE_ROOM])
{
    size_t len = 0;

    do {
        if (peer->input_at == peer->input_len) {
            (void)receive_some(peer, NULL, 0);
        }
        if (len == LINE_ROOM - 1) {
            bc_harness_fail("memcached answers with a long line");
        }
        line[len++] = peer->input[peer->input_at++];
    } while (line[len - 1] != '\n');
    line[len] = '\0';
}

static void receive_value(struct peer *peer, uint8_t *at, size_t len)
{
    size_t have = peer->input_len - peer->input_at < len ? peer->input_len - peer->input_at : len;
    char end[LINE_ROOM];

    memcpy(at, peer->input + peer->input_at, have);
    peer->input_at += have;
    while (have < len) {
        have += receive_some(peer, at + have, len - have);
    }
    receive_line(peer, end);
}

/* ---- requests ------------------------------------------------------------------------------- */

static void store(struct peer *peer, uint64_t seed, uint64_t first, uint64_t offset, uint64_t count,
                  uint64_t size)
{
    char answer[LINE_ROOM];

    for (uint64_t i = 0; i < count; i++) {
        char head[LINE_ROOM];
        char end[] = "\r\n";
        int len =
            snprintf(head, sizeof(head), "set bench/%" PRIu64 "/%" PRIu64 " 0 0 %" PRIu64 "%s\r\n",
                     seed, first + i, size, i + 1 < count ? " noreply" : "");
        struct iovec parts[] = {{.iov_base = head, .iov_len = (size_t)len},
                                {.iov_base = peer->ring + offset + i * size, .iov_len = size},
                                {.iov_base = end, .iov_len = 2}};

        send_all(peer, parts, 3);
    }
    receive_line(peer, answer);
    if (strcmp(answer, "STORED\r\n") != 0) {
        bc_harness_fail("memcached does not store: %s", answer);
    }
}

/* To the place in the ring that the item's number says. */
static void fetch(struct peer *peer, uint64_t seed, uint64_t first, uint64_t offset, uint64_t count,
                  uint64_t size)
{
    struct iovec command = {.iov_base = peer->command};
    char line[LINE_ROOM];
    uint64_t got = 0;
    size_t len = 3;

    memcpy(peer->command, "get", len);
    for (uint64_t i = 0; i < count; i++) {
        len += (size_t)snprintf(peer->command + len, KEY_ROOM, " bench/%" PRIu64 "/%" PRIu64, seed,
                                first + i);
    }
    memcpy(peer->command + len, "\r\n", 2);
    command.iov_len = len + 2;
    send_all(peer, &command, 1);
    for (receive_line(peer, line); strcmp(line, "END\r\n") != 0; receive_line(peer, line)) {
        uint64_t item;
        uint64_t item_len;

        if (sscanf(line, "VALUE bench/%*u/%" SCNu64 " %*u %" SCNu64, &item, &item_len) != 2 ||
            item - first >= count || item_len != size) {
            bc_harness_fail("memcached answers with something else: %s", line);
        }
        receive_value(peer, peer->ring + offset + (item - first) * size, size);
        got++;
    }
    if (got != count) {
        bc_harness_fail("memcached has only %" PRIu64 " of %" PRIu64 " items", got, count);
    }
}

struct used {
    uint64_t ns;
    uint64_t cpu_ns;
};

static void add_since(struct used *total, struct used begin)
{
    total->ns += bc_harness_now_ns() - begin.ns;
    total->cpu_ns += bc_harness_cpu_ns() - begin.cpu_ns;
}

static struct used now(void)
{
    return (struct used){.cpu_ns = bc_harness_cpu_ns(), .ns = bc_harness_now_ns()};
}

static void do_round(struct peer *peer, const char *line)
{
    uint64_t count;
    uint64_t size;
    uint64_t requests;
    uint64_t seed;
    uint64_t len;
    struct used push = {0};
    struct used pull = {0};

    if (sscanf(line, "round %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &count, &size, &requests,
               &seed) != 4 ||
        count == 0 || count > COUNT_MAX || size == 0 || size % 8 != 0 ||
        requests > peer->ring_len / (count * size)) {
        bc_harness_fail("round takes four numbers within the ring");
    }
    len = count * size;
    bc_ring_fill(peer->ring, peer->ring_len, seed, 0);
    for (uint64_t i = 0; i < requests; i++) {
        struct used begin = now();

        store(peer, seed, i * count, i * len, count, size);
        add_since(&push, begin);
        bc_ring_spoil(peer->ring + i * len, len);
    }
    bc_ring_spoil(peer->ring, peer->ring_len);
    for (uint64_t i = 0; i < requests; i++) {
        struct used begin = now();

        fetch(peer, seed, i * count, i * len, count, size);
        add_since(&pull, begin);
    }
    if (!bc_ring_check(peer->ring, requests * len, seed, 0)) {
        bc_harness_fail("other bytes came from memcached");
    }
    bc_harness_answer("{\"bytes\": %" PRIu64 ", \"push_ns\": %" PRIu64 ", \"push_cpu_ns\": %" PRIu64
                      ", \"pull_ns\": %" PRIu64 ", \"pull_cpu_ns\": %" PRIu64 "}",
                      requests * len, push.ns, push.cpu_ns, pull.ns, pull.cpu_ns);
}

static void do_check(struct peer *peer, const char *line)
{
    uint64_t size;
    uint64_t items;
    uint64_t seed;
    uint64_t batch;

    if (sscanf(line, "check %" SCNu64 " %" SCNu64 " %" SCNu64, &size, &items, &seed) != 3 ||
        size == 0 || size > peer->ring_len) {
        bc_harness_fail("check takes three numbers");
    }
    batch = peer->ring_len / size < COUNT_MAX ? peer->ring_len / size : COUNT_MAX;
    for (uint64_t first = 0; first < items; first += batch) {
        uint64_t count = items - first < batch ? items - first : batch;

        fetch(peer, seed, first, 0, count, size);
        if (!bc_ring_check(peer->ring, count * size, seed, first * size)) {
            bc_harness_fail("another process finds wrong bytes in memcached");
        }
    }
    bc_harness_answer("{\"checked\": %" PRIu64 "}", items);
}

int main(int argc, char **argv)
{
    static struct peer peer;
    char line[BC_HARNESS_LINE_MAX];

    open_peer(&peer, argc, argv);
    bc_harness_answer("{\"ready\": true, \"memory\": \"%s\"}", bc_ring_pages(peer.ring));
    while (bc_harness_command(line)) {
        if (strncmp(line, "round ", 6) == 0) {
            do_round(&peer, line);
        } else if (strncmp(line, "check ", 6) == 0) {
            do_check(&peer, line);
        } else {
            bc_harness_fail("%s: no such command", line);
        }
    }
    return EXIT_SUCCESS;
}
