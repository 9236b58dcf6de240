/* SPDX-License-Identifier: Apache-2.0 */
/* bed.h - a store of one or two workers with everything it stands on, for tests: loops, staging
 * pools, files (which may be wrapped in a twin), a directory of its own, and blocking helpers over
 * the asynchronous table. All workers' loops are turned by the one thread of the test.
 *
 * Every wait has a deadline and fails the test when it passes. Data is a pattern of a seed, so that
 * any range of any object can be checked alone. */
#ifndef BC_TEST_BACKEND_BED_H
#define BC_TEST_BACKEND_BED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/backend.h"

BC_EXTERN_C_BEGIN

#define BED_WORKERS_MAX 2
#define BED_MIB         (UINT64_C(1) << 20)

struct bed_options {
    const char *backend;
    uint32_t workers;     /* 0: 1 */
    uint64_t capacity;    /* of each worker; 0: 64 MiB (dram: its cache arena) */
    size_t pool_len;      /* 0: 16 MiB */
    size_t cache_len;     /* 0: 12 MiB */
    uint32_t handles_max; /* 0: 64 */
    /* Wraps the real files of a worker; NULL: they are used as they are. */
    struct bc_files *(*wrap)(void *arg, uint32_t worker, struct bc_loop *loop,
                             struct bc_files *files);
    void *wrap_arg;
    /* How much the wrapper still has under way that the loop cannot see; NULL: nothing ever. */
    uint32_t (*busy)(void *arg);
};

struct bed_worker {
    struct bed *bed;
    struct bc_loop *loop;
    struct bc_uring_files files;
    struct bc_staging *staging;
    struct bc_metrics *metrics;
    struct bc_backend *backend;
    uint32_t ready_calls;
    struct bc_group_drop *drops; /* not told yet */
};

struct bed {
    struct bed_options options;
    const struct bc_backend_type *type;
    void *store;
    char root[256];
    uint32_t chunk_len;   /* asked for by the helpers; 1 MiB */
    uint64_t group_clock; /* of this opening */
    bool hold_drops;      /* drops of groups are not told until bed_tell */
    uint64_t group;       /* of the puts that begin; 0: none */
    uint64_t group_time;  /* their time; UINT64_MAX: now */
    struct bed_worker workers[BED_WORKERS_MAX];
};

/* Keeps the root directory between open and close, so that a store can be opened again. */
void bed_make(struct bed *bed, const struct bed_options *options); /* an empty root */
void bed_open(struct bed *bed);
/* Like bed_open, but tells an error instead of failing. */
int bed_try_open(struct bed *bed, struct bc_options_error *error_out);
void bed_close(struct bed *bed);
void bed_destroy(struct bed *bed); /* removes the root */

/* bed_make and bed_open. */
void bed_start(struct bed *bed, const struct bed_options *options);
/* bed_close and bed_destroy. */
void bed_end(struct bed *bed);

/* Tells the other workers of the groups that were dropped. */
void bed_tell(struct bed *bed);
/* One turn of every loop. */
void bed_turn(struct bed *bed);
/* Turns until *flag is set; fails after ten seconds. */
void bed_wait(struct bed *bed, const bool *flag);
/* Turns until nothing is in flight any more: background work is over. */
void bed_settle(struct bed *bed);

struct bed_worker *bed_worker_of(struct bed *bed, const struct bc_object_key *key);
struct bc_object_key bed_key(const char *text); /* the text must outlive the key */
struct bc_object_key bed_key_bytes(const void *bytes, uint32_t len);

/* The pattern. */
void bed_fill(void *data, uint64_t offset, size_t len, uint64_t seed);
bool bed_check(const void *data, uint64_t offset, size_t len, uint64_t seed);

/* ---- steps of a put, each waited for; -EAGAIN is retried after `ready` unless told otherwise */

struct bed_put {
    struct bed_worker *worker;
    struct bc_put *put;
    uint64_t size;
    uint64_t seed;
    uint64_t next;
    uint8_t meta[BC_OBJECT_META_LEN];
};
int bed_put_begin(struct bed *bed, struct bed_put *put, const struct bc_object_key *key,
                  uint64_t size, uint64_t seed);
int bed_put_begin_once(struct bed *bed, struct bed_put *put, const struct bc_object_key *key,
                       uint64_t size, uint64_t seed);
int bed_put_chunk(struct bed *bed, struct bed_put *put); /* the next one */
int bed_put_rest(struct bed *bed, struct bed_put *put);  /* all that are left */
int bed_put_commit(struct bed *bed, struct bed_put *put);
void bed_put_abort(struct bed_put *put);
/* All of it; aborts on failure. */
int bed_put(struct bed *bed, const struct bc_object_key *key, uint64_t size, uint64_t seed);

/* ---- gets ---- */

struct bed_get {
    struct bed_worker *worker;
    struct bc_get *get;
    uint64_t size;
    uint64_t version;
    uint8_t meta[BC_OBJECT_META_LEN];
};
int bed_get_open(struct bed *bed, struct bed_get *get, const struct bc_object_key *key);
/* Reads and checks [offset, offset + len) chunk by chunk; -EILSEQ when bytes are not the
 * pattern's. */
int bed_get_range(struct bed *bed, struct bed_get *get, uint64_t offset, uint64_t len,
                  uint64_t seed);
/* One chunk, kept until bed_get_release. */
int bed_get_chunk(struct bed *bed, struct bed_get *get, struct bc_get_op *op, uint64_t offset,
                  uint32_t len);
void bed_get_release(struct bed_get *get, struct bc_get_op *op);
void bed_get_close(struct bed_get *get);
/* Opens, checks size and all bytes, closes. */
int bed_get(struct bed *bed, const struct bc_object_key *key, uint64_t size, uint64_t seed);

/* ---- the rest ---- */

int bed_query(struct bed *bed, const struct bc_object_key *key, struct bc_object_result *out);
bool bed_has(struct bed *bed, const struct bc_object_key *key);
int bed_remove(struct bed *bed, const struct bc_object_key *key);
int bed_flush(struct bed *bed, uint32_t worker);
/* Number of objects that iterate shows, `step` at a time. */
uint32_t bed_count(struct bed *bed, uint32_t step);
/* Sum over the workers. */
int64_t bed_metric(struct bed *bed, const char *suffix);
/* Staging bytes leased now. */
uint64_t bed_leased(struct bed *bed);
/* Bytes of the store's files (object and temporary), rounded up to 4 KiB; 0 without a root. */
uint64_t bed_disk_bytes(struct bed *bed, uint32_t *objects_out, uint32_t *temporary_out);

BC_EXTERN_C_END

#endif
