/* SPDX-License-Identifier: Apache-2.0 */
/* clock.c - the system's monotonic clock and a clock that tests move by hand.
 * Threads: as clock.h says; the monotonic clock is constant data. No errors. */
#include "base/clock.h"

#include <time.h>

#include "base/assert.h"

static uint64_t monotonic_now_ns(const struct bc_clock *clock)
{
    struct timespec now;

    (void)clock;
    /* Fails only for a clock the kernel does not have, and this one it always has. */
    int rc = clock_gettime(CLOCK_MONOTONIC, &now);
    BC_ASSERT(rc == 0);
    return (uint64_t)now.tv_sec * BC_NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t virtual_now_ns(const struct bc_clock *clock)
{
    return clock->virtual_now_ns;
}

const struct bc_clock *bc_clock_monotonic(void)
{
    static const struct bc_clock monotonic = {.now_ns = monotonic_now_ns};

    return &monotonic;
}

void bc_clock_virtual_init(struct bc_clock *clock, uint64_t start_ns)
{
    clock->now_ns = virtual_now_ns;
    clock->virtual_now_ns = start_ns;
}

void bc_clock_virtual_advance(struct bc_clock *clock, uint64_t step_ns)
{
    BC_ASSERT(clock->now_ns == virtual_now_ns);
    BC_ASSERT(step_ns <= UINT64_MAX - clock->virtual_now_ns);
    clock->virtual_now_ns += step_ns;
}
