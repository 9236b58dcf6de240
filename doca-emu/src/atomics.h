/* SPDX-License-Identifier: Apache-2.0 */
/* atomics.h - C11 atomics under names that also compile as C++, where _Atomic does not exist. */
#ifndef EMU_ATOMICS_H
#define EMU_ATOMICS_H

#ifdef __cplusplus
#include <atomic>
#define EMU_ATOMIC(type)  std::atomic<type>
#define EMU_STATIC_ASSERT static_assert
using std::atomic_load;
#else
#include <stdatomic.h>
#define EMU_ATOMIC(type)  _Atomic(type)
#define EMU_STATIC_ASSERT _Static_assert
#endif

#endif /* EMU_ATOMICS_H */
