/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - one line per event to a sink: stderr by default, with journald's priorities instead of
 * the time when the environment says BC_LOG_FORMAT=journal.
 * Levels: error = an operation was lost, warn = degraded and going on, info = life cycle, debug
 * grows with objects, trace = per request.
 * Thread: any; a line is written with one write(2). What is not printable ASCII comes out as \xNN.
 * Never logs secrets or user data; keys are made printable by the caller with bc_log_key. */
#ifndef BC_BASE_LOG_H
#define BC_BASE_LOG_H

#include "base/compiler.h"

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

BC_EXTERN_C_END

#endif
