/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka_std.h - cmocka.h with the headers that it wants before itself. */
#ifndef CMOCKA_STD_H
#define CMOCKA_STD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#include <cmocka.h>
#ifdef __cplusplus
}
#endif

#endif /* CMOCKA_STD_H */
