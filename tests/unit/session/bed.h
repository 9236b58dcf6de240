/* SPDX-License-Identifier: Apache-2.0 */
/* bed.h - workers as the agent has them (loop, staging, dram, pipeline, sessions) over a copy
 * engine in plain memory, for tests of sessions, requests and regions; and clients that speak
 * frames.
 *
 * Without threads the test turns every loop itself, on a virtual clock: nothing happens by chance.
 * With threads each worker has its own, and the clock is real.
 *
 * A connection is a socket pair, watched by its descriptor, or, built with BED_ASKED, by a transport
 * that must be asked (testlib/asked_pair.h), one engine a worker; `engine` is a faulty_dma, so that rules can delay or fail copies.
 * Client memory is one buffer, registered piece by piece; its first BED_FILLED_LEN bytes hold a
 * pattern at first. */
#ifndef BC_TEST_SESSION_BED_H
#define BC_TEST_SESSION_BED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "channel/channel.h"
#include "session/engine_poll.h"
#include "session/session.h"
#include "session/worker.h"
#include "testlib/faulty_dma.h"
#include "testlib/memory_dma.h"

#define BED_WORKERS_MAX   4u
#define BED_TURNS_MAX     20000u
#define BED_MEMORY_LEN    (128u << 20)
#define BED_FILLED_LEN    (4u << 20)
#define BED_DEADLINE_MS   20000u
#define BED_MESSAGE_TURNS 2000u

struct bed_options {
    uint32_t workers;
    bool threads;
    struct bc_session_limits limits; /* zero fields: defaults */
};

struct bed;

struct bed_worker {
    struct bc_worker worker;
    struct bed *bed;
    struct bc_dma *memory_dma;
    struct bc_faulty_dma engine;
    struct bc_dma_ops engine_ops; /* the engine's, with imports counted */
    const struct bc_dma_ops *inner_ops;
    struct bc_listener *listener; /* BED_ASKED: its engine has the worker's connections */
    struct bc_engine_poll poll;
    int64_t imports;       /* atomic */
    uint32_t import_fail;  /* this many imports fail from now on */
    uint32_t release_fail; /* likewise releases */
    pthread_t thread;
    uint32_t state; /* atomic */
    struct bc_mail mail;
};

struct bed {
    struct bed_options options;
    struct bc_clock clock;
    struct bc_session_limits limits;
    struct bc_metrics *metrics;
    struct bed_worker workers[BED_WORKERS_MAX];
    struct bc_worker *peers[BED_WORKERS_MAX];
    uint8_t *memory;
    uint64_t group_clock;
    uint64_t group; /* of the objects that bed_transfer pushes; 0: none */
};

void bed_init(struct bed *bed, const struct bed_options *options);
/* Every client must have been closed. Asserts that nothing is left: sessions, imports, leases. */
void bed_fini(struct bed *bed);

/* One turn of each loop; the number of callbacks that ran. Not with threads. */
uint32_t bed_turn(struct bed *bed);
void bed_turns(struct bed *bed, uint32_t count);
/* Moves the virtual clock, in steps with turns in between. */
void bed_pass(struct bed *bed, uint64_t ms);
uint32_t bed_sessions(const struct bed *bed);
/* Tells every worker to drain its sessions. */
void bed_drain(struct bed *bed);
/* Turns (or waits) until no session is left. */
void bed_wait_empty(struct bed *bed);
/* Turns (or waits) until every drop of a group was told; for when no object is put. */
void bed_wait_groups(struct bed *bed);
int64_t bed_metric(const struct bed *bed, const char *name);

/* ---- clients -------------------------------------------------------------------------------- */

struct bed_client {
    struct bed *bed;
    struct bc_channel *channel;
    int fd;
    bool closed; /* the agent closed the connection */
};

/* Connects to this worker; says nothing yet. */
void bed_connect(struct bed *bed, uint32_t worker, struct bed_client *client);
/* The same, with HELLO and its answer. */
void bed_open(struct bed *bed, uint32_t worker, struct bed_client *client);
void bed_close(struct bed_client *client);

void bed_send(struct bed_client *client, uint8_t type, uint64_t id, const void *body, size_t len);
void bed_send_raw(struct bed_client *client, const void *data, size_t len);
/* Bytes that were taken: the socket may be full. */
size_t bed_send_some(struct bed_client *client, const void *data, size_t len);

/* The next message; false when there is none within BED_MESSAGE_TURNS turns (or the deadline), or
 * the agent closed. The body is valid until the next call. */
bool bed_receive(struct bed_client *client, struct bc_message *message_out);
/* The next message, which must be of this type and id. */
struct bc_message bed_expect(struct bed_client *client, uint8_t type, uint64_t id);
/* No message is there now, after `turns` turns. */
void bed_expect_silence(struct bed_client *client, uint32_t turns);
void bed_expect_closed(struct bed_client *client);

/* ---- messages ------------------------------------------------------------------------------- */

void bed_hello(struct bed_client *client);
/* Memory id `id`, generation 1: [offset, offset + len) of the bed's memory. */
void bed_register(struct bed_client *client, uint64_t request, uint32_t id, uint64_t offset,
                  uint64_t len);
void bed_unregister(struct bed_client *client, uint64_t request, uint32_t id);
/* `count` objects "k<first>", "k<first+1>"..., `len` bytes each, one after another in memory
 * `id`. */
void bed_transfer(struct bed_client *client, uint64_t request, uint8_t op, uint32_t id,
                  uint32_t first, uint32_t count, uint64_t len, uint32_t deadline_ms);
void bed_query(struct bed_client *client, uint64_t request, uint8_t type, uint32_t first,
               uint32_t count);
void bed_cancel(struct bed_client *client, uint64_t target);

/* Status of a COMPLETION that holds for all entries or for the first failed one. */
enum bc_status bed_completion(struct bed_client *client, uint64_t request);
enum bc_status bed_status(const struct bc_message *message, uint32_t index);

#endif
