/* SPDX-License-Identifier: Apache-2.0 */
/* faulty_clock.c - see faulty_clock.h. */
#include "testlib/faulty_clock.h"

static void strike(struct bc_faulty_clock *self, const struct bc_fault_rule *rule)
{
    switch (rule->action) {
    case BC_FAULT_SHORT:
        self->still = rule->amount;
        break;
    case BC_FAULT_CORRUPT:
        self->step_ns = rule->amount;
        break;
    case BC_FAULT_DELAY:
        self->ahead_ns += rule->amount;
        break;
    case BC_FAULT_VANISH:
        self->vanished = true;
        break;
    default:
        break;
    }
}

static uint64_t faulty_now_ns(const struct bc_clock *clock)
{
    /* Reading a clock is const for its users; this one counts. */
    struct bc_faulty_clock *self =
        BC_CONTAINER_OF((struct bc_clock *)(uintptr_t)clock, struct bc_faulty_clock, clock);
    const struct bc_fault_rule *rule = bc_faults_next(&self->faults, 0);
    uint64_t now_ns;

    if (rule != NULL) {
        strike(self, rule);
    }
    if (self->vanished) {
        return self->last_ns;
    }
    if (self->still > 0) {
        self->still--;
        return self->last_ns;
    }
    now_ns = bc_clock_now_ns(self->real) + self->ahead_ns;
    if (self->step_ns > 0) {
        now_ns -= now_ns % self->step_ns;
    }
    self->last_ns = bc_max_u64(self->last_ns, now_ns);
    return self->last_ns;
}

void bc_faulty_clock_init(struct bc_faulty_clock *clock, const struct bc_clock *real, uint64_t seed)
{
    *clock = (struct bc_faulty_clock){
        .clock = {.now_ns = faulty_now_ns}, .real = real, .last_ns = bc_clock_now_ns(real)};
    bc_faults_init(&clock->faults, seed);
}

void bc_faulty_clock_heal(struct bc_faulty_clock *clock)
{
    bc_faults_clear(&clock->faults);
    clock->step_ns = 0;
    clock->still = 0;
    clock->vanished = false;
}
