/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - one line per event to a sink: stderr by default, with journald's priorities instead of
 * the time when the environment says BC_LOG_FORMAT=journal.
 * Levels: error = an operation was lost, warn = degraded and going on, info = life cycle, debug
 * grows with objects, trace = per request.
 * Thread: any; a line is written with one write(2). What is not printable ASCII comes out as \xNN.
 * Never logs secrets or user data; keys are made printable by the caller with bc_log_key. */
#ifndef BC_BASE_LOG_H
#define BC_BASE_LOG_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/metrics.h"

BC_EXTERN_C_BEGIN

enum bc_log_level {
    BC_LOG_ERROR = 0,
    BC_LOG_WARN = 1,
    BC_LOG_INFO = 2,
    BC_LOG_DEBUG = 3,
    BC_LOG_TRACE = 4,
};

typedef void (*bc_log_sink_fn)(void *arg, enum bc_log_level level, const char *line);

extern enum bc_log_level bc_log_threshold; /* read by the macro; set through bc_log_set_level */

/* Lines above `level` are dropped; BC_LOG_INFO until it is called. Any thread. */
void bc_log_set_level(enum bc_log_level level);
/* "error", "warn", "info", "debug", "trace". -EINVAL. */
BC_MUST_USE int bc_log_level_parse(const char *text, enum bc_log_level *level_out);

/* Replaces stderr; NULL restores it. `line` is the whole line with its time, has no newline, and
 * lives during the call. The sink is called by every thread that logs. Not concurrently with
 * logging. */
void bc_log_set_sink(bc_log_sink_fn sink, void *arg);

/* Use the macros. `module` is the room's name, e.g. "posix". Lines longer than 1,000 bytes are cut.
 * Keeps errno; %m may be used. */
void bc_log_write(enum bc_log_level level, const char *module, const char *format, ...)
    BC_PRINTF(3, 4);

/* Prints a key of any bytes as text: printable ASCII as it is, others as \xNN, cut with "..." to
 * fit; empty when buf_len is less than 4. Returns buf. */
const char *bc_log_key(char *buf, size_t buf_len, const void *key, size_t key_len);

/* Compared as int: the compiler warns of an unsigned value that is never below BC_LOG_ERROR. */
#define BC_LOG(level, module, ...)                                                    \
    do {                                                                              \
        if (BC_UNLIKELY((int)(level) <=                                               \
                        (int)__atomic_load_n(&bc_log_threshold, __ATOMIC_RELAXED))) { \
            bc_log_write((level), (module), __VA_ARGS__);                             \
        }                                                                             \
    } while (0)
#define BC_ERROR(module, ...) BC_LOG(BC_LOG_ERROR, module, __VA_ARGS__)
#define BC_WARN(module, ...)  BC_LOG(BC_LOG_WARN, module, __VA_ARGS__)
#define BC_INFO(module, ...)  BC_LOG(BC_LOG_INFO, module, __VA_ARGS__)
#define BC_DBG(module, ...)   BC_LOG(BC_LOG_DEBUG, module, __VA_ARGS__)
#define BC_TRACE(module, ...) BC_LOG(BC_LOG_TRACE, module, __VA_ARGS__)

/* ---- lines that somebody outside can cause ---------------------------------------------------
 * A place in the code passes BC_LOG_BURST lines in BC_LOG_PERIOD_NS and counts the others; how many
 * those were is logged before the next line of that place that passes, at its level, and all of
 * them are in bc_log_suppressed. */
#define BC_LOG_BURST     50u
#define BC_LOG_PERIOD_NS UINT64_C(10000000000)

struct bc_log_gate {    /* zero at first; its fields are accessed with relaxed atomics */
    uint64_t period_ns; /* when the period began; 0: none yet */
    uint32_t passed;    /* lines in this period */
    uint32_t held;      /* lines kept back since the last one that passed */
};

/* False: keep the line back. *held_out, when true: lines kept back before it and not told of yet.
 * now_ns is of the monotonic clock, not 0. Any thread. */
bool bc_log_gate_pass(struct bc_log_gate *gate, uint64_t now_ns, uint32_t *held_out);
/* The same with the time as it is, and says itself how many lines were kept back. */
bool bc_log_gate_open(struct bc_log_gate *gate, enum bc_log_level level, const char *module);
/* Lines that all gates of this process kept back: a counter for the registry of who has one. */
extern struct bc_counter bc_log_suppressed;

#define BC_LOG_LIMITED(level, module, ...)                                            \
    do {                                                                              \
        static struct bc_log_gate bc_log_gate_here;                                   \
        if (BC_UNLIKELY((int)(level) <=                                               \
                        (int)__atomic_load_n(&bc_log_threshold, __ATOMIC_RELAXED)) && \
            bc_log_gate_open(&bc_log_gate_here, (level), (module))) {                 \
            bc_log_write((level), (module), __VA_ARGS__);                             \
        }                                                                             \
    } while (0)
#define BC_WARN_LIMITED(module, ...) BC_LOG_LIMITED(BC_LOG_WARN, module, __VA_ARGS__)
#define BC_INFO_LIMITED(module, ...) BC_LOG_LIMITED(BC_LOG_INFO, module, __VA_ARGS__)

BC_EXTERN_C_END

#endif
