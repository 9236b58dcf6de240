/* SPDX-License-Identifier: Apache-2.0 */
/* conformance_random.c - many puts, gets and removes of few keys at once, in an order drawn by a
 * seed (printed on failure), with file operations that take their time. Whatever the interleaving:
 *
 *   - a get shows one put's bytes, whole, from its open to its close;
 *   - not those of a put that was aborted or whose commit had not been called;
 *   - not those of a put that was over before another one's commit, or before a remove, began, if
 *     that was over before the get was opened;
 *   - everything ends, and nothing is left. */
#include "conformance.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "testlib/faulty_files.h"

enum {
    KEYS = 5,
    ACTORS = 14,
    PUTS_MAX = 4000,
    ACTIONS = 1500,
    ROUNDS_MAX = 400000,
};

enum kind { ACTOR_NONE = 0, ACTOR_PUT, ACTOR_GET, ACTOR_REMOVE };

/* What one put wrote, and when: stamps of a clock that ticks with each event. */
struct written {
    uint32_t key;
    uint64_t size;
    uint64_t commit_called;
    uint64_t commit_done; /* 0: not */
    bool cancelled;
};

struct removal {
    uint32_t key;
    uint64_t called;
    uint64_t done;
};

struct actor {
    enum kind kind;
    uint32_t key;
    bool busy; /* waits for a callback */
    bool open;
    bool committing;
    uint64_t called;
    uint32_t written; /* of a put: its number; also the seed of its bytes */
    uint64_t next;
    uint64_t size;
    uint32_t holds; /* of a get: steps until it is closed */
    bool chunk_held;
    struct bc_put *put;
    struct bc_get *get;
    struct bc_put_op put_op;
    struct bc_get_op get_op;
    struct bc_open_op open_op;
    struct bc_batch_op batch_op;
    struct bc_object_result result;
};

static struct {
    struct bed bed;
    struct bc_faulty_files files[BED_WORKERS_MAX];
    struct bc_object_key keys[KEYS];
    struct actor actors[ACTORS];
    struct written puts[PUTS_MAX];
    uint32_t put_count;
    struct removal removals[PUTS_MAX]; /* that are over */
    uint32_t removal_count;
    uint64_t stamp;
    uint64_t shown;
    uint64_t refused;
    uint64_t random;
} world;

static uint32_t draw(uint32_t below)
{
    world.random = world.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(world.random >> 33) % below;
}

static const struct bc_backend_ops *ops_of(const struct actor *actor, struct bc_backend **backend)
{
    *backend = bed_worker_of(&world.bed, &world.keys[actor->key])->backend;
    return (*backend)->ops;
}

static void finish(struct actor *actor)
{
    memset(actor, 0, sizeof(*actor));
}

/* ---- puts ---- */

static void put_committed(struct bc_batch_op *op, int result)
{
    struct actor *actor = BC_CONTAINER_OF(op, struct actor, batch_op);

    assert_true(result == 0 || result == -ECANCELED);
    if (result == 0) {
        world.puts[actor->written].commit_done = ++world.stamp;
    } else {
        world.puts[actor->written].cancelled = true;
    }
    finish(actor);
}

static void put_stored(struct bc_put_op *op, int result)
{
    struct actor *actor = BC_CONTAINER_OF(op, struct actor, put_op);

    assert_int_equal(result, 0);
    actor->busy = false;
}

static void put_begin(struct actor *actor, struct bc_backend *backend)
{
    static const uint64_t sizes[] = {0, 1, 4096, 70000, 200000, 400000};
    struct bc_put_hints hints = {.meta = NULL};
    int rc;

    if (world.put_count == PUTS_MAX) {
        finish(actor);
        return;
    }
    actor->size = sizes[draw(BC_ARRAY_LEN(sizes))];
    rc =
        backend->ops->put_begin(backend, &world.keys[actor->key], actor->size, &hints, &actor->put);
    if (rc == -EAGAIN) {
        finish(actor); /* others first */
        return;
    }
    assert_int_equal(rc, 0);
    actor->open = true;
    actor->written = world.put_count++;
    world.puts[actor->written] = (struct written){.key = actor->key, .size = actor->size};
}

