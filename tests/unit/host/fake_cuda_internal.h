/* SPDX-License-Identifier: Apache-2.0 */
/* fake_cuda_internal.h - what the parts of the stand-in for libcuda share: fake_cuda.c (devices,
 * memory, knobs) and fake_cuda_copy.c (streams, events, copies). Everything is guarded by `lock`. */
#ifndef BC_TEST_HOST_FAKE_CUDA_INTERNAL_H
#define BC_TEST_HOST_FAKE_CUDA_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>

#include "fake_cuda.h"

#define FAKE_DEVICES             2
#define FAKE_ERROR_INVALID_VALUE 1
#define FAKE_ERROR_NO_MEMORY     2
#define FAKE_ERROR_NOT_SUPPORTED 801
#define FAKE_ERROR_LAUNCH_FAILED 719

struct fake_allocation {
    uint64_t base;
    size_t len; /* 0: free */
    size_t offset;
    size_t mapped_len;
    void *mapping;
    int fd;
    int device;
    unsigned long long id;
    unsigned int sync_memops;
};

struct fake_knobs {
    int dmabuf;
    int peer;
    bool refuse_handles;
    bool refuse_pinning;
    bool hold_copies;
    int fail_copy;
};

struct fake_cuda {
    pthread_mutex_t lock;
    pthread_cond_t released; /* hold_copies was switched off */
    struct fake_knobs knobs;
    int contexts_pushed;
    int objects;
    int waiting;
    uint64_t pinned;
    uint64_t pinned_peak;
    uint64_t copied;
};

extern struct fake_cuda fake_cuda;

/* The allocation that holds the address, or NULL. */
struct fake_allocation *fake_cuda_find(uint64_t pointer);
/* False: not inside one allocation. */
bool fake_cuda_copy_now(uint64_t device, void *host, size_t len, bool to_device);

#endif
