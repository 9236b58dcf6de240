/* SPDX-License-Identifier: Apache-2.0 */
/* import.c - client memory, made usable by its descriptor. The descriptor comes from the network:
 * only the SDK looks into it, and what it says about the range is compared with what the client
 * says. */
#include "dma/internal.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"

/* The client's fault, by all that can be known: no descriptor, another function's, or its process
 * gone. */
static int import_error(doca_error_t error)
{
    return error == DOCA_ERROR_NO_MEMORY ? -ENOMEM : -EINVAL;
}

int bc_dma_import_create(struct bc_dma *dma, const void *desc, size_t desc_len, uint64_t len,
                         struct bc_dma_import **import_out)
{
    struct bc_dma_engine *engine = bc_dma_engine_of(dma);
    struct bc_dma_import *import;
    void *base = NULL;
    size_t range_len = 0;
    doca_error_t error;
    int rc;

    if (desc_len == 0 || len == 0) {
        return -EINVAL;
    }
    import = calloc(1, sizeof(*import));
    if (import == NULL) {
        return -ENOMEM;
    }
    error = doca_mmap_create_from_export(NULL, desc, desc_len, engine->device->dev, &import->mmap);
    if (error != DOCA_SUCCESS) {
        BC_WARN_LIMITED(
            "dma",
            "a client's memory cannot be imported: %s (is it exported for the host function that "
            "belongs to %s, by a process that still runs?)",
            doca_error_get_name(error), engine->device->pci_addr);
        rc = import_error(error);
        goto err_free;
    }
    error = doca_mmap_get_memrange(import->mmap, &base, &range_len);
    if (error != DOCA_SUCCESS) {
        rc = -EINVAL;
        goto err_destroy;
    }
    if (len > range_len) {
        BC_WARN_LIMITED("dma", "a client registers %llu bytes of an export of %zu",
                        (unsigned long long)len, range_len);
        rc = -ERANGE;
        goto err_destroy;
    }
    import->base = base;
    import->len = len;
    bc_list_push_back(&engine->imports, &import->node);
    bc_counter_set(&engine->counters.imports, (int64_t)engine->imports.count);
    *import_out = import;
    return 0;

err_destroy:
    (void)doca_mmap_destroy(import->mmap);
err_free:
    free(import);
    return rc;
}

int bc_dma_import_release(struct bc_dma *dma, struct bc_dma_import *import)
{
    struct bc_dma_engine *engine = bc_dma_engine_of(dma);
    doca_error_t error;

    if (import->in_flight > 0) {
        return -EBUSY;
    }
    error = doca_mmap_destroy(import->mmap);
    if (error != DOCA_SUCCESS) {
        BC_ERROR("dma", "imported memory cannot be released: %s", doca_error_get_descr(error));
        return -EBUSY;
    }
    bc_list_remove(&engine->imports, &import->node);
    bc_counter_set(&engine->counters.imports, (int64_t)engine->imports.count);
    free(import);
    return 0;
}
