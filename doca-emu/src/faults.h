/* SPDX-License-Identifier: Apache-2.0 */
/* faults.h - asks whether a fault of doca_emu.h strikes now. Thread: any. */
#ifndef EMU_FAULTS_H
#define EMU_FAULTS_H

#include "emu.h"

#include "doca_emu.h"

/* Counts one event; true when the fault strikes at it. Costs one load while the fault is off. */
EMU_INTERNAL bool emu_fault_strikes(enum doca_emu_fault fault);

/* The value of a fault that does not count, 0 when it is off. */
EMU_INTERNAL uint64_t emu_fault_value(enum doca_emu_fault fault);

/* The faults that strike between two slices of a task's work. */
EMU_INTERNAL void emu_faults_in_copy(void);

/* Reads the environment, once a process. */
EMU_INTERNAL void emu_faults_init(void);

#endif /* EMU_FAULTS_H */
