/* SPDX-License-Identifier: Apache-2.0 */
/* fake_gpu.h - the stand-in for libcuda (fake_cuda.h) as tests see it: it is found by its file name,
 * as the library under test finds it; and the lines that the library logs meanwhile. */
#ifndef BC_TEST_HOST_FAKE_GPU_H
#define BC_TEST_HOST_FAKE_GPU_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "bluecache/bluecache.h"

BC_EXTERN_C_BEGIN

/* fake_cuda.h says what each does. */
struct fake_gpu {
    void *(*alloc)(size_t len, int device);
    void *(*alloc_at)(size_t len, int device, size_t offset);
    void (*free)(void *addr);
    void (*poke)(void *addr, const void *data, size_t len);
    void (*peek)(const void *addr, void *data, size_t len);
    void (*dmabuf)(int supported);
    void (*peer)(int supported);
    void (*refuse_handles)(int on);
    void (*refuse_pinning)(int on);
    void (*hold_copies)(int on);
    void (*fail_copy)(int nth);
    void (*reset)(void);
    unsigned int (*sync_memops)(const void *addr);
    int (*contexts)(void);
    int (*objects)(void);
    int (*waiting)(void);
    uint64_t (*pinned)(void);
    uint64_t (*pinned_peak)(void);
    uint64_t (*copied)(void);
};

extern struct fake_gpu gpu;

/* Fills `gpu`: a cmocka group setup. */
int fake_gpu_find(void **state);

struct bc_memory *register_gpu(void *addr, size_t len, uint32_t device);

/* Lines logged between begin and end, of info and above; how many of them contain `text`. */
void log_begin(void);
int log_count(const char *text);
void log_end(void);

BC_EXTERN_C_END

#endif
