/* SPDX-License-Identifier: Apache-2.0 */
/* test_sweep.c - the scenario, once without faults to count what each twin sees, then once for each n, with
 * the n-th operation going wrong in each way. The name of the store is the program's argument. */
#include <errno.h>
#include <stdio.h>

#include "run.h"

/* Runs of one row, about; longer ones are sampled. A run on files opens its store twice: there, what can go
 * wrong above the store, and went wrong over dram, is sampled more. */
#define SAMPLE       30u
#define SAMPLE_FILES 8u

#define MS BC_NS_PER_MS
#define S  BC_NS_PER_S

#define COPIES   (1u << BC_DMA_FROM_HOST | 1u << BC_DMA_TO_HOST)
#define IMPORTS  (1u << BC_FAULTY_DMA_IMPORT)
#define RELEASES (1u << BC_FAULTY_DMA_RELEASE)
#define STREAM   (1u << BC_FAULTY_SEND | 1u << BC_FAULTY_RECV)
#define ANY      BC_FAULT_ANY_KIND
#define FILES    (1u << BC_FILE_OPEN | 1u << BC_FILE_WRITE | 1u << BC_FILE_RENAME)

/* A call that only takes less, or answers "not now", or is told late: the work goes on as if nothing had
 * happened. */
#define PATIENT \
    (ANY & ~(1u << BC_FAULTY_GET_OPEN)) /* whose -EAGAIN ends the job: no handle is left */
#define PARTS  (1u << BC_FAULTY_PUT_LEASE | 1u << BC_FAULTY_GET_CHUNK)
#define WHOLES (ANY & ~PARTS)

enum {
    HARMLESS = 1, /* every request has to succeed nevertheless */
    ON_FILES = 2, /* only for a store with files */
    BLOCKS = 4,   /* meanwhile every lease and every view is one block */
};

struct row {
    enum world_twin twin;
    uint32_t kinds;
    const char *kinds_name;
    enum bc_fault_action action;
    int error;
    uint64_t amount;
    uint32_t flags;
};

