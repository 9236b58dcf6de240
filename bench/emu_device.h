/* SPDX-License-Identifier: Apache-2.0 */
/* emu_device.h - what the benchmarks that use DOCA alone begin with. A step that fails ends the
 * program with a sentence. Thread: any. */
#ifndef BENCH_EMU_DEVICE_H
#define BENCH_EMU_DEVICE_H

#include <doca_dev.h>
#include <doca_error.h>

/* Nothing when result is DOCA_SUCCESS. */
void bc_doca_must(doca_error_t result, const char *what);
/* The function at that address, opened. */
struct doca_dev *bc_doca_open_device(const char *pci_addr);

#endif
