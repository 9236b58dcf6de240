/* SPDX-License-Identifier: Apache-2.0 */
/* bed.c - starting and ending the bed, turning its loops, and looking at what is left.
 * Thread: the test's. */
#include "bed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "testlib/recount.h"

#define WAIT_S   20
#define TURN_NS  (200 * BC_NS_PER_US)
#define IDLE_MIN 3

void bed_make(struct bed *bed, const struct bed_options *options)
{
    const char *base = getenv("TMPDIR");

    memset(bed, 0, sizeof(*bed));
    bed->options = *options;
    bed->options.workers = options->workers == 0 ? 1 : options->workers;
    bed->options.capacity = options->capacity == 0 ? 64 * BED_MIB : options->capacity;
    bed->options.pool_len = options->pool_len == 0 ? 16 * BED_MIB : options->pool_len;
    bed->options.cache_len = options->cache_len == 0 ? 12 * BED_MIB : options->cache_len;
    bed->options.handles_max = options->handles_max == 0 ? 64 : options->handles_max;
    bed->chunk_len = BED_MIB;
    bed->group_time = UINT64_MAX;
    bed->type = bc_backend_find(options->backend);
    assert_non_null(bed->type);
    if (bed->type->open_store != NULL) {
        (void)snprintf(bed->root, sizeof(bed->root), "%s/bc-backend-XXXXXX",
                       base == NULL ? "/tmp" : base);
        assert_non_null(mkdtemp(bed->root));
    }
}

static void ready(void *arg)
{
    struct bed_worker *worker = arg;

    worker->ready_calls++;
}

void bed_tell(struct bed *bed)
{
    for (uint32_t i = 0; i < bed->options.workers; i++) {
        struct bc_backend *from = bed->workers[i].backend;
        struct bc_group_drop *drop;

        while ((drop = bed->workers[i].drops) != NULL) {
            bed->workers[i].drops = drop->next;
            for (uint32_t k = 0; k < bed->options.workers; k++) {
                struct bc_backend *to = bed->workers[k].backend;

                if (k != i) {
                    to->ops->group_drop(to, drop->name, drop->time);
                }
            }
            from->ops->group_told(from, drop);
        }
    }
}

static void group_dropped(void *arg, struct bc_group_drop *drop)
{
    struct bed_worker *worker = arg;

    drop->next = worker->drops;
    worker->drops = drop;
    if (!worker->bed->hold_drops) {
        bed_tell(worker->bed);
    }
}

static void base_open(struct bed *bed, struct bed_worker *worker)
{
    struct bc_staging_options staging = {.pool_len = bed->options.pool_len,
                                         .cache_len = bed->options.cache_len};
    struct bc_loop_options loop = {.name = "bed"};

    worker->bed = bed;
    worker->ready_calls = 0;
    assert_int_equal(bc_metrics_create(&worker->metrics), 0);
    assert_int_equal(bc_loop_create(&loop, &worker->loop), 0);
    assert_int_equal(bc_staging_create(&staging, NULL, &worker->staging), 0);
    bc_uring_files_init(&worker->files, worker->loop);
}

static void base_close(struct bed_worker *worker)
{
    bc_metrics_destroy(worker->metrics);
    bc_staging_destroy(worker->staging);
    bc_loop_destroy(worker->loop);
    worker->metrics = NULL;
    worker->staging = NULL;
    worker->loop = NULL;
}

static int create(struct bed *bed, uint32_t index, struct bc_options_error *error_out)
{
    struct bed_worker *worker = &bed->workers[index];
    struct bc_files *files = &worker->files.files;
    struct bc_backend_env env = {
        .loop = worker->loop,
        .staging = worker->staging,
        .metrics = worker->metrics,
        .root = bed->root,
        .capacity = bed->options.capacity,
        .worker = index,
        .workers = bed->options.workers,
        .handles_max = bed->options.handles_max,
        .group_clock = &bed->group_clock,
    };
    int rc;

    if (bed->options.wrap != NULL) {
        files = bed->options.wrap(bed->options.wrap_arg, index, worker->loop, files);
    }
    env.files = files;
    rc = bed->type->create(&env, bed->store, error_out, &worker->backend);
    if (rc == 0) {
        worker->backend->ready = ready;
        worker->backend->ready_arg = worker;
        worker->backend->group_dropped = group_dropped;
        worker->backend->group_arg = worker;
    }
    return rc;
}