static void put_step(struct actor *actor)
{
    struct bc_backend *backend;
    const struct bc_backend_ops *ops = ops_of(actor, &backend);
    int rc;

    if (!actor->open) {
        put_begin(actor, backend);
    } else if (draw(40) == 0) {
        ops->put_abort(actor->put);
        finish(actor);
    } else if (actor->next < actor->size) {
        uint32_t want = (uint32_t)bc_min_u64(2 * BC_CRC_BLOCK_SIZE, actor->size - actor->next);

        rc = ops->put_lease(actor->put, actor->next, want, &actor->put_op.extent);
        if (rc == -EAGAIN) {
            return;
        }
        if (rc == -ENOSPC && !conformance_persistent()) {
            /* Puts that hold one another's memory: one of them has to go. */
            ops->put_abort(actor->put);
            finish(actor);
            world.refused++;
            return;
        }
        assert_int_equal(rc, 0);
        bed_fill(actor->put_op.extent.data, actor->next, actor->put_op.extent.len, actor->written);
        actor->put_op.offset = actor->next;
        actor->put_op.done = put_stored;
        actor->next += actor->put_op.extent.len;
        actor->busy = true;
        ops->put_chunk(actor->put, &actor->put_op);
    } else {
        world.puts[actor->written].commit_called = ++world.stamp;
        actor->batch_op.done = put_committed;
        actor->busy = true;
        ops->put_commit(actor->put, &actor->batch_op);
    }
}

/* ---- gets ---- */

/* Whose bytes are these? They hold the seed's pattern; an empty object has none to tell. */
static bool is_of(const struct written *put, uint32_t number, const struct actor *actor)
{
    return put->key == actor->key && put->size == actor->size && put->commit_called > 0 &&
           (actor->get_op.data == NULL ||
            bed_check(actor->get_op.data, actor->get_op.offset, actor->get_op.len, number));
}

/* Whether the put could be seen by a get that was opened at `opened`. */
static bool visible(const struct written *put, uint64_t opened)
{
    if (put->commit_done == 0) {
        return !put->cancelled; /* under way */
    }
    for (uint32_t i = 0; i < world.removal_count; i++) {
        const struct removal *removal = &world.removals[i];

        if (removal->key == put->key && removal->called > put->commit_done &&
            removal->done < opened) {
            return false;
        }
    }
    for (uint32_t i = 0; i < world.put_count; i++) {
        const struct written *later = &world.puts[i];

        if (later->key == put->key && later->commit_called > put->commit_done &&
            later->commit_done > 0 && later->commit_done < opened) {
            return false;
        }
    }
    return true;
}

/* Finds the put at the first chunk; later chunks must be the same one's. */
static void check_shown(struct actor *actor)
{
    if (actor->written != UINT32_MAX) {
        assert_true(
            bed_check(actor->get_op.data, actor->get_op.offset, actor->get_op.len, actor->written));
        return;
    }
    for (uint32_t i = 0; i < world.put_count; i++) {
        if (is_of(&world.puts[i], i, actor) && visible(&world.puts[i], actor->called)) {
            actor->written = i;
            return;
        }
    }
    fail_msg("an object of %llu bytes that nobody may have written",
             (unsigned long long)actor->size);
}

static void get_shown(struct bc_get_op *op, int result)
{
    struct actor *actor = BC_CONTAINER_OF(op, struct actor, get_op);

    assert_int_equal(result, 0);
    check_shown(actor);
    actor->busy = false;
    actor->chunk_held = true;
    actor->next = op->offset + op->len;
    world.shown += op->len;
}

