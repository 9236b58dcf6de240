/* SPDX-License-Identifier: Apache-2.0 */
/* assert.h - a bug stops the process with a sentence; it never runs on with broken state.
 * BC_ASSERT stays on in release builds; BC_DASSERT only where BC_DEBUG is defined.
 * Never for bad input or a failed environment: those return errors. */
#ifndef BC_BASE_ASSERT_H
#define BC_BASE_ASSERT_H

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

/* Prints file, line, function and the condition to stderr, then aborts. Any thread. */
BC_NORETURN void bc_assert_fail(const char *file, int line, const char *func,
                                const char *condition);

#define BC_ASSERT(condition)                                          \
    do {                                                              \
        if (BC_UNLIKELY(!(condition))) {                              \
            bc_assert_fail(__FILE__, __LINE__, __func__, #condition); \
        }                                                             \
    } while (0)

#ifdef BC_DEBUG
#define BC_DASSERT(condition) BC_ASSERT(condition)
#else
#define BC_DASSERT(condition) ((void)sizeof(!(condition)))
#endif

BC_EXTERN_C_END

#endif
