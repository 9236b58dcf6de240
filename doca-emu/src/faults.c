/* SPDX-License-Identifier: Apache-2.0 */
/* faults.c - fault injection: a table of counters that the environment or doca_emu.h arm. */
#include "faults.h"

#include "atomics.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const fault_names[DOCA_EMU_FAULT_COUNT] = {
    [DOCA_EMU_FAULT_SUBMIT_AGAIN] = "DOCA_EMU_FAULT_SUBMIT_AGAIN",
    [DOCA_EMU_FAULT_IO_FAILED] = "DOCA_EMU_FAULT_IO_FAILED",
    [DOCA_EMU_FAULT_CTX_DROP] = "DOCA_EMU_FAULT_CTX_DROP",
    [DOCA_EMU_FAULT_TASK_NO_MEMORY] = "DOCA_EMU_FAULT_TASK_NO_MEMORY",
    [DOCA_EMU_FAULT_STOP_IN_COPY] = "DOCA_EMU_FAULT_STOP_IN_COPY",
    [DOCA_EMU_FAULT_CRASH_IN_COPY] = "DOCA_EMU_FAULT_CRASH_IN_COPY",
    [DOCA_EMU_FAULT_RANDOM_ORDER] = "DOCA_EMU_FAULT_RANDOM_ORDER",
    [DOCA_EMU_FAULT_COMPLETE_DELAY] = "DOCA_EMU_FAULT_COMPLETE_DELAY",
    [DOCA_EMU_FAULT_SLICE_DELAY] = "DOCA_EMU_FAULT_SLICE_DELAY",
    [DOCA_EMU_FAULT_COMCH_SEND_AGAIN] = "DOCA_EMU_FAULT_COMCH_SEND_AGAIN",
    [DOCA_EMU_FAULT_COMCH_SEND_FAILED] = "DOCA_EMU_FAULT_COMCH_SEND_FAILED",
    [DOCA_EMU_FAULT_COMCH_TASK_NO_MEMORY] = "DOCA_EMU_FAULT_COMCH_TASK_NO_MEMORY",
    [DOCA_EMU_FAULT_COMCH_DROP] = "DOCA_EMU_FAULT_COMCH_DROP",
    [DOCA_EMU_FAULT_COMCH_CRASH] = "DOCA_EMU_FAULT_COMCH_CRASH",
    [DOCA_EMU_FAULT_COMCH_EVENT_DELAY] = "DOCA_EMU_FAULT_COMCH_EVENT_DELAY",
};

static struct {
    EMU_ATOMIC(uint64_t) first; /* 0: off */
    EMU_ATOMIC(uint64_t) every;
    EMU_ATOMIC(uint64_t) seen; /* events since the fault was set */
} faults[DOCA_EMU_FAULT_COUNT];

static pthread_once_t faults_once = PTHREAD_ONCE_INIT;

static void set_fault(size_t fault, uint64_t first, uint64_t every)
{
    atomic_store(&faults[fault].first, 0);
    atomic_store(&faults[fault].seen, 0);
    atomic_store(&faults[fault].every, every);
    atomic_store(&faults[fault].first, first);
}

static void read_environment(void)
{
    for (size_t i = 0; i < DOCA_EMU_FAULT_COUNT; i++) {
        const char *text = getenv(fault_names[i]);
        if (text == NULL || text[0] == '\0') {
            continue;
        }
        const char *end = NULL;
        uint64_t first = 0;
        uint64_t every = 0;
        if (!emu_parse_u64(text, &end, &first) ||
            (*end == ',' && !emu_parse_u64(end + 1, &end, &every)) || *end != '\0') {
            emu_log(DOCA_LOG_LEVEL_WARNING, "%s=%s is not first[,every]; ignored", fault_names[i],
                    text);
            continue;
        }
        set_fault(i, first, every);
    }
}

void emu_faults_init(void)
{
    pthread_once(&faults_once, read_environment);
}

bool emu_fault_strikes(enum doca_emu_fault fault)
{
    uint64_t first = atomic_load_explicit(&faults[fault].first, memory_order_relaxed);
    if (first == 0) {
        return false;
    }
    uint64_t count = atomic_fetch_add(&faults[fault].seen, 1) + 1;
    uint64_t every = atomic_load(&faults[fault].every);
    return count == first || (every != 0 && count > first && (count - first) % every == 0);
}

uint64_t emu_fault_value(enum doca_emu_fault fault)
{
    return atomic_load_explicit(&faults[fault].first, memory_order_relaxed);
}

void emu_faults_in_copy(void)
{
    uint64_t delay_us = emu_fault_value(DOCA_EMU_FAULT_SLICE_DELAY);
    if (delay_us != 0) {
        usleep((useconds_t)delay_us);
    }
    if (emu_fault_strikes(DOCA_EMU_FAULT_STOP_IN_COPY)) {
        raise(SIGSTOP); /* to this thread, so that it stops here and not a little later */
    }
    if (emu_fault_strikes(DOCA_EMU_FAULT_CRASH_IN_COPY)) {
        raise(SIGKILL);
    }
}

int doca_emu_is_emulation(void)
{
    return 1;
}

doca_error_t doca_emu_fault_set(enum doca_emu_fault fault, uint64_t first, uint64_t every)
{
    if ((unsigned)fault >= DOCA_EMU_FAULT_COUNT) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    emu_faults_init();
    set_fault(fault, first, every);
    return DOCA_SUCCESS;
}

void doca_emu_fault_clear_all(void)
{
    emu_faults_init();
    for (size_t i = 0; i < DOCA_EMU_FAULT_COUNT; i++) {
        set_fault(i, 0, 0);
    }
}
