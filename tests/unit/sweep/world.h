/* SPDX-License-Identifier: Apache-2.0 */
/* world.h - an agent in one thread of the test: workers with loop, staging, store, engine, pipeline and
 * sessions as dpu-agent has them, and a twin that can fail between each two of them.
 *
 *   sessions -[transport]- client           pipeline -[dma]- engine in plain memory
 *   everything -[clock]- virtual time       pipeline -[backend]- dram, or posix -[files]- io_uring
 *
 * Nothing happens by chance: time is virtual, and passes a little with each turn,
 * and fast when nothing else can be done. Every wait is
 * bounded, in turns and in virtual time. */
#ifndef BC_TEST_SWEEP_WORLD_H
#define BC_TEST_SWEEP_WORLD_H

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "session/session.h"
#include "session/worker.h"
#include "testlib/faulty_backend.h"
#include "testlib/faulty_clock.h"
#include "testlib/faulty_dma.h"
#include "testlib/faulty_files.h"
#include "testlib/faulty_transport.h"
#include "testlib/memory_dma.h"

#define WORLD_WORKERS_MAX 2u
#define WORLD_MEMORY_LEN  (8u << 20)
#define WORLD_CHUNK_LEN   (128u << 10)

enum world_twin {
    TWIN_BACKEND = 0,
    TWIN_FILES = 1,
    TWIN_DMA = 2,
    TWIN_TRANSPORT = 3,
    TWIN_CLOCK = 4,
    TWIN_COUNT
};
extern const char *const world_twin_names[TWIN_COUNT];

struct world_worker {
    struct bc_worker worker;
    struct bc_faulty_files files;
    struct bc_faulty_dma dma;
    struct bc_faulty_backend backend;
};

struct world {
    const char *backend; /* "dram", "posix" */
    uint32_t workers;
    const struct bc_backend_type *type;
    void *store;
    char root[256]; /* empty: the store needs none */
    struct bc_clock time;
    struct bc_faulty_clock clock;
    struct bc_faulty_transport transport;
    struct bc_metrics *metrics;
    struct bc_session_limits limits;
    struct world_worker members[WORLD_WORKERS_MAX];
    struct bc_worker *peers[WORLD_WORKERS_MAX];
    uint64_t group_clock;
    uint8_t *memory; /* the client's: WORLD_MEMORY_LEN bytes */
    uint32_t idle;   /* turns in a row in which nothing was done */
};

/* A root that the process keeps for its worlds, empty; "" for a store without one. Removed by
 * world_remove_roots. */
void world_make_root(const char *backend, char *root_out, size_t len);
void world_remove_roots(void);

/* The seed is that of every twin. `root` as made above. */
void world_open(struct world *world, const char *backend, uint32_t workers, const char *root,
                uint64_t seed);
/* No session may be left. Everything is taken down; what each owner asserts on its end is checked. */
void world_close(struct world *world);

/* The rules of a twin: on every worker, where each has its own. */
void world_add_rule(struct world *world, enum world_twin twin, struct bc_fault_rule rule);
/* Nothing goes wrong any more, and what vanished is back. */
void world_heal(struct world *world);
uint64_t world_struck(const struct world *world, enum world_twin twin, enum bc_fault_action action);
/* Operations seen. */
uint64_t world_events(const struct world *world, enum world_twin twin);
uint64_t world_struck_any(const struct world *world);

/* One turn of each loop; time passes when nothing else does. */
void world_turn(struct world *world);
uint64_t world_now_ns(const struct world *world); /* virtual: what really passed */

/* A client's end of a new connection; the other end is a session's. */
int world_connect(struct world *world);

int64_t world_metric(const struct world *world, const char *name);
/* Of the store: "used_bytes" ... */
int64_t world_store_metric(const struct world *world, const char *suffix);
/* Staging bytes leased now. */
uint64_t world_leased(const struct world *world);
/* Bytes of the store's files, in pages, and how many there are; 0 without a root. */
uint64_t world_disk_bytes(const struct world *world, uint32_t *objects_out,
                          uint32_t *temporary_out);
/* Waits until no session is left and all that they began has ended, then checks that nothing leaked. */
void world_settle(struct world *world);

#endif
