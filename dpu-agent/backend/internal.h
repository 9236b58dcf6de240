/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h - what the backends of this room share: handles' common head, deferred completions,
 * the ready signal, counters, and the walk over an index with a cursor. Not for other rooms.
 *
 * Thread: the owner of the loop. Memory: embedded in the backends and in their callers' ops. */
#ifndef BC_BACKEND_INTERNAL_H
#define BC_BACKEND_INTERNAL_H

#include "backend/backend.h"
#include "base/assert.h"
#include "base/crc32c.h"
#include "base/hashmap.h"
#include "base/list.h"

BC_EXTERN_C_BEGIN

/* Each backend's handles begin with these. */
struct bc_put {
    struct bc_backend *backend;
};

struct bc_get {
    struct bc_backend *backend;
};

/* ---- completions: the caller's `done`, from the loop ---- */

/* Lies in the first four words of an op's `internal`. */
struct bc_later {
    struct bc_task task;
    int32_t result;
};
BC_STATIC_ASSERT(sizeof(struct bc_later) <= 4 * sizeof(void *), "fits the smallest op");

/* Each calls op->done(op, result) in this turn or the next; the op may be reused or freed from then
 * on. */
void bc_later_put(struct bc_loop *loop, struct bc_put_op *op, int result);
void bc_later_get(struct bc_loop *loop, struct bc_get_op *op, int result);
void bc_later_open(struct bc_loop *loop, struct bc_open_op *op, int result);
void bc_later_batch(struct bc_loop *loop, struct bc_batch_op *op, int result);

/* ---- back-pressure: who was told -EAGAIN is called once something was released ---- */

struct bc_ready {
    struct bc_backend *backend;
    struct bc_loop *loop;
    struct bc_task task;
    bool wanted; /* -EAGAIN was answered since the last call */
    bool queued;
};

void bc_ready_init(struct bc_ready *ready, struct bc_backend *backend, struct bc_loop *loop);
/* Notes that the caller waits; returns -EAGAIN. */
int bc_ready_again(struct bc_ready *ready);
/* Something was released: `ready` is called from the loop when somebody waits. */
void bc_ready_signal(struct bc_ready *ready);

/* ---- counters ---- */

struct bc_store_counters {
    struct bc_counter objects;
    struct bc_counter used_bytes;
    struct bc_counter capacity_bytes;
    struct bc_counter evictions;
    struct bc_counter group_evictions;
    struct bc_counter checksum_errors;
    struct bc_counter io_errors;
    struct bc_counter hits;
    struct bc_counter misses;
    struct bc_counter put_bytes;
    struct bc_counter get_bytes;
};

struct bc_store_metric {
    const char *name;
    const char *help;
    enum bc_metric_kind kind;
    size_t offset; /* in struct bc_store_counters */
};

#define BC_STORE_METRIC(prefix, suffix, kind_value, member, text)                     \
    {                                                                                 \
        .name = "bluecache_" prefix "_" suffix, .help = (text), .kind = (kind_value), \
        .offset = offsetof(struct bc_store_counters, member)                          \
    }

/* The rows of one backend. */
#define BC_STORE_METRICS(prefix)                                                                   \
    BC_STORE_METRIC(prefix, "objects", BC_METRIC_GAUGE, objects, "Objects stored."),               \
        BC_STORE_METRIC(prefix, "used_bytes", BC_METRIC_GAUGE, used_bytes,                         \
                        "Bytes taken: data, padding, records, unfinished puts, pinned versions."), \
        BC_STORE_METRIC(prefix, "capacity_bytes", BC_METRIC_GAUGE, capacity_bytes,                 \
                        "Bytes that may be taken."),                                               \
        BC_STORE_METRIC(prefix, "evictions_total", BC_METRIC_COUNTER, evictions,                   \
                        "Objects dropped to make room."),                                          \
        BC_STORE_METRIC(prefix, "group_evictions_total", BC_METRIC_COUNTER, group_evictions,       \
                        "Objects dropped because another one of their group was."),                \
        BC_STORE_METRIC(prefix, "checksum_errors_total", BC_METRIC_COUNTER, checksum_errors,       \
                        "Objects dropped because stored bytes failed verification."),              \
        BC_STORE_METRIC(prefix, "io_errors_total", BC_METRIC_COUNTER, io_errors,                   \
                        "Operations of the storage that failed."),                                 \
        BC_STORE_METRIC(prefix, "hits_total", BC_METRIC_COUNTER, hits, "Objects opened to read."), \
        BC_STORE_METRIC(prefix, "misses_total", BC_METRIC_COUNTER, misses,                         \
                        "Opens that found no object."),                                            \
        BC_STORE_METRIC(prefix, "put_bytes_total", BC_METRIC_COUNTER, put_bytes,                   \
                        "Bytes of objects committed."),                                            \
        BC_STORE_METRIC(prefix, "get_bytes_total", BC_METRIC_COUNTER, get_bytes,                   \
                        "Bytes shown to readers, after verification.")

/* -ENOMEM. metrics may be NULL. */
BC_MUST_USE int bc_store_counters_register(struct bc_store_counters *counters,
                                           const struct bc_store_metric *rows, size_t row_count,
                                           struct bc_metrics *metrics);

/* ---- walking an index ---- */

/* Visits about `count` nodes from *cursor on; whole buckets, and not many empty ones in a row at a
 * time. The cursor counts buckets with its bits reversed, so that a table that doubled between two
 * calls is still walked whole: a node that stays is seen at least once. 0 begins and ends. */
typedef bool (*bc_index_visit_fn)(void *arg, struct bc_hashmap_node *node);
void bc_index_walk(struct bc_hashmap *map, uint64_t *cursor, uint32_t count,
                   bc_index_visit_fn visit, void *arg);

BC_EXTERN_C_END

#endif