static const struct row rows[] = {
    {TWIN_DMA, COPIES, "copies", BC_FAULT_FAIL, 0, 0, 0},
    {TWIN_DMA, COPIES, "copies of blocks", BC_FAULT_FAIL, 0, 0, BLOCKS},
    {TWIN_DMA, COPIES, "copies", BC_FAULT_SHORT, 0, 1000, 0},
    {TWIN_DMA, COPIES, "copies", BC_FAULT_CORRUPT, 0, 0, HARMLESS},
    {TWIN_DMA, COPIES, "copies", BC_FAULT_DELAY, 0, 50 * MS, HARMLESS},
    {TWIN_DMA, COPIES, "copies past the deadline", BC_FAULT_DELAY, 0, 20 * S, 0},
    {TWIN_DMA, COPIES, "copies", BC_FAULT_REFUSE, 0, 0, HARMLESS},
    {TWIN_DMA, COPIES, "copies of blocks", BC_FAULT_REFUSE, 0, 0, HARMLESS | BLOCKS},
    {TWIN_DMA, COPIES, "copies", BC_FAULT_REORDER, 0, 7, HARMLESS},
    {TWIN_DMA, COPIES, "copies", BC_FAULT_VANISH, 0, 0, 0},
    {TWIN_DMA, IMPORTS, "imports", BC_FAULT_FAIL, 0, 0, 0},
    {TWIN_DMA, IMPORTS, "imports", BC_FAULT_FAIL, -ENOMEM, 0, 0},
    {TWIN_DMA, IMPORTS, "imports", BC_FAULT_VANISH, 0, 0, 0},
    {TWIN_DMA, RELEASES, "releases", BC_FAULT_FAIL, 0, 0, 0},
    {TWIN_BACKEND, ANY, "calls", BC_FAULT_FAIL, 0, 0, 0},
    {TWIN_BACKEND, ANY, "calls of blocks", BC_FAULT_FAIL, 0, 0, BLOCKS},
    {TWIN_BACKEND, ANY, "calls", BC_FAULT_FAIL, -ENOSPC, 0, 0},
    {TWIN_BACKEND, PARTS, "leases and views", BC_FAULT_SHORT, 0, 1, HARMLESS},
    {TWIN_BACKEND, WHOLES, "other calls", BC_FAULT_SHORT, 0, 0, 0},
    {TWIN_BACKEND, 1u << BC_FAULTY_PUT_CHUNK, "chunks", BC_FAULT_CORRUPT, 0, 0, 0},
    {TWIN_BACKEND, ANY, "calls", BC_FAULT_DELAY, 0, 50 * MS, HARMLESS},
    {TWIN_BACKEND, ANY, "calls past the deadline", BC_FAULT_DELAY, 0, 20 * S, 0},
    {TWIN_BACKEND, PATIENT, "calls", BC_FAULT_REFUSE, 0, 0, HARMLESS},
    {TWIN_BACKEND, PATIENT, "calls of blocks", BC_FAULT_REFUSE, 0, 0, HARMLESS | BLOCKS},
    {TWIN_BACKEND, 1u << BC_FAULTY_GET_OPEN, "opens", BC_FAULT_REFUSE, 0, 0, 0},
    {TWIN_BACKEND, ANY, "calls", BC_FAULT_REORDER, 0, 7, HARMLESS},
    {TWIN_BACKEND, ANY, "calls", BC_FAULT_VANISH, 0, 0, 0},
    {TWIN_TRANSPORT, STREAM, "calls", BC_FAULT_FAIL, 0, 0, 0},
    {TWIN_TRANSPORT, STREAM, "calls", BC_FAULT_SHORT, 0, 1, HARMLESS},
    {TWIN_TRANSPORT, STREAM, "calls", BC_FAULT_SHORT, 0, 33, HARMLESS},
    {TWIN_TRANSPORT, STREAM, "calls", BC_FAULT_CORRUPT, 0, 0, 0},
    {TWIN_TRANSPORT, STREAM, "calls", BC_FAULT_DELAY, 0, 100, HARMLESS},
    {TWIN_TRANSPORT, STREAM, "calls", BC_FAULT_REFUSE, 0, 0, HARMLESS},
    {TWIN_TRANSPORT, STREAM, "calls", BC_FAULT_VANISH, 0, 0, 0},
    {TWIN_CLOCK, ANY, "readings", BC_FAULT_DELAY, 0, 2 * S, 0},
    {TWIN_CLOCK, ANY, "readings", BC_FAULT_DELAY, 0, 3600 * S, 0},
    {TWIN_CLOCK, ANY, "readings", BC_FAULT_SHORT, 0, 100, HARMLESS},
    {TWIN_CLOCK, ANY, "readings", BC_FAULT_CORRUPT, 0, S, 0},
    {TWIN_CLOCK, ANY, "readings", BC_FAULT_VANISH, 0, 0, HARMLESS},
    {TWIN_FILES, ANY, "operations", BC_FAULT_FAIL, -EIO, 0, ON_FILES},
    {TWIN_FILES, FILES, "what takes room", BC_FAULT_FAIL, -ENOSPC, 0, ON_FILES},
    {TWIN_FILES, ANY, "operations", BC_FAULT_SHORT, 0, 4096, ON_FILES},
    {TWIN_FILES, ANY, "operations", BC_FAULT_CORRUPT, 0, 0, ON_FILES},
    {TWIN_FILES, ANY, "operations", BC_FAULT_DELAY, 0, 50 * MS, ON_FILES | HARMLESS},
    {TWIN_FILES, ANY, "operations past the deadline", BC_FAULT_DELAY, 0, 20 * S, ON_FILES},
    {TWIN_FILES, ANY, "operations", BC_FAULT_REORDER, 0, 7, ON_FILES | HARMLESS},
    {TWIN_FILES, ANY, "operations", BC_FAULT_VANISH, 0, 0, ON_FILES},
};

static const char *store;
static char root[256];
static uint64_t clean_events[TWIN_COUNT];

