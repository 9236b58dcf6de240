/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h - the pool's memory: large, on huge pages where there are any, and touched before use,
 * since the first touch of a page costs several times a copy. Thread: any; the caller owns the
 * mapping. */
#ifndef BC_STAGING_MEMORY_H
#define BC_STAGING_MEMORY_H

#include <stdbool.h>

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

#define BC_MEMORY_HUGE_PAGE ((size_t)2 << 20)

/* len: a multiple of 2 MiB. Zeroed, aligned to 2 MiB. kind_out: which pages it got, for the log; a
 * literal. -ENOMEM. */
BC_MUST_USE int bc_memory_map(size_t len, bool huge_pages, void **base_out, const char **kind_out);
void bc_memory_unmap(void *base, size_t len);

BC_EXTERN_C_END

#endif
