/* SPDX-License-Identifier: Apache-2.0 */
/* compiler.h - the GNU attributes and tiny macros that every other header may use.
 * Must not know anything else of the project. */
#ifndef BC_BASE_COMPILER_H
#define BC_BASE_COMPILER_H

#include <stddef.h>
#include <stdint.h>

#define BC_MUST_USE                      __attribute__((warn_unused_result))
#define BC_PRINTF(fmt_index, args_index) __attribute__((format(printf, fmt_index, args_index)))
#define BC_PACKED                        __attribute__((packed))
#define BC_UNUSED                        __attribute__((unused))
#define BC_NORETURN                      __attribute__((noreturn))
#define BC_LIKELY(x)                     __builtin_expect(!!(x), 1)
#define BC_UNLIKELY(x)                   __builtin_expect(!!(x), 0)

#define BC_ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

/* The structure of type `type` whose member `member` is at `ptr`. */
#define BC_CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#ifdef __cplusplus
#define BC_STATIC_ASSERT(condition, text) static_assert(condition, text)
#define BC_EXTERN_C_BEGIN                 extern "C" {
#define BC_EXTERN_C_END                   }
#else
#define BC_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#define BC_EXTERN_C_BEGIN
#define BC_EXTERN_C_END
#endif

/* `align` must be a power of two. */
static inline uint64_t bc_align_up_u64(uint64_t value, uint64_t align)
{
    return (value + align - 1) & ~(align - 1);
}

static inline uint64_t bc_align_down_u64(uint64_t value, uint64_t align)
{
    return value & ~(align - 1);
}

static inline uint64_t bc_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t bc_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif
