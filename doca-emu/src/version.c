/* SPDX-License-Identifier: Apache-2.0 */
/* version.c - the version that the library was built to present. */
#include "doca_version.h"

const char *doca_version_runtime(void)
{
    return doca_version();
}
