/* SPDX-License-Identifier: Apache-2.0 */
/* run.h - one run of the scenario in a world of its own, from its making to the proof that nothing is left. */
#ifndef BC_TEST_SWEEP_RUN_H
#define BC_TEST_SWEEP_RUN_H

#include "scenario.h"

#define RUN_RULES_MAX 8u

struct run_rule {
    enum world_twin twin;
    struct bc_fault_rule rule;
};

struct run {
    const char *backend;
    const char *root;
    uint32_t workers;
    uint64_t seed;
    struct run_rule rules[RUN_RULES_MAX];
    uint32_t count;
    /* results */
    uint64_t struck;
    uint64_t struck_by_first; /* by the action of rules[0] in its twin */
    uint32_t failures;
    bool cut_short;              /* the connection was lost before the work was done */
    uint64_t events[TWIN_COUNT]; /* operations that each twin saw in the work */
};

void run_scenario(struct run *run);

#endif
