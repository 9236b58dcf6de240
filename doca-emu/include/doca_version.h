/* SPDX-License-Identifier: Apache-2.0 */
/* doca_version.h - the SDK version whose shape this emulation presents (3.0). */
#ifndef DOCA_VERSION_H_
#define DOCA_VERSION_H_

#define DOCA_VERSION_MAJOR  3
#define DOCA_VERSION_MINOR  0
#define DOCA_VERSION_PATCH  58
#define DOCA_VERSION_STRING "3.0.0058"

/* One comparable number for a version. */
#define DOCA_VERSION_CALC(major, minor, patch) \
    ((((unsigned long)(major)) << 24) + (((unsigned long)(minor)) << 16) + (unsigned long)(patch))

#define DOCA_CURRENT_VERSION_NUM \
    DOCA_VERSION_CALC(DOCA_VERSION_MAJOR, DOCA_VERSION_MINOR, DOCA_VERSION_PATCH)

/* True when this SDK is at least the given version. */
#define DOCA_VERSION_LTE_CURRENT(major, minor, patch) \
    (DOCA_VERSION_CALC(major, minor, patch) <= DOCA_CURRENT_VERSION_NUM)

#define DOCA_VERSION_EQ_CURRENT(major, minor, patch) \
    (DOCA_VERSION_CALC(major, minor, patch) == DOCA_CURRENT_VERSION_NUM)

#endif /* DOCA_VERSION_H_ */
