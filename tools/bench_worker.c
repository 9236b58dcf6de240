/* SPDX-License-Identifier: Apache-2.0 */
/* bench_worker.c - one thread of the benchmark: keeps its ring of requests full; see bench.h. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "transfer.h"

#define NS_PER_MS      UINT64_C(1000000)
#define LOOK_MS        100u
#define REMOVE_AT_ONCE 4096u

/* How many requests a pass over the ring starts, and where it puts what it learns. */
struct pass {
    enum bc_op op;
    bool missing_only; /* of the keys: fill */
    bool claims;       /* every request is claimed from the phase's time or count */
    uint64_t limit;
    struct bc_bench_result *result; /* NULL: nothing is recorded */
};

static void *object_at(const struct bc_bench_worker *worker, uint64_t slot, uint64_t i)
{
    const struct bc_bench_settings *settings = &worker->bench->settings;

    return (char *)worker->memory + (slot * settings->batch + i) * worker->bench->stride;
}

/* ---- start --------------------------------------------------------------------------------- */

static bool claim(struct bc_bench_worker *worker, const struct pass *pass)
{
    struct bc_bench *bench = worker->bench;

    if (bc_bench_stopped(bench)) {
        return false;
    }
    if (!pass->claims) {
        return true;
    }
    if (bench->settings.count > 0) {
        return __atomic_fetch_sub(&bench->claims, 1, __ATOMIC_RELAXED) > 0;
    }
    return bc_cli_now_ns() < bench->end_ns;
}

/* The next block of keys that the pass is about; false when there is none. */
static bool next_block(struct bc_bench_worker *worker, const struct pass *pass, uint64_t *block_out)
{
    uint64_t batch = worker->bench->settings.batch;

    for (uint64_t i = 0; i < worker->blocks; i++) {
        uint64_t block = worker->next_block;

        worker->next_block = (block + 1) % worker->blocks;
        for (uint64_t k = 0; k < batch; k++) {
            if (!pass->missing_only || worker->rounds[block * batch + k] == 0) {
                *block_out = block;
                return true;
            }
        }
    }
    return false;
}

static void prepare(struct bc_bench_worker *worker, const struct pass *pass, uint64_t slot,
                    uint64_t block)
{
    const struct bc_bench_settings *settings = &worker->bench->settings;

    for (uint64_t i = 0; i < settings->batch; i++) {
        uint64_t key = block * settings->batch + i;
        uint32_t round = worker->rounds[key] + (pass->op == BC_PUSH ? 1 : 0);
        char *name = worker->names + i * worker->bench->name_room;
        void *at = object_at(worker, slot, i);

        worker->entries[i] =
            (struct bc_entry){.memory = worker->registered,
                              .memory_offset = (uint64_t)((char *)at - (char *)worker->memory),
                              .key = name,
                              .key_len = bc_bench_key(worker, key, round, name),
                              .length = settings->size};
        if (settings->verify && pass->op == BC_PUSH) {
            bc_bench_write(worker, key, round, at);
        } else if (settings->verify) {
            bc_bench_spoil(worker, at);
        }
    }
}

static bool start(struct bc_bench_worker *worker, const struct pass *pass, uint64_t slot_index,
                  uint64_t block)
{
    struct bc_bench_slot *slot = &worker->slots[slot_index];
    int rc;

    prepare(worker, pass, slot_index, block);
    *slot = (struct bc_bench_slot){.block = block, .start_ns = bc_cli_now_ns()};
    rc = bc_submit(worker->client, pass->op, worker->entries, worker->bench->settings.batch, NULL,
                   &slot->request);
    if (rc != 0) {
        slot->request = NULL;
        bc_bench_fail(worker->bench, bc_cli_failed(worker->bench->cli, "bench", rc));
    }
    return rc == 0;
}

/* ---- end ----------------------------------------------------------------------------------- */

/* Stamps those that ended, so that one which overtook the oldest gets its own time. */
static void stamp(struct bc_bench_worker *worker)
{
    uint64_t now_ns = 0;

    for (uint64_t i = 0; i < worker->bench->settings.depth; i++) {
        struct bc_bench_slot *slot = &worker->slots[i];

        if (slot->request != NULL && slot->end_ns == 0 &&
            bc_request_test(slot->request) != BC_STATUS_IN_PROGRESS) {
            now_ns = now_ns == 0 ? bc_cli_now_ns() : now_ns;
            slot->end_ns = now_ns;
        }
    }
}

/* Waits for one request, whatever happens no longer than it may take: false when it does not
 * end. */
static bool wait_for(struct bc_bench_worker *worker, struct bc_bench_slot *slot)
{
    uint64_t give_up_ns =
        slot->start_ns + (bc_cli_timeout_ms(worker->bench->cli) + BC_CLI_GRACE_MS) * NS_PER_MS;
    bool cancelled = false;

    while (bc_request_wait(slot->request, LOOK_MS) == BC_STATUS_IN_PROGRESS) {
        if (bc_bench_stopped(worker->bench) && !cancelled) {
            bc_request_cancel(slot->request);
            cancelled = true;
        }
        if (bc_cli_now_ns() >= give_up_ns) {
            return false;
        }
    }
    stamp(worker);
    return true;
}

/* Reads the outcome of every object. A miss is counted; what else goes wrong ends the run. */
static void judge(struct bc_bench_worker *worker, const struct pass *pass, uint64_t slot_index,
                  struct bc_bench_result *result)
{
    const struct bc_bench_settings *settings = &worker->bench->settings;
    struct bc_bench_slot *slot = &worker->slots[slot_index];

