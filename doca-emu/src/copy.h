/* SPDX-License-Identifier: Apache-2.0 */
/* copy.h - the copy routine of the engine threads. */
#ifndef EMU_COPY_H
#define EMU_COPY_H

#include <stddef.h>
#include <stdint.h>

/* From this size on, bytes go around the caches. */
#define EMU_COPY_LARGE ((size_t)64 << 10)

/* Chooses the routine (DOCA_EMU_COPY=plain: always the C library's; avx2: no wider registers).
 * Before the first emu_copy(). */
void emu_copy_init(void);

void emu_copy(void *to, const void *from, size_t len);

#endif /* EMU_COPY_H */
