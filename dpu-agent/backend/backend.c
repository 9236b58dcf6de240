/* SPDX-License-Identifier: Apache-2.0 */
/* backend.c - the backends by name. A new one is a row here. */
#include "backend/backend.h"

#include <string.h>

static const struct bc_backend_type *const types[] = {
    &bc_backend_dram,
    &bc_backend_posix,
};

const struct bc_backend_type *bc_backend_find(const char *name)
{
    for (size_t i = 0; i < BC_ARRAY_LEN(types); i++) {
        if (strcmp(types[i]->name, name) == 0) {
            return types[i];
        }
    }
    return NULL;
}

const char *bc_backend_names(void)
{
    return "dram, posix";
}
