/* SPDX-License-Identifier: Apache-2.0 */
/* test_random.c - the scenario with several faults at once, in several twins, chosen by a seed: what the sweep
 * of single faults cannot meet. The name of the store is the program's argument. */
#include <errno.h>
#include <stdio.h>

#include "run.h"

#define RUNS_DEFAULT 150u
#define RULES_MAX    5u

static const char *store;
static char root[256];

static const int errors[] = {0, -EIO, -ENOSPC, -ENOMEM, -EBUSY};

static const uint32_t kind_counts[TWIN_COUNT] = {
    [TWIN_BACKEND] = BC_FAULTY_BACKEND_KINDS,
    [TWIN_FILES] = BC_FILE_KIND_COUNT,
    [TWIN_DMA] = BC_FAULTY_DMA_KINDS,
    [TWIN_TRANSPORT] = BC_FAULTY_CONNECT,
    [TWIN_CLOCK] = 1,
};

/* Something between 1 and 2^bits, small values as likely as large ones. */
static uint64_t any_size(struct bc_faults *random, uint32_t bits)
{
    return 1 + bc_faults_random(random) % (UINT64_C(1) << (1 + bc_faults_random(random) % bits));
}

static uint64_t any_amount(struct bc_faults *random, enum world_twin twin,
                           enum bc_fault_action action)
{
    if (action == BC_FAULT_REORDER) {
        return any_size(random, 6);
    }
    if (action == BC_FAULT_DELAY && twin == TWIN_TRANSPORT) {
        return any_size(random, 8);
    }
    if (action == BC_FAULT_DELAY || (action == BC_FAULT_CORRUPT && twin == TWIN_CLOCK)) {
        return any_size(random, 31); /* up to two seconds */
    }
    return any_size(random, 17);
}

static struct run_rule any_rule(struct bc_faults *random)
{
    enum world_twin twin = (enum world_twin)(bc_faults_random(random) % TWIN_COUNT);
    enum bc_fault_action action =
        (enum bc_fault_action)(1 + bc_faults_random(random) % (BC_FAULT_ACTION_COUNT - 1));
    bool counted = bc_faults_random(random) % 2 == 0;
    uint32_t kind = (uint32_t)(bc_faults_random(random) % (2 * kind_counts[twin]));

    if (twin == TWIN_FILES && root[0] == '\0') {
        twin = TWIN_BACKEND;
    }
    if (twin == TWIN_CLOCK && (action == BC_FAULT_VANISH || action == BC_FAULT_SHORT)) {
        action = BC_FAULT_DELAY; /* while time stands still, what waits for it cannot end */
    }
    return (struct run_rule){
        .twin = twin,
        .rule = {.kinds = kind < kind_counts[twin] ? 1u << kind : BC_FAULT_ANY_KIND,
                 .first = counted ? any_size(random, 7) : 0,
                 .every = counted && bc_faults_random(random) % 2 == 0 ? any_size(random, 7) : 0,
                 .chance = (uint32_t)(bc_faults_random(random) % 60),
                 .action = action,
                 .error = twin == TWIN_BACKEND || twin == TWIN_FILES
                              ? errors[bc_faults_random(random) % BC_ARRAY_LEN(errors)]
                              : 0,
                 .amount = any_amount(random, twin, action)}};
}

static bool one(uint64_t seed)
{
    struct run run = {.backend = store, .root = root, .workers = 1 + seed % 2, .seed = seed};
    struct bc_faults random;
    char rules[300] = "";
    size_t len = 0;

    bc_faults_init(&random, seed);
    run.count = 1 + (uint32_t)(bc_faults_random(&random) % RULES_MAX);
    for (uint32_t i = 0; i < run.count; i++) {
        run.rules[i] = any_rule(&random);
        len += (size_t)snprintf(rules + len, sizeof(rules) - len, " %s:%s",
                                world_twin_names[run.rules[i].twin],
                                bc_fault_action_name(run.rules[i].rule.action));
    }
    world_label("%s, random, twins and actions%s, n random, seed %llu (BLUECACHE_FAULT_SEED)",
                store, rules, (unsigned long long)seed);
    run_scenario(&run);
    return run.struck > 0;
}

static void many_things_go_wrong_at_once(void **state)
{
    uint64_t only = run_setting("BLUECACHE_FAULT_SEED", 0);
    uint64_t runs = run_setting("BLUECACHE_FAULT_RUNS", RUNS_DEFAULT / run_slowness());
    uint64_t struck = 0;

    (void)state;
    if (only != 0) {
        (void)one(only);
        return;
    }
    for (uint64_t seed = 1; seed <= runs; seed++) {
        struck += one(seed);
    }
    assert_true(struck > runs / 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(many_things_go_wrong_at_once)};
    int failed;

    store = argc > 1 ? argv[1] : "dram";
    world_make_root(store, root, sizeof(root));
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_remove_roots();
    return failed;
}
