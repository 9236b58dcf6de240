/* SPDX-License-Identifier: Apache-2.0 */
/* comch_test.h - both ends of connections over the emulated Comch, in one thread: each has its own
 * engine, and whoever waits asks all of them. Only connect, which blocks, has a thread of its own
 * while it lasts. Every wait has a deadline. */
#ifndef BC_TEST_COMCH_TEST_H
#define BC_TEST_COMCH_TEST_H

#include <pthread.h>

#include "base/clock.h"
#include "channel/transport.h"
#include "channel_test.h"

#define COMCH_WAIT_MS   60000
#define COMCH_LISTEN    "comch:0000:03:00.0/0000:ba:00.0/test"
#define COMCH_CONNECT   "comch:0000:ba:00.0/test"
#define COMCH_CONNS_MAX 64u

struct comch_bed {
    const struct bc_transport_ops *ops;
    struct bc_listener *listener;
    struct bc_conn *clients[COMCH_CONNS_MAX];
    struct bc_conn *servers[COMCH_CONNS_MAX];
    uint32_t count;
};

/* A directory of its own for the emulation's sockets; removed at the end. */
int comch_group_setup(void **state);
int comch_group_teardown(void **state);

/* Listens at COMCH_LISTEN and connects `count` clients. */
void comch_open(struct comch_bed *bed, uint32_t count);
/* Closes what is left, clients first. */
void comch_close(struct comch_bed *bed);

/* Asks every engine of the bed once; the number of things done. */
uint32_t comch_turn(struct comch_bed *bed);
/* Sleeps a little, unless an engine has something to do. */
void comch_rest(struct comch_bed *bed);
/* Until `done` says so. */
void comch_until(struct comch_bed *bed, bool (*done)(void *arg), void *arg);
/* Until the connection is ready for one of these. */
void comch_until_ready(struct comch_bed *bed, const struct bc_conn *conn, uint32_t events);

/* connect in a thread, while the listener is asked. */
int comch_connect(struct comch_bed *bed, const char *address, uint64_t timeout_ms, int stop_fd,
                  struct bc_conn **conn_out);
/* Moves len bytes of a pattern from one to the other, and compares. */
void comch_move(struct comch_bed *bed, struct bc_conn *from, struct bc_conn *to, size_t len);
/* Receives until `len` bytes are there. */
void comch_receive(struct comch_bed *bed, struct bc_conn *conn, void *data, size_t len);

#endif