int bed_try_open(struct bed *bed, struct bc_options_error *error_out)
{
    int rc = 0;

    bed->store = NULL;
    bed->group_clock = 0;
    if (bed->type->open_store != NULL) {
        rc = bed->type->open_store(bed->root, false, bed->options.workers, error_out, &bed->store);
    }
    for (uint32_t i = 0; rc == 0 && i < bed->options.workers; i++) {
        base_open(bed, &bed->workers[i]);
        rc = create(bed, i, error_out);
        if (rc != 0) {
            base_close(&bed->workers[i]);
        }
    }
    return rc;
}

void bed_open(struct bed *bed)
{
    struct bc_options_error error = {.text = ""};

    if (bed_try_open(bed, &error) != 0) {
        fail_msg("cannot open the store: %s", error.text);
    }
}

struct wait_op {
    struct bc_batch_op op;
    bool done;
};

static void wait_done(struct bc_batch_op *op, int result)
{
    struct wait_op *wait = BC_CONTAINER_OF(op, struct wait_op, op);

    assert_int_equal(result, 0);
    wait->done = true;
}

void bed_close(struct bed *bed)
{
    bed_tell(bed);
    for (uint32_t i = 0; i < bed->options.workers; i++) {
        struct bed_worker *worker = &bed->workers[i];
        struct wait_op stop = {.op = {.done = wait_done}};

        worker->backend->ops->stop(worker->backend, &stop.op);
        bed_wait(bed, &stop.done);
    }
    for (uint32_t i = 0; i < bed->options.workers; i++) {
        struct bed_worker *worker = &bed->workers[i];

        worker->backend->ops->destroy(worker->backend);
        worker->backend = NULL;
    }
    for (uint32_t i = 0; i < bed->options.workers; i++) {
        base_close(&bed->workers[i]);
    }
    if (bed->store != NULL) {
        bed->type->close_store(bed->store);
        bed->store = NULL;
    }
}

void bed_destroy(struct bed *bed)
{
    if (bed->root[0] != '\0') {
        bc_tree_remove(bed->root);
    }
}

void bed_start(struct bed *bed, const struct bed_options *options)
{
    bed_make(bed, options);
    bed_open(bed);
}

void bed_end(struct bed *bed)
{
    bed_close(bed);
    bed_destroy(bed);
}

void bed_turn(struct bed *bed)
{
    for (uint32_t i = 0; i < bed->options.workers; i++) {
        (void)bc_loop_turn(bed->workers[i].loop, TURN_NS);
    }
}

void bed_wait(struct bed *bed, const bool *flag)
{
    const struct bc_clock *clock = bc_clock_monotonic();
    uint64_t deadline = bc_clock_now_ns(clock) + WAIT_S * BC_NS_PER_S;

    while (!*flag) {
        bed_turn(bed);
        if (bc_clock_now_ns(clock) > deadline) {
            fail_msg("nothing happened for %d seconds", WAIT_S);
        }
    }
}

void bed_settle(struct bed *bed)
{
    const struct bc_clock *clock = bc_clock_monotonic();
    uint64_t deadline = bc_clock_now_ns(clock) + WAIT_S * BC_NS_PER_S;
    uint32_t idle = 0;

    while (idle < IDLE_MIN) {
        uint32_t busy = 0;

        if (bed->options.busy != NULL) {
            busy += bed->options.busy(bed->options.wrap_arg);
        }
        for (uint32_t i = 0; i < bed->options.workers; i++) {
            busy += bc_loop_turn(bed->workers[i].loop, 0);
            busy += bc_loop_in_flight(bed->workers[i].loop);
        }
        idle = busy == 0 ? idle + 1 : 0;
        if (bc_clock_now_ns(clock) > deadline) {
            fail_msg("background work did not end in %d seconds", WAIT_S);
        }
    }
}

int64_t bed_metric(struct bed *bed, const char *suffix)
{
    char name[128];
    int64_t sum = 0;

    (void)snprintf(name, sizeof(name), "bluecache_%s_%s", bed->options.backend, suffix);
    for (uint32_t i = 0; i < bed->options.workers; i++) {
        assert_true(bc_recount_metric(bed->workers[i].metrics, name, &sum));
    }
    return sum;
}

uint64_t bed_leased(struct bed *bed)
{
    uint64_t leased = 0;

    for (uint32_t i = 0; i < bed->options.workers; i++) {
        leased +=
            bed->options.pool_len - bc_staging_free_len(bed->workers[i].staging, BC_LEASE_STREAM);
    }
    return leased;
}

uint64_t bed_disk_bytes(struct bed *bed, uint32_t *objects_out, uint32_t *temporary_out)
{
    int64_t bytes = bc_recount_store(bed->root, objects_out, temporary_out);

    assert_true(bytes >= 0);
    return (uint64_t)bytes;
}
