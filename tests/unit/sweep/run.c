/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - see run.h. */
#include "run.h"

static void add_rules(struct world *world, struct run *run)
{
    for (uint32_t i = 0; i < run->count; i++) {
        world_add_rule(world, run->rules[i].twin, run->rules[i].rule);
    }
}

static bool falls_silent(const struct run *run)
{
    for (uint32_t i = 0; i < run->count; i++) {
        if (run->rules[i].twin == TWIN_TRANSPORT) {
            return true;
        }
    }
    return false;
}

/* A store that outlives its agent shows the same after a restart, and has cleaned up. */
static void restart(struct world *world, struct scenario *scenario, const struct run *run)
{
    if (run->root[0] == '\0') {
        return;
    }
    scenario_carry(scenario);
    world_close(world);
    world_open(world, run->backend, run->workers, run->root, run->seed);
    scenario_verify(scenario, false);
}

void run_scenario(struct run *run)
{
    static struct world world;
    static struct scenario scenario;
    uint32_t descriptors = world_descriptors();
    bool stranded = false;

    world_open(&world, run->backend, run->workers, run->root, run->seed);
    scenario_init(&scenario, &world);
    add_rules(&world, run);
    scenario_run(&scenario, falls_silent(run));
    run->struck = world_struck_any(&world);
    run->struck_by_first =
        run->count == 0 ? 0 : world_struck(&world, run->rules[0].twin, run->rules[0].rule.action);
    run->failures = scenario.failures;
    run->cut_short = scenario.cut_short;
    for (uint32_t action = 0; action < BC_FAULT_ACTION_COUNT; action++) {
        stranded = stranded || world_struck(&world, TWIN_FILES, action) > 0;
    }
    for (uint32_t twin = 0; twin < TWIN_COUNT; twin++) {
        run->events[twin] = world_events(&world, twin);
    }
    scenario_verify(&scenario, stranded);
    restart(&world, &scenario, run);
    scenario_clean(&scenario);
    world_close(&world);
    WORLD_CHECK_EQUAL(world_descriptors(), descriptors);
}
