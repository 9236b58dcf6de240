/* SPDX-License-Identifier: Apache-2.0 */
/* comch_test.c - see comch_test.h. */
#include "comch_test.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define REST_MS 2 /* at most: not everything that is waited for wakes an engine */

static char directory[] = "/tmp/bc-comch-XXXXXX";

int comch_group_setup(void **state)
{
    (void)state;
    return mkdtemp(directory) != NULL && setenv("DOCA_EMU_RUNTIME_DIR", directory, 1) == 0 ? 0 : -1;
}

int comch_group_teardown(void **state)
{
    DIR *dir = opendir(directory);
    const struct dirent *entry;

    (void)state;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return rmdir(directory);
}

static uint64_t deadline(void)
{
    return bc_clock_now_ns(bc_clock_monotonic()) + COMCH_WAIT_MS * BC_NS_PER_MS;
}

static void assert_before(uint64_t deadline_ns)
{
    if (bc_clock_now_ns(bc_clock_monotonic()) >= deadline_ns) {
        fail_msg("nothing came in %d ms", COMCH_WAIT_MS);
    }
}

static size_t engines_of(const struct comch_bed *bed, struct bc_engine **engines)
{
    size_t count = 0;

    if (bed->listener != NULL) {
        engines[count++] = bed->ops->listener_engine(bed->listener);
    }
    for (uint32_t i = 0; i < bed->count; i++) {
        if (bed->clients[i] != NULL) {
            engines[count++] = bed->ops->conn_engine(bed->clients[i]);
        }
    }
    return count;
}

uint32_t comch_turn(struct comch_bed *bed)
{
    struct bc_engine *engines[COMCH_CONNS_MAX + 1];
    size_t count = engines_of(bed, engines);
    uint32_t done = 0;

    for (size_t i = 0; i < count; i++) {
        done += bed->ops->progress(engines[i]);
    }
    return done;
}

/* On a busy machine who sleeps is scheduled sooner than who looks again and again. */
void comch_rest(struct comch_bed *bed)
{
    struct bc_engine *engines[COMCH_CONNS_MAX + 1];
    struct pollfd fds[COMCH_CONNS_MAX + 1];
    size_t count = engines_of(bed, engines);
    bool armed = true;

    for (size_t i = 0; i < count; i++) {
        armed = bed->ops->arm(engines[i]) && armed;
        fds[i] = (struct pollfd){.fd = bed->ops->engine_fd(engines[i]), .events = POLLIN};
    }
    if (armed) {
        (void)poll(fds, count, REST_MS);
    }
}

void comch_until(struct comch_bed *bed, bool (*done)(void *arg), void *arg)
{
    uint64_t deadline_ns = deadline();

    while (!done(arg)) {
        assert_before(deadline_ns);
        if (comch_turn(bed) == 0 && !done(arg)) {
            comch_rest(bed);
        }
    }
}

void comch_until_ready(struct comch_bed *bed, const struct bc_conn *conn, uint32_t events)
{
    uint64_t deadline_ns = deadline();

    while ((bed->ops->conn_ready(conn) & events) == 0) {
        assert_before(deadline_ns);
        if (comch_turn(bed) == 0) {
            comch_rest(bed);
        }
    }
}

struct connecting {
    const struct bc_transport_ops *ops;
    const char *address;
    uint64_t timeout_ms;
    int stop_fd;
    struct bc_conn *conn;
    int rc;
    bool done; /* atomic */
};

static void *connect_main(void *arg)
{
    struct connecting *connecting = arg;

    connecting->rc = connecting->ops->connect(connecting->address, connecting->timeout_ms,
                                              connecting->stop_fd, &connecting->conn);
    __atomic_store_n(&connecting->done, true, __ATOMIC_RELEASE);
    return NULL;
}

int comch_connect(struct comch_bed *bed, const char *address, uint64_t timeout_ms, int stop_fd,
                  struct bc_conn **conn_out)
{
    struct connecting connecting = {
        .ops = bed->ops, .address = address, .timeout_ms = timeout_ms, .stop_fd = stop_fd};
    uint64_t deadline_ns = deadline();
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, connect_main, &connecting), 0);
    while (!__atomic_load_n(&connecting.done, __ATOMIC_ACQUIRE)) {
        assert_before(deadline_ns);
        if (comch_turn(bed) == 0) {
            comch_rest(bed);
        }
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    *conn_out = connecting.conn;
    return connecting.rc;
}

void comch_open(struct comch_bed *bed, uint32_t count)
{
    *bed = (struct comch_bed){.ops = bc_transport_comch()};
    assert_int_equal(bed->ops->listen(COMCH_LISTEN, &bed->listener), 0);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t deadline_ns = deadline();
        struct bc_conn *client = NULL;

        assert_int_equal(comch_connect(bed, COMCH_CONNECT, COMCH_WAIT_MS, -1, &client), 0);
        bed->clients[bed->count++] = client;
        while (bed->ops->accept(bed->listener, &bed->servers[i]) == -EAGAIN) {
            assert_before(deadline_ns);
            if (comch_turn(bed) == 0) {
                comch_rest(bed);
            }
        }
        assert_non_null(bed->servers[i]);
    }
}

void comch_close(struct comch_bed *bed)
{
    for (uint32_t i = 0; i < bed->count; i++) {
        bed->ops->close(bed->clients[i]);
        bed->clients[i] = NULL;
    }
    for (uint32_t i = 0; i < bed->count; i++) {
        bed->ops->close(bed->servers[i]);
    }
    bed->ops->listener_close(bed->listener);
    bed->listener = NULL;
}

void comch_receive(struct comch_bed *bed, struct bc_conn *conn, void *data, size_t len)
{
    uint64_t deadline_ns = deadline();
    size_t got = 0;

    while (got < len) {
        int64_t rc = bed->ops->recv(conn, (uint8_t *)data + got, len - got);

        assert_before(deadline_ns);
        assert_true(rc > 0 || rc == -EAGAIN);
        got += rc > 0 ? (size_t)rc : 0;
        if (comch_turn(bed) == 0 && rc == -EAGAIN) {
            comch_rest(bed);
        }
    }
}

void comch_move(struct comch_bed *bed, struct bc_conn *from, struct bc_conn *to, size_t len)
{
    uint64_t deadline_ns = deadline();
    uint8_t *out = malloc(len);
    uint8_t *in = malloc(len);
    size_t sent = 0;
    size_t got = 0;

    assert_non_null(out);
    assert_non_null(in);
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)(i * 13 + (i >> 9));
    }
    while (got < len) {
        int64_t rc = sent < len ? bed->ops->send(from, out + sent, len - sent) : 0;

        assert_before(deadline_ns);
        assert_true(rc >= 0 || rc == -EAGAIN);
        sent += rc > 0 ? (size_t)rc : 0;
        (void)comch_turn(bed);
        rc = bed->ops->recv(to, in + got, len - got);
        assert_true(rc > 0 || rc == -EAGAIN);
        got += rc > 0 ? (size_t)rc : 0;
    }
    assert_memory_equal(in, out, len);
    free(in);
    free(out);
}
