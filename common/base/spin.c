/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spin.h"

#include <sched.h>

#define SPIN_REST_WAITS 64u
/* Waits without polling until the whole budget is tried again: where two sides sleep their waits
 * are long for the very reason that both sleep. */
#define SPIN_TRY_WAITS 64u
/* A budget below this part of the most is not worth a look. */
#define SPIN_LEAST_PART 16u

void bc_spin_init(struct bc_spin *spin, uint64_t max_ns)
{
    *spin = (struct bc_spin){.max_ns = max_ns, .budget_ns = max_ns};
}

/* Looks are much closer together than max_ns: to be so late is to have been off the processor. */
static bool was_kept_away(const struct bc_spin *spin, uint64_t waited_ns)
{
    return spin->polling && waited_ns / 2 > spin->max_ns;
}

bool bc_spin_again(struct bc_spin *spin, uint64_t waited_ns, bool expected)
{
    bool again = waited_ns < (expected ? spin->max_ns : spin->budget_ns);

    if (was_kept_away(spin, waited_ns)) {
        spin->rest = SPIN_REST_WAITS;
    }
    again = again && (expected || spin->rest == 0);
    spin->polling = again && !expected; /* by whom it comes may well need this processor */
    if (again) {
        (void)sched_yield();
    }
    return again;
}

void bc_spin_learn(struct bc_spin *spin, uint64_t waited_ns)
{
    if (was_kept_away(spin, waited_ns)) {
        spin->rest = SPIN_REST_WAITS;
    } else if (spin->rest > 0) {
        spin->rest--;
    }
    spin->polling = false;
    if (waited_ns <= spin->max_ns) {
        spin->budget_ns = spin->max_ns;
        spin->slept = 0;
    } else if (spin->budget_ns == 0 && ++spin->slept >= SPIN_TRY_WAITS) {
        spin->budget_ns = spin->max_ns;
        spin->slept = 0;
    } else {
        spin->budget_ns /= 2;
        if (spin->budget_ns < spin->max_ns / SPIN_LEAST_PART) {
            spin->budget_ns = 0;
        }
    }
}
