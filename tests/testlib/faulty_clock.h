/* SPDX-License-Identifier: Apache-2.0 */
/* faulty_clock.h - a clock that goes wrong by rules (faults.h), around another one. There is one kind, a
 * reading. As a clock's contract says, this one never goes back either.
 *
 *   FAIL, REFUSE, REORDER   -
 *   SHORT                   stands still for `amount` readings, then shows the time again
 *   CORRUPT                 from now on moves in steps of `amount` nanoseconds only
 *   DELAY                   jumps `amount` nanoseconds forward, as after a suspended machine
 *   VANISH                  stands still for good
 *
 * Thread: one. Memory: none of its own. */
#ifndef BC_TESTLIB_FAULTY_CLOCK_H
#define BC_TESTLIB_FAULTY_CLOCK_H

#include "base/clock.h"
#include "testlib/faults.h"

BC_EXTERN_C_BEGIN

struct bc_faulty_clock {
    struct bc_clock clock; /* what is given to the code under test */
    const struct bc_clock *real;
    struct bc_faults faults;
    uint64_t last_ns; /* shown last */
    uint64_t ahead_ns;
    uint64_t step_ns;
    uint64_t still; /* readings for which it stands still */
    bool vanished;
};

/* Only where it is: nobody may have a copy of clock->clock. */
void bc_faulty_clock_init(struct bc_faulty_clock *clock, const struct bc_clock *real,
                          uint64_t seed);
/* Goes right from now on; what it jumped forward stays. */
void bc_faulty_clock_heal(struct bc_faulty_clock *clock);

BC_EXTERN_C_END

#endif
