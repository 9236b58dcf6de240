/* SPDX-License-Identifier: Apache-2.0 */
/* shmem.h - the process's table of what bc_memory_alloc gave out: memory that lives and dies in one
 * piece, so that one export can stand for any range in it.
 * Thread: any; the table has its own lock. Lifetime: an entry lives from alloc to free; its memfd
 * stays open for as long, because the emulation of DOCA finds shared memory through the
 * descriptor. */
#ifndef BC_HOST_SHMEM_H
#define BC_HOST_SHMEM_H

#include <stdbool.h>

#include "base/compiler.h"
#include "bluecache/bluecache.h"

BC_EXTERN_C_BEGIN

/* True when [addr, addr + len) lies inside one allocation; its extent is then in *base_out,
 * *len_out. */
bool bc_shmem_find(uint64_t addr, uint64_t len, uint64_t *base_out, uint64_t *len_out);

BC_EXTERN_C_END

#endif
