/* SPDX-License-Identifier: Apache-2.0 */
/* quiet_log.h - a sink that drops every line: for tests in which errors are what is asked for.
 * bc_log_set_sink(bc_quiet_log, NULL) silences, bc_log_set_sink(NULL, NULL) gives the log back. */
#ifndef BC_TESTLIB_QUIET_LOG_H
#define BC_TESTLIB_QUIET_LOG_H

#include "base/log.h"

BC_EXTERN_C_BEGIN

static inline void bc_quiet_log(void *arg, enum bc_log_level level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
}

BC_EXTERN_C_END

#endif