static bool one(const struct row *row, uint64_t n)
{
    struct run run = {.backend = store, .root = root, .workers = 1, .seed = n, .count = 1};

    run.rules[0] = (struct run_rule){.twin = row->twin,
                                     .rule = {.kinds = row->kinds,
                                              .first = n,
                                              .action = row->action,
                                              .error = row->error,
                                              .amount = row->amount}};
    if ((row->flags & BLOCKS) != 0) {
        run.rules[run.count++] = (struct run_rule){
            .twin = TWIN_BACKEND,
            .rule = {
                .kinds = PARTS, .first = 1, .every = 1, .action = BC_FAULT_SHORT, .amount = 1}};
    }
    world_label("%s, twin %s (%s), action %s (%d, %llu), n %llu, seed %llu", store,
                world_twin_names[row->twin], row->kinds_name, bc_fault_action_name(row->action),
                row->error, (unsigned long long)row->amount, (unsigned long long)n,
                (unsigned long long)run.seed);
    run_scenario(&run);
    if ((row->flags & HARMLESS) != 0 && (run.failures > 0 || run.cut_short)) {
        world_fail("%u requests failed%s", run.failures, run.cut_short ? ", or were lost" : "");
    }
    return run.struck_by_first > 0;
}

static uint64_t sample_of(const struct row *row)
{
    bool thin = root[0] != '\0' && row->twin != TWIN_FILES;
    uint64_t most = (thin ? SAMPLE_FILES : SAMPLE) / run_slowness();

    return run_setting("BLUECACHE_FAULT_FULL", 0) != 0 ? UINT64_MAX / 2 : bc_max_u64(most, 2);
}

/* Every n, or of many the first ones and then every so many. */
static void sweep_row(const struct row *row)
{
    uint64_t most = sample_of(row);
    uint64_t step = clean_events[row->twin] / most + 1;
    uint64_t runs = 0;
    uint64_t n = 1;

    /* Real files take their time, in which a clock is read more or less often. */
    while (runs < 2 * most && one(row, n)) {
        runs++;
        n += n < most / 4 ? 1 : step;
    }
    WORLD_CHECK(runs > 0);
}

static void sweep(enum world_twin twin)
{
    for (uint32_t i = 0; i < BC_ARRAY_LEN(rows); i++) {
        if (rows[i].twin == twin && ((rows[i].flags & ON_FILES) == 0 || root[0] != '\0')) {
            sweep_row(&rows[i]);
        }
    }
}

static void without_faults_everything_succeeds(void **state)
{
    struct run run = {.backend = store, .root = root, .workers = 1};

    (void)state;
    world_label("%s, no fault", store);
    run_scenario(&run);
    assert_int_equal(run.failures, 0);
    assert_false(run.cut_short);
    assert_int_equal(run.struck, 0);
    memcpy(clean_events, run.events, sizeof(clean_events));
    for (uint32_t twin = 0; twin < TWIN_COUNT; twin++) {
        print_message("%s: %llu\n", world_twin_names[twin], (unsigned long long)run.events[twin]);
        assert_true(run.events[twin] >= (twin == TWIN_FILES && root[0] == '\0' ? 0 : 20));
    }
}

static void any_copy_may_go_wrong(void **state)
{
    (void)state;
    sweep(TWIN_DMA);
}

static void any_call_of_the_store_may_go_wrong(void **state)
{
    (void)state;
    sweep(TWIN_BACKEND);
}

static void any_file_operation_may_go_wrong(void **state)
{
    (void)state;
    sweep(TWIN_FILES);
}

static void any_byte_of_the_connection_may_go_wrong(void **state)
{
    (void)state;
    sweep(TWIN_TRANSPORT);
}

static void time_may_jump_and_stand_still(void **state)
{
    (void)state;
    sweep(TWIN_CLOCK);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_faults_everything_succeeds),
        cmocka_unit_test(any_copy_may_go_wrong),
        cmocka_unit_test(any_call_of_the_store_may_go_wrong),
        cmocka_unit_test(any_file_operation_may_go_wrong),
        cmocka_unit_test(any_byte_of_the_connection_may_go_wrong),
        cmocka_unit_test(time_may_jump_and_stand_still),
    };
    int failed;

    store = argc > 1 ? argv[1] : "dram";
    if (argc > 2) {
        cmocka_set_test_filter(argv[2]);
    }
    world_make_root(store, root, sizeof(root));
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_remove_roots();
    return failed;
}
