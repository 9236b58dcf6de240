/* SPDX-License-Identifier: Apache-2.0 */
/* crew.h - the worker threads: each makes what it owns in its own thread, runs its loop, and takes
 * it down again in the same thread. Start and stop are driven from the main thread.
 *
 * Start: one worker after the other (the metrics registry is filled by one thread at a time); the
 * loops run once all are made. Stop: drain (sessions end their requests; at most drain_timeout_ms,
 * then they are closed), and only when no worker has a session left, backends are stopped: a
 * session on one worker has objects on the others. Before that every worker tells the others of the
 * groups it dropped.
 * Thread: main. Every wait has a deadline. */
#ifndef BC_AGENT_CREW_H
#define BC_AGENT_CREW_H

#include "session/worker.h"

BC_EXTERN_C_BEGIN

struct bc_crew;

struct bc_crew_options {
    uint32_t workers;
    const struct bc_session_limits *limits;
    struct bc_metrics *metrics;
    struct bc_dma_device *device;
    const struct bc_backend_type *backend_type;
    void *store;
    const char *root;
    uint64_t staging_bytes;  /* of all workers */
    uint64_t capacity_bytes; /* of the store */
    uint32_t depth;
    uint32_t chunk_len;
    uint64_t spin_ns;
    bool huge_pages;
    bool format;
    uint64_t drain_timeout_ms;
};

/* The workers are made and wait. A sentence in error. */
BC_MUST_USE int bc_crew_create(const struct bc_crew_options *options,
                               struct bc_options_error *error, struct bc_crew **crew_out);
/* Their loops run from here on. */
void bc_crew_run(struct bc_crew *crew);
/* Before the loops run its `server` may be set: the crew destroys it with the worker. */
struct bc_worker *bc_crew_worker(struct bc_crew *crew, uint32_t index);

/* Drains, stops, joins, frees. 0, or -ETIMEDOUT when a worker did not end: its threads are left as
 * they are, and the process should exit. NULL: 0. */
int bc_crew_destroy(struct bc_crew *crew);

/* Bytes of a worker's pool, of the staging memory of all. */
uint64_t bc_crew_pool_len(uint64_t staging_bytes, uint64_t workers);
/* Bytes of a worker's pool that dram may fill: what is left above the floor. */
uint64_t bc_crew_cache_len(uint64_t pool_len, uint32_t chunk_len);

BC_EXTERN_C_END

#endif
