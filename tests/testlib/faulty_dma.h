/* SPDX-License-Identifier: Apache-2.0 */
/* faulty_dma.h - a copy engine that goes wrong by rules (faults.h), around another one.
 *
 *              FROM_HOST, TO_HOST                              IMPORT          RELEASE
 *   FAIL       ends with `error` (0: -EREMOTEIO), not copied   fails (-EINVAL) -EBUSY, but released
 *   SHORT      `amount` bytes are copied, then as FAIL         as FAIL         -
 *   CORRUPT    one bit of what arrives is wrong                -               -
 *   DELAY      starts later; counts as in flight               -               -
 *   REFUSE     submit answers -EAGAIN; `ready` a turn later    as FAIL         -
 *   REORDER    copied, told some turns later                   -               -
 *   VANISH     this and every later copy and import fails      likewise        -
 *
 * The kinds are BC_DMA_FROM_HOST, BC_DMA_TO_HOST, BC_FAULTY_DMA_IMPORT and BC_FAULTY_DMA_RELEASE. A CORRUPT
 * copy from the host cannot be noticed by anyone, since checksums are made from what arrived; nor one to the
 * host, since they were compared before.
 * Thread: the loop's owner. Memory: one allocation for each copy under way. */
#ifndef BC_TESTLIB_FAULTY_DMA_H
#define BC_TESTLIB_FAULTY_DMA_H

#include "dma/dma.h"
#include "testlib/faults.h"

BC_EXTERN_C_BEGIN

#define BC_FAULTY_DMA_IMPORT  2u
#define BC_FAULTY_DMA_RELEASE 3u
#define BC_FAULTY_DMA_KINDS   4u

struct bc_faulty_dma {
    struct bc_dma
        dma; /* what is given to the code under test; its `ready` is set as on any other */
    struct bc_dma *real;
    struct bc_loop *loop;
    struct bc_faults faults;
    struct bc_list
        held; /* copies that wait for their time: before they start, or after their end */
    struct bc_task ready_task;
    uint64_t copies;
    int64_t imports;    /* made and not released */
    uint32_t under_way; /* copies */
    bool vanished;      /* may be set at any time; false again: it is back */
};

/* Takes over real->ready. Destroying the twin destroys the real one, not the object itself. */
void bc_faulty_dma_init(struct bc_faulty_dma *dma, struct bc_dma *real, struct bc_loop *loop,
                        uint64_t seed);

BC_EXTERN_C_END

#endif
