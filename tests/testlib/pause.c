/* SPDX-License-Identifier: Apache-2.0 */
/* pause.c - see pause.h. What a task defers runs in the next turn, so each run is a turn. */
#include "testlib/pause.h"

static void turn(struct bc_task *task)
{
    struct bc_pause *pause = BC_CONTAINER_OF(task, struct bc_pause, task);

    if (--pause->turns > 0) {
        bc_loop_defer(pause->loop, task);
        return;
    }
    pause->over(pause);
}

void bc_pause_start(struct bc_pause *pause, struct bc_loop *loop, uint64_t turns, bc_pause_fn over)
{
    *pause = (struct bc_pause){.task = {.run = turn},
                               .loop = loop,
                               .turns = turns != 0 ? turns : BC_PAUSE_TURNS_DEFAULT,
                               .over = over};
    bc_loop_defer(loop, &pause->task);
}

void bc_pause_stop(struct bc_pause *pause)
{
    bc_loop_undefer(pause->loop, &pause->task);
}
