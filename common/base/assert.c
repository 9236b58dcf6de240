/* SPDX-License-Identifier: Apache-2.0 */
/* assert.c - the last words of a process that found itself in a state that cannot be.
 * Writes straight to descriptor 2, not through the log: the log's sink may be what is broken.
 * Any thread; allocates nothing. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void bc_assert_fail(const char *file, int line, const char *func, const char *condition)
{
    (void)dprintf(2, "%s:%d: %s: assertion failed: %s\n", file, line, func, condition);
    abort();
}
