/* SPDX-License-Identifier: Apache-2.0 */
/* pause.h - something that goes on some turns of a loop later, whatever its clock does: how twins let
 * others overtake. Thread: the loop's owner. Memory: embedded in its user. */
#ifndef BC_TESTLIB_PAUSE_H
#define BC_TESTLIB_PAUSE_H

#include "loop/loop.h"

BC_EXTERN_C_BEGIN

#define BC_PAUSE_TURNS_DEFAULT 3u

struct bc_pause;
typedef void (*bc_pause_fn)(struct bc_pause *pause);
struct bc_pause {
    struct bc_task task;
    struct bc_loop *loop;
    uint64_t turns;
    bc_pause_fn over;
};

/* turns 0: BC_PAUSE_TURNS_DEFAULT. `over` runs once, and may free the pause. */
void bc_pause_start(struct bc_pause *pause, struct bc_loop *loop, uint64_t turns, bc_pause_fn over);
/* `over` does not run. */
void bc_pause_stop(struct bc_pause *pause);

BC_EXTERN_C_END

#endif
