/* SPDX-License-Identifier: Apache-2.0 */
/* cuda_driver.h - the functions of the CUDA driver, found at run time. The prototypes and constants
 * are those of the CUDA driver API, written down here so that no CUDA header is needed.
 * Thread: any; the table is filled once and constant afterwards. libcuda stays loaded for the life
 * of the process. */
#ifndef BC_HOST_CUDA_DRIVER_H
#define BC_HOST_CUDA_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

#define BC_CU_SUCCESS 0

struct bc_cuda_driver {
    int (*init)(unsigned int flags);
    int (*device_get)(int *device, int ordinal);
    int (*device_get_attribute)(int *value, int attribute, int device);
    int (*pointer_get_attribute)(void *data, int attribute, uint64_t pointer);
    int (*pointer_set_attribute)(const void *value, int attribute, uint64_t pointer);
    int (*ctx_push)(void *context);
    int (*ctx_pop)(void **context);
    /* NULL in drivers without dma-buf */
    int (*get_range_handle)(void *handle, uint64_t pointer, size_t size, int type,
                            unsigned long long flags);
    /* For copies (cuda_copy.h). All of them are there, or copy_missing names the first that is
     * not. */
    int (*primary_retain)(void **context, int device);
    int (*primary_release)(int device);
    int (*host_register)(void *addr, size_t len, unsigned int flags);
    int (*host_unregister)(void *addr);
    int (*stream_create)(void **stream, unsigned int flags);
    int (*stream_destroy)(void *stream);
    int (*stream_synchronize)(void *stream);
    int (*event_create)(void **event, unsigned int flags);
    int (*event_destroy)(void *event);
    int (*event_record)(void *event, void *stream);
    int (*event_synchronize)(void *event);
    int (*copy_to_host)(void *host, uint64_t device, size_t len, void *stream);
    int (*copy_to_device)(uint64_t device, const void *host, size_t len, void *stream);
    const char *copy_missing;
    const char *problem; /* NULL: ready */
};

/* Loads the driver at the first call. */
const struct bc_cuda_driver *bc_cuda_driver(void);

BC_EXTERN_C_END

#endif
