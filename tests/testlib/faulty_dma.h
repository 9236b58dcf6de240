/* SPDX-License-Identifier: Apache-2.0 */
/* faulty_dma.h - a copy engine that goes wrong by rules (faults.h), around another one.
 * The kinds are BC_DMA_FROM_HOST and BC_DMA_TO_HOST, and BC_FAULTY_DMA_IMPORT.
 *
 *   FAIL     the copy ends with `error` (0: -EREMOTEIO), nothing is copied; an import fails with
 *            it.
 *   CORRUPT  one bit of what arrives is wrong.
 *   DELAY    the copy starts later; with an amount that differs from rule to rule, completions
 *            change their order. A delayed copy counts as in flight.
 *   REFUSE   submit answers -EAGAIN; `ready` is called a turn later.
 *
 * Thread: the loop's owner. Memory: one allocation for each copy under way. */
#ifndef BC_TESTLIB_FAULTY_DMA_H
#define BC_TESTLIB_FAULTY_DMA_H

#include "dma/dma.h"
#include "testlib/faults.h"

BC_EXTERN_C_BEGIN

#define BC_FAULTY_DMA_IMPORT 2u

struct bc_faulty_dma {
    struct bc_dma
        dma; /* what is given to the code under test; its `ready` is set as on any other */
    struct bc_dma *real;
    struct bc_loop *loop;
    struct bc_faults faults;
    struct bc_list delayed;
    struct bc_task ready_task;
    uint64_t copies;
};

/* Takes over real->ready. Destroying the twin destroys the real one, not the object itself. */
void bc_faulty_dma_init(struct bc_faulty_dma *dma, struct bc_dma *real, struct bc_loop *loop,
                        uint64_t seed);

BC_EXTERN_C_END

#endif
