/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h - time as an object, so that tests own it. Nanoseconds since an arbitrary start, never
 * going back.
 * Thread: the monotonic clock any; a virtual clock belongs to one thread. */
#ifndef BC_BASE_CLOCK_H
#define BC_BASE_CLOCK_H

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

#define BC_NS_PER_US UINT64_C(1000)
#define BC_NS_PER_MS UINT64_C(1000000)
#define BC_NS_PER_S  UINT64_C(1000000000)

struct bc_clock {
    uint64_t (*now_ns)(const struct bc_clock *clock);
    uint64_t virtual_now_ns; /* used by the virtual clock only */
};

static inline uint64_t bc_clock_now_ns(const struct bc_clock *clock)
{
    return clock->now_ns(clock);
}

/* CLOCK_MONOTONIC; static storage, never freed. */
const struct bc_clock *bc_clock_monotonic(void);

/* A clock that stands still until bc_clock_virtual_advance. */
void bc_clock_virtual_init(struct bc_clock *clock, uint64_t start_ns);
void bc_clock_virtual_advance(struct bc_clock *clock, uint64_t step_ns);

BC_EXTERN_C_END

#endif
