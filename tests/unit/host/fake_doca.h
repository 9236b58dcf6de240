/* SPDX-License-Identifier: Apache-2.0 */
/* fake_doca.h - a stand-in for DOCA's devices and mmaps, with knobs and a trace: a test that links
 * it (fake_doca.c before the library) decides when a window can be closed. Nothing is copied.
 * Traces: "open <len>", "destroy <len>", "busy <len>". Thread: any. */
#ifndef BC_TEST_HOST_FAKE_DOCA_H
#define BC_TEST_HOST_FAKE_DOCA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

#define FAKE_PCI_ADDR "0000:ba:00.0"

/* What the descriptor of an mmap holds, for the fake agent. */
struct fake_descriptor {
    uint64_t base;
    uint64_t len;
};

void fake_doca_reset(void);

/* How many devices there are that can export (1 after reset). */
void fake_doca_devices(uint32_t count);
/* doca_mmap_destroy of an exported mmap answers IN_PROGRESS while this is on. */
void fake_doca_hold_destroy(bool on);
/* doca_mmap_start of ranges longer than this fails; 0: none. */
void fake_doca_start_limit(uint64_t len);
/* doca_mmap_start of a range that begins here, given by its address, fails; NULL: none. */
void fake_doca_refuse_address(const void *addr);
/* set_dmabuf_memrange works. */
void fake_doca_dmabuf(bool on);
/* Windows open now. */
int fake_doca_open_count(void);
/* How the last mmap got its range: by dma-buf? */
bool fake_doca_last_by_dmabuf(void);
size_t fake_doca_last_dmabuf_offset(void);

BC_EXTERN_C_END

#endif