static void get_opened(struct bc_open_op *op, int result)
{
    struct actor *actor = BC_CONTAINER_OF(op, struct actor, open_op);

    assert_true(result == 0 || result == -ENOENT || result == -EAGAIN);
    if (result != 0) {
        finish(actor);
        return;
    }
    actor->busy = false;
    actor->open = true;
    actor->get = op->get;
    actor->size = op->size;
    actor->holds = draw(30);
    if (op->size == 0) {
        check_shown(actor);
    }
}

static void get_step(struct actor *actor)
{
    struct bc_backend *backend;
    const struct bc_backend_ops *ops = ops_of(actor, &backend);

    if (!actor->open) {
        actor->called = ++world.stamp;
        actor->written = UINT32_MAX;
        actor->open_op.key = world.keys[actor->key];
        actor->open_op.done = get_opened;
        actor->busy = true;
        ops->get_open(backend, &actor->open_op);
    } else if (actor->chunk_held) {
        ops->get_release(actor->get, &actor->get_op);
        actor->chunk_held = false;
    } else if (actor->next < actor->size) {
        actor->get_op.offset = actor->next;
        actor->get_op.len = (uint32_t)bc_min_u64(actor->size - actor->next, 3 * BC_CRC_BLOCK_SIZE);
        actor->get_op.done = get_shown;
        actor->busy = ops->get_chunk(actor->get, &actor->get_op) == 0;
    } else if (actor->holds > 0) {
        actor->holds--;
        if (actor->holds % 10 == 5) {
            actor->next = 0; /* read it again */
        }
    } else {
        ops->get_close(actor->get);
        finish(actor);
    }
}

/* ---- removes ---- */

static void removed(struct bc_batch_op *op, int result)
{
    struct actor *actor = BC_CONTAINER_OF(op, struct actor, batch_op);

    assert_int_equal(result, 0);
    assert_true(actor->result.result == 0 || actor->result.result == -ENOENT);
    assert_true(world.removal_count < PUTS_MAX);
    world.removals[world.removal_count++] =
        (struct removal){.key = actor->key, .called = actor->called, .done = ++world.stamp};
    finish(actor);
}

static void remove_step(struct actor *actor)
{
    struct bc_backend *backend;
    const struct bc_backend_ops *ops = ops_of(actor, &backend);

    actor->called = ++world.stamp;
    actor->busy = true;
    actor->batch_op = (struct bc_batch_op){
        .keys = &world.keys[actor->key], .results = &actor->result, .count = 1, .done = removed};
    ops->remove(backend, &actor->batch_op);
}

/* ---- the play ---- */

static void step(struct actor *actor)
{
    if (actor->busy) {
        return;
    }
    switch (actor->kind) {
    case ACTOR_PUT:
        put_step(actor);
        break;
    case ACTOR_GET:
        get_step(actor);
        break;
    case ACTOR_REMOVE:
        remove_step(actor);
        break;
    case ACTOR_NONE:
    default:
        break;
    }
}

static void enter(struct actor *actor)
{
    uint32_t lot = draw(12);

    actor->kind = lot < 5 ? ACTOR_PUT : lot < 11 ? ACTOR_GET : ACTOR_REMOVE;
    actor->key = draw(KEYS);
}

static uint32_t play(uint32_t actions)
{
    uint32_t entered = 0;
    uint32_t on_stage = 1;
    uint32_t rounds = 0;

    while (on_stage > 0) {
        on_stage = 0;
        for (uint32_t i = 0; i < ACTORS; i++) {
            struct actor *actor = &world.actors[i];

            if (actor->kind == ACTOR_NONE && entered < actions && draw(3) == 0) {
                enter(actor);
                entered++;
            }
            step(actor);
            on_stage += actor->kind != ACTOR_NONE;
        }
        on_stage += entered < actions;
        for (uint32_t i = 0; i < world.bed.options.workers; i++) {
            (void)bc_loop_turn(world.bed.workers[i].loop, 50 * BC_NS_PER_US);
        }
        assert_true(++rounds < ROUNDS_MAX);
    }
    return rounds;
}

