/* SPDX-License-Identifier: Apache-2.0 */
/* cuda_driver.c - see cuda_driver.h. */
#include "cuda_driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

static struct bc_cuda_driver driver;
static char problem[160];
static pthread_once_t once = PTHREAD_ONCE_INIT;

struct function {
    const char *name;
    void **pointer;
};

/* Name of the first one that the library lacks, or NULL. */
static const char *find_all(void *library, const struct function *functions, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        *functions[i].pointer = dlsym(library, functions[i].name);
        if (*functions[i].pointer == NULL) {
            return functions[i].name;
        }
    }
    return NULL;
}

static const char *find_needed(void *library)
{
    const struct function needed[] = {
        {"cuInit", (void **)&driver.init},
        {"cuDeviceGet", (void **)&driver.device_get},
        {"cuDeviceGetAttribute", (void **)&driver.device_get_attribute},
        {"cuPointerGetAttribute", (void **)&driver.pointer_get_attribute},
        {"cuPointerSetAttribute", (void **)&driver.pointer_set_attribute},
        {"cuCtxPushCurrent_v2", (void **)&driver.ctx_push},
        {"cuCtxPopCurrent_v2", (void **)&driver.ctx_pop},
    };

    return find_all(library, needed, BC_ARRAY_LEN(needed));
}

static const char *find_copying(void *library)
{
    const struct function copying[] = {
        {"cuDevicePrimaryCtxRetain", (void **)&driver.primary_retain},
        {"cuDevicePrimaryCtxRelease_v2", (void **)&driver.primary_release},
        {"cuMemHostRegister_v2", (void **)&driver.host_register},
        {"cuMemHostUnregister", (void **)&driver.host_unregister},
        {"cuStreamCreate", (void **)&driver.stream_create},
        {"cuStreamDestroy_v2", (void **)&driver.stream_destroy},
        {"cuStreamSynchronize", (void **)&driver.stream_synchronize},
        {"cuEventCreate", (void **)&driver.event_create},
        {"cuEventDestroy_v2", (void **)&driver.event_destroy},
        {"cuEventRecord", (void **)&driver.event_record},
        {"cuEventSynchronize", (void **)&driver.event_synchronize},
        {"cuMemcpyDtoHAsync_v2", (void **)&driver.copy_to_host},
        {"cuMemcpyHtoDAsync_v2", (void **)&driver.copy_to_device},
    };

    return find_all(library, copying, BC_ARRAY_LEN(copying));
}

static void load(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    const char *missing;
    int result;

    if (library == NULL) {
        driver.problem = "GPU memory needs NVIDIA's driver: libcuda.so.1 cannot be loaded";
        return;
    }
    missing = find_needed(library);
    if (missing != NULL) {
        (void)snprintf(problem, sizeof(problem), "this libcuda.so.1 is too old: it has no %s",
                       missing);
        driver.problem = problem;
        return;
    }
    driver.copy_missing = find_copying(library);
    *(void **)&driver.get_range_handle = dlsym(library, "cuMemGetHandleForAddressRange");
    result = driver.init(0);
    if (result != BC_CU_SUCCESS) {
        (void)snprintf(problem, sizeof(problem),
                       "the CUDA driver does not start (cuInit gives error %d)", result);
        driver.problem = problem;
    }
}

const struct bc_cuda_driver *bc_cuda_driver(void)
{
    (void)pthread_once(&once, load);
    return &driver;
}
