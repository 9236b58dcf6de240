/* SPDX-License-Identifier: Apache-2.0 */
/* memory_dma.h - a copy engine without a device: "client memory" is memory of this process, copied
 * by the loop in a later turn. For tests of what stands on struct bc_dma.
 *
 * The descriptor of a region is a struct bc_memory_region. Killing an import is the death of its
 * host.
 * Thread: the loop's owner. Memory: one allocation an import. */
#ifndef BC_TESTLIB_MEMORY_DMA_H
#define BC_TESTLIB_MEMORY_DMA_H

#include "dma/dma.h"

BC_EXTERN_C_BEGIN

struct bc_memory_region {
    uint64_t magic; /* BC_MEMORY_REGION_MAGIC */
    void *base;
    uint64_t len;
};
#define BC_MEMORY_REGION_MAGIC UINT64_C(0x6d656d6f72792121)

struct bc_memory_dma_options {
    struct bc_loop *loop;
    uint32_t depth;
    uint64_t max_len; /* of one task; 0: 2 MiB */
    void *local;
    size_t local_len;
};

BC_MUST_USE int bc_memory_dma_create(const struct bc_memory_dma_options *options,
                                     struct bc_dma **dma_out);
/* From now on its copies end with -EREMOTEIO, and submissions for it are refused with it. */
void bc_memory_dma_kill(struct bc_dma_import *import);

BC_EXTERN_C_END

#endif
