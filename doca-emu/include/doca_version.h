/* SPDX-License-Identifier: Apache-2.0 */
/* doca_version.h - the SDK version whose shape this emulation presents: 3.0, or 2.7 when
 * DOCA_EMU_API_2_7 is defined. */
#ifndef DOCA_VERSION_H_
#define DOCA_VERSION_H_

#include <stddef.h>

#include "doca_compat.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef DOCA_EMU_API_2_7
#define DOCA_VERSION_MAJOR  2
#define DOCA_VERSION_MINOR  7
#define DOCA_VERSION_PATCH  85
#define DOCA_VERSION_STRING "2.7.0085"
#else
#define DOCA_VERSION_MAJOR  3
#define DOCA_VERSION_MINOR  0
#define DOCA_VERSION_PATCH  58
#define DOCA_VERSION_STRING "3.0.0058"
#endif

/* One comparable number for a version; fit for the preprocessor. */
#define DOCA_VERSION_CALC(major, minor, patch) \
    ((major)*0x1000000UL + (minor)*0x10000UL + (patch)*1UL)

#define DOCA_CURRENT_VERSION_NUM \
    DOCA_VERSION_CALC(DOCA_VERSION_MAJOR, DOCA_VERSION_MINOR, DOCA_VERSION_PATCH)

/* True when this SDK is at least the given version. */
#define DOCA_VERSION_LTE_CURRENT(major, minor, patch) \
    (DOCA_VERSION_CALC(major, minor, patch) <= DOCA_CURRENT_VERSION_NUM)

#define DOCA_VERSION_EQ_CURRENT(major, minor, patch) \
    (DOCA_VERSION_CALC(major, minor, patch) == DOCA_CURRENT_VERSION_NUM)

/* Of the headers that a program was compiled with. */
static inline const char *doca_version(void)
{
    return DOCA_VERSION_STRING;
}

/* Of the library that it runs with. */
DOCA_STABLE const char *doca_version_runtime(void);

#ifdef __cplusplus
}
#endif

#endif /* DOCA_VERSION_H_ */
