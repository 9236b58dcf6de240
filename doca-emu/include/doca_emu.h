/* SPDX-License-Identifier: Apache-2.0 */
/* doca_emu.h - what only the emulation has: fault injection and a look inside, for its tests.
 * No program may depend on it; the SDK has no such header. Thread: any. Faults count over the whole
 * process. */
#ifndef DOCA_EMU_H_
#define DOCA_EMU_H_

#include <stdint.h>

#include "doca_compat.h"
#include "doca_error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct doca_mmap;

/* Faults that count events strike at the first-th event from now (1 is the next one) and then at
 * each every-th after it (0: only once). The others take a value in `first`. The environment
 * variable DOCA_EMU_FAULT_<NAME>=first[,every] sets a fault at the start of the process. */
enum doca_emu_fault {
    DOCA_EMU_FAULT_SUBMIT_AGAIN,   /* counts submits: refused with AGAIN */
    DOCA_EMU_FAULT_IO_FAILED,      /* counts executed tasks: nothing copied, IO_FAILED */
    DOCA_EMU_FAULT_CTX_DROP,       /* counts executed tasks: IO_FAILED, the context goes STOPPING */
    DOCA_EMU_FAULT_TASK_NO_MEMORY, /* counts task allocations: NO_MEMORY */
    DOCA_EMU_FAULT_STOP_IN_COPY,   /* counts slices copied: SIGSTOP to this process inside a copy */
    DOCA_EMU_FAULT_CRASH_IN_COPY,  /* counts slices copied: SIGKILL to this process inside a copy */
    DOCA_EMU_FAULT_RANDOM_ORDER,   /* value: seed; completions are reported in random order */
    DOCA_EMU_FAULT_COMPLETE_DELAY, /* value: microseconds between a copy's end and its report */
    DOCA_EMU_FAULT_SLICE_DELAY,    /* value: microseconds before each slice, inside a copy */
    /* Comch. Sends are counted as they are submitted, those that nothing came of as well. */
    DOCA_EMU_FAULT_COMCH_SEND_AGAIN,     /* counts submits: refused with AGAIN */
    DOCA_EMU_FAULT_COMCH_SEND_FAILED,    /* counts sends: nothing sent, IO_FAILED */
    DOCA_EMU_FAULT_COMCH_TASK_NO_MEMORY, /* counts task allocations: NO_MEMORY */
    DOCA_EMU_FAULT_COMCH_DROP,           /* counts sends: instead, the connection is lost */
    DOCA_EMU_FAULT_COMCH_CRASH,          /* counts sends: instead, SIGKILL to this process */
    DOCA_EMU_FAULT_COMCH_EVENT_DELAY, /* value: microseconds that a message waits for its report */
    DOCA_EMU_FAULT_COUNT
};

/* How an importer reaches (or would reach) the memory of an mmap. */
enum doca_emu_memory {
    DOCA_EMU_MEMORY_NONE,       /* not started */
    DOCA_EMU_MEMORY_PROCESS_VM, /* private memory: system calls that copy between processes */
    DOCA_EMU_MEMORY_SHARED      /* a memfd or dma-buf that the importer maps */
};

/* Always 1; a program that finds this symbol runs on the emulation. */
DOCA_STABLE int doca_emu_is_emulation(void);

/* first 0 switches a fault off. INVALID_VALUE for an unknown fault. */
DOCA_STABLE doca_error_t doca_emu_fault_set(enum doca_emu_fault fault, uint64_t first,
                                            uint64_t every);
DOCA_STABLE void doca_emu_fault_clear_all(void);

DOCA_STABLE enum doca_emu_memory doca_emu_mmap_memory(const struct doca_mmap *mmap);

/* Copies len bytes with the engine's routine; for measurements. Ranges must not overlap. */
DOCA_STABLE void doca_emu_copy(void *dst, const void *src, uint64_t len);

#ifdef __cplusplus
}
#endif

#endif /* DOCA_EMU_H_ */