    for (uint64_t i = 0; i < settings->batch; i++) {
        enum bc_status status = bc_request_entry_status(slot->request, i);
        uint64_t key = slot->block * settings->batch + i;

        if (status == BC_STATUS_OK && pass->op == BC_PUSH) {
            worker->rounds[key]++;
        } else if (status == BC_STATUS_OK) {
            if (settings->verify && !bc_bench_check(worker, key, worker->rounds[key],
                                                    object_at(worker, slot_index, i))) {
                result->mismatches++;
            }
        } else if (status == BC_STATUS_NOT_FOUND || status == BC_STATUS_CHECKSUM) {
            result->misses++;
        } else {
            if (!bc_bench_stopped(worker->bench)) {
                bc_bench_fail(worker->bench, bc_cli_refused(worker->bench->cli, "bench", status));
            }
            return;
        }
    }
    result->requests++;
    result->objects += settings->batch;
    result->bytes += bc_request_bytes(slot->request);
    bc_cli_histogram_add(&result->times, slot->end_ns - slot->start_ns);
}

/* Ends the request in the slot; false when it never does, and its memory is lost to us. */
static bool end(struct bc_bench_worker *worker, const struct pass *pass, uint64_t slot_index,
                struct bc_bench_result *unrecorded)
{
    struct bc_bench_slot *slot = &worker->slots[slot_index];
    struct bc_bench_result *result = pass->result != NULL ? pass->result : unrecorded;

    if (!wait_for(worker, slot)) {
        bc_cli_error("bench: the agent is stopped inside a copy");
        bc_bench_fail(worker->bench, BC_CLI_UNREACHABLE);
        return false;
    }
    judge(worker, pass, slot_index, result);
    if (pass->result != NULL) {
        __atomic_store_n(&worker->bytes_now, result->bytes, __ATOMIC_RELAXED);
    }
    (void)bc_request_free(slot->request); /* it has ended */
    slot->request = NULL;
    return true;
}

/* ---- passes -------------------------------------------------------------------------------- */

/* Request n lives in slot n % depth, and the oldest is waited for before its slot is used again. */
static void run_pass(struct bc_bench_worker *worker, const struct pass *pass)
{
    uint64_t depth = worker->bench->settings.depth;
    struct bc_bench_result *unrecorded = calloc(1, sizeof(*unrecorded));
    uint64_t started = 0;
    uint64_t ended = 0;
    bool more = true;
    uint64_t block;

    if (unrecorded == NULL) {
        bc_bench_fail(worker->bench, bc_cli_failed(worker->bench->cli, "bench", -ENOMEM));
        return;
    }
    while (more || ended < started) {
        if (more && started - ended < depth) {
            more = started < pass->limit && claim(worker, pass) &&
                   next_block(worker, pass, &block) && start(worker, pass, started % depth, block);
            started += more ? 1 : 0;
        } else if (!end(worker, pass, ended++ % depth, unrecorded)) {
            break;
        }
    }
    free(unrecorded);
}

void bc_bench_worker_fill(struct bc_bench_worker *worker)
{
    struct pass pass = {
        .op = BC_PUSH, .missing_only = true, .limit = worker->blocks, .result = &worker->result};

    worker->next_block = 0;
    run_pass(worker, &pass);
    worker->next_block = 0;
}

static enum bc_op op_of(const struct bc_bench_worker *worker)
{
    return worker->bench->phase == BC_BENCH_PULLING ? BC_PULL : BC_PUSH;
}

void bc_bench_worker_warm_up(struct bc_bench_worker *worker)
{
    struct pass pass = {.op = op_of(worker), .limit = worker->bench->settings.warmup};

    run_pass(worker, &pass);
}

void bc_bench_worker_measure(struct bc_bench_worker *worker)
{
    struct pass pass = {
        .op = op_of(worker), .claims = true, .limit = UINT64_MAX, .result = &worker->result};

    run_pass(worker, &pass);
}

/* ---- clean up ------------------------------------------------------------------------------ */

static bool remove_keys(struct bc_bench_worker *worker, const struct bc_key *keys, size_t count)
{
    return count == 0 || bc_remove(worker->client, keys, count, 0, NULL) == 0;
}

/* What cannot be removed is left: the store evicts it in its time. */
void bc_bench_worker_clean(struct bc_bench_worker *worker)
{
    const struct bc_bench *bench = worker->bench;
    struct bc_key *keys = calloc(REMOVE_AT_ONCE, sizeof(*keys));
    char *names = malloc(REMOVE_AT_ONCE * bench->name_room);
    size_t count = 0;
    bool good = keys != NULL && names != NULL;

    for (uint64_t key = 0; good && key < worker->blocks * bench->settings.batch; key++) {
        uint32_t last = worker->rounds[key];
        uint32_t round = bench->settings.fresh && last > 0 ? 1 : last;

        for (; good && last > 0 && round <= last; round++) {
            char *name = names + count * bench->name_room;

            keys[count++] =
                (struct bc_key){.data = name, .len = bc_bench_key(worker, key, round, name)};
            if (count == REMOVE_AT_ONCE) {
                good = remove_keys(worker, keys, count);
                count = 0;
            }
        }
    }
    if (good) {
        (void)remove_keys(worker, keys, count);
    }
    free(keys);
    free(names);
}
