/* SPDX-License-Identifier: Apache-2.0 */
/* emu.h - what every part of the emulation uses: settings from the environment, the library's own
 * log, and the answer to misuse.
 * Thread: any. Settings are read when an object is made, never on the data path. */
#ifndef EMU_H
#define EMU_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "doca_compat.h"
#include "doca_error.h"
#include "doca_log.h"
#include "doca_types.h"

/* For internal functions that doca_dma takes from doca_common: they must be visible between the two
 * libraries of a shared build. */
#define EMU_INTERNAL DOCA_EMU_VISIBLE

#define EMU_ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

/* A number from the environment, with optional suffix K, M or G; clamped to [min, max]. Unset,
 * empty or malformed gives the default (malformed is logged). */
EMU_INTERNAL uint64_t emu_env_u64(const char *name, uint64_t fallback, uint64_t min, uint64_t max);

/* Parses "123", "0x7f", "64K", "2M", "1G". False when the text is anything else. */
bool emu_parse_u64(const char *text, const char **end_out, uint64_t *value_out);

/* Monotonic clock, nanoseconds. */
EMU_INTERNAL uint64_t emu_now_ns(void);

/* One line to the SDK's log back ends (doca_log.h). */
EMU_INTERNAL void emu_log(enum doca_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The level of every back end for the library's messages. INVALID_VALUE: there is no such level. */
EMU_INTERNAL doca_error_t emu_log_set_sdk_level(uint32_t level);

/* A program broke a rule that the real library answers with undefined behaviour: logs the sentence,
 * and aborts in strict mode (DOCA_EMU_STRICT; by default on unless the library was built with
 * NDEBUG). */
EMU_INTERNAL void emu_misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif /* EMU_H */