static struct bc_files *slow_files(void *arg, uint32_t worker, struct bc_loop *loop,
                                   struct bc_files *files)
{
    struct bc_faulty_files *slow = &world.files[worker];

    (void)arg;
    bc_faulty_files_init(slow, files, loop, world.random + worker);
    bc_faults_add(&slow->faults, (struct bc_fault_rule){.kinds = BC_FAULT_ANY_KIND,
                                                        .chance = 150,
                                                        .action = BC_FAULT_DELAY,
                                                        .amount = 300 * BC_NS_PER_US});
    bc_faults_add(&slow->faults, (struct bc_fault_rule){.kinds = BC_FAULT_ANY_KIND,
                                                        .chance = 150,
                                                        .action = BC_FAULT_DELAY,
                                                        .amount = 50 * BC_NS_PER_US});
    return &slow->files;
}

static uint32_t slow_files_busy(void *arg)
{
    (void)arg;
    return world.files[0].under_way + world.files[1].under_way;
}

static void play_seed(uint64_t seed, uint32_t workers, uint64_t capacity)
{
    static const char *const names[KEYS] = {"k0", "k1", "k2", "k3", "k4"};
    struct bed_options options = conformance_options(workers);
    uint32_t objects;
    uint32_t temporary;

    memset(&world, 0, sizeof(world));
    world.random = seed;
    print_message("seed %llu\n", (unsigned long long)seed);
    options.capacity = capacity;
    options.handles_max = ACTORS - 2;
    options.wrap = slow_files;
    options.busy = slow_files_busy;
    for (uint32_t i = 0; i < KEYS; i++) {
        world.keys[i] = bed_key(names[i]);
    }
    bed_start(&world.bed, &options);
    (void)play(ACTIONS);
    assert_true(world.shown > 1000000);
    assert_true(world.refused < 20);
    for (uint32_t i = 0; i < KEYS; i++) {
        (void)bed_remove(&world.bed, &world.keys[i]);
    }
    bed_settle(&world.bed);
    assert_int_equal(bed_metric(&world.bed, "objects"), 0);
    assert_int_equal(bed_metric(&world.bed, "checksum_errors_total"), 0);
    assert_int_equal(bed_metric(&world.bed, "io_errors_total"), 0);
    assert_int_equal(bed_leased(&world.bed), 0);
    /* Files of evicted objects may wait to be written anew. */
    assert_int_equal(bed_metric(&world.bed, "used_bytes"),
                     bed_disk_bytes(&world.bed, &objects, &temporary));
    assert_int_equal(objects, 0);
    assert_int_equal(temporary,
                     conformance_persistent() ? bed_metric(&world.bed, "spare_files") : 0);
    if (temporary == 0) {
        assert_int_equal(bed_metric(&world.bed, "used_bytes"), 0);
    }
    bed_end(&world.bed);
}

static uint64_t first_seed(void)
{
    const char *text = getenv("BC_TEST_SEED");

    return text == NULL ? 1 : strtoull(text, NULL, 10);
}

static void interleaved_calls_keep_every_promise(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 3; i++) {
        play_seed(first_seed() + i, 1, 64 * BED_MIB);
    }
}

static void so_they_do_while_objects_are_evicted(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 3; i++) {
        play_seed(first_seed() + 100 + i, 1, 900000);
    }
}

static void so_they_do_with_two_workers(void **state)
{
    (void)state;
    play_seed(first_seed() + 200, 2, 64 * BED_MIB);
    play_seed(first_seed() + 201, 2, 900000);
}

const struct CMUnitTest conformance_random[] = {
    cmocka_unit_test(interleaved_calls_keep_every_promise),
    cmocka_unit_test(so_they_do_while_objects_are_evicted),
    cmocka_unit_test(so_they_do_with_two_workers),
};
const size_t conformance_random_count = BC_ARRAY_LEN(conformance_random);
