/* SPDX-License-Identifier: Apache-2.0 */
/* errors.h - sentences for people (struct bc_error) and the conversions into this library's
 * negative errno: the one place on the host where DOCA's errors and the agent's statuses become
 * errno. Any thread; nothing is kept. */
#ifndef BC_HOST_ERRORS_H
#define BC_HOST_ERRORS_H

#include "base/compiler.h"
#include "bluecache/bluecache.h"

BC_EXTERN_C_BEGIN

/* Fills error->text (cut to fit); `error` may be NULL. Returns `code`, so that a caller can fail in
 * one line. */
int bc_error_set(struct bc_error *error, int code, const char *format, ...) BC_PRINTF(3, 4);

/* A doca_error_t (passed as int: this header is read where DOCA is not) as a negative errno. */
int bc_errno_from_doca(int error);

/* Why an agent refused a session (HELLO_ACK or ERROR). OK gives 0. */
int bc_errno_from_refusal(uint32_t status);

/* Why an agent refused a memory or failed a query. OK gives 0. */
int bc_errno_from_status(uint32_t status);

BC_EXTERN_C_END

#endif
