/* SPDX-License-Identifier: Apache-2.0 */
/* trace.h - what happened, in order, whoever did it: the fakes write, the tests read.
 * Thread: any. Waiting has a deadline of its own (WAIT_MS); no test sleeps. */
#ifndef BC_TEST_HOST_TRACE_H
#define BC_TEST_HOST_TRACE_H

#include <stdbool.h>

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

#define TRACE_WAIT_MS 20000

void trace_clear(void);
void trace_add(const char *format, ...) BC_PRINTF(1, 2);

/* Entries that begin with `text`. */
int trace_count(const char *text);
/* Waits until there are at least `count` of them; false when that takes too long. */
bool trace_wait(const char *text, int count);
/* Index of the nth (from 1) entry that begins with `text`; -1: none. */
int trace_index(const char *text, int nth);

BC_EXTERN_C_END

#endif
