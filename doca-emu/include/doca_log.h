/* SPDX-License-Identifier: Apache-2.0 */
/* doca_log.h - logging of applications (DOCA_LOG_*) and of the library itself (SDK back ends).
 * A .c file that uses the macros says DOCA_LOG_REGISTER(NAME) once. Nothing is printed before a
 * back end was created. Thread: any. Lifetime: a back end lives until the process ends; the FILE
 * given to it must live as long. */
#ifndef DOCA_LOG_H_
#define DOCA_LOG_H_

#include <stdint.h>
#include <stdio.h>

#include "doca_compat.h"
#include "doca_error.h"

#ifdef __cplusplus
extern "C" {
#endif

enum doca_log_level {
    DOCA_LOG_LEVEL_DISABLE = 10,
    DOCA_LOG_LEVEL_CRIT = 20,
    DOCA_LOG_LEVEL_ERROR = 30,
    DOCA_LOG_LEVEL_WARNING = 40,
    DOCA_LOG_LEVEL_INFO = 50,
    DOCA_LOG_LEVEL_DEBUG = 60,
    DOCA_LOG_LEVEL_TRACE = 70
};

struct doca_log_backend;

typedef void (*log_flush_callback)(char *buf);

DOCA_EXPERIMENTAL doca_error_t
doca_log_backend_set_level_lower_limit(struct doca_log_backend *backend, uint32_t level);
DOCA_EXPERIMENTAL doca_error_t doca_log_level_set_global_lower_limit(uint32_t level);
DOCA_EXPERIMENTAL doca_error_t doca_log_register_source(const char *source_name, int *source);
DOCA_EXPERIMENTAL doca_error_t doca_log_backend_create_with_file(FILE *fptr,
                                                                 struct doca_log_backend **backend);
DOCA_EXPERIMENTAL doca_error_t doca_log_backend_set_sdk_level(struct doca_log_backend *backend,
                                                              uint32_t level);
DOCA_EXPERIMENTAL doca_error_t
doca_log_backend_create_with_file_sdk(FILE *fptr, struct doca_log_backend **backend);
DOCA_EXPERIMENTAL doca_error_t doca_log_backend_create_standard(void);
DOCA_EXPERIMENTAL doca_error_t doca_log(uint32_t level, int source, const char *fname, int line,
                                        const char *func, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

#define DOCA_LOG(level, ...) \
    ((void)doca_log((uint32_t)(level), log_source, __FILE__, __LINE__, __func__, __VA_ARGS__))

#define DOCA_LOG_CRIT(...) DOCA_LOG(DOCA_LOG_LEVEL_CRIT, __VA_ARGS__)
#define DOCA_LOG_ERR(...)  DOCA_LOG(DOCA_LOG_LEVEL_ERROR, __VA_ARGS__)
#define DOCA_LOG_WARN(...) DOCA_LOG(DOCA_LOG_LEVEL_WARNING, __VA_ARGS__)
#define DOCA_LOG_INFO(...) DOCA_LOG(DOCA_LOG_LEVEL_INFO, __VA_ARGS__)
#define DOCA_LOG_DBG(...)  DOCA_LOG(DOCA_LOG_LEVEL_DEBUG, __VA_ARGS__)
#ifdef DOCA_LOGGING_ALLOW_TRACE
#define DOCA_LOG_TRC(...) DOCA_LOG(DOCA_LOG_LEVEL_TRACE, __VA_ARGS__)
#else
#define DOCA_LOG_TRC(...) ((void)0)
#endif

/* Defines the source of this file's messages; runs before main() and before other constructors. */
#define DOCA_LOG_REGISTER(NAME)                                                            \
    static int log_source;                                                                 \
    __attribute__((constructor(101), used)) static void doca_log_register_this_file_(void) \
    {                                                                                      \
        (void)doca_log_register_source(#NAME, &log_source);                                \
    }                                                                                      \
    struct doca_log_backend /* takes the semicolon after the macro */

#ifdef __cplusplus
}
#endif

#endif /* DOCA_LOG_H_ */
