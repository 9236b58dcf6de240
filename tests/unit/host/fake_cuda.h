/* SPDX-License-Identifier: Apache-2.0 */
/* fake_cuda.h - a stand-in for libcuda.so.1, for tests only, and its knobs. "GPU memory" is a memfd:
 * its addresses are mapped without any right, as those of a real GPU are of no use to a CPU, unless
 * fake_cuda_peer says that devices reach it by address. Asynchronous copies are carried out by the
 * wait for their stream or event and not before, so that a wait that is missing is seen.
 * Knobs at load: FAKE_CUDA_DMABUF, FAKE_CUDA_PEER (0 or 1).
 * Thread: any. */
#ifndef BC_TEST_HOST_FAKE_CUDA_H
#define BC_TEST_HOST_FAKE_CUDA_H

#include <stddef.h>
#include <stdint.h>

#define FAKE_CUDA_API __attribute__((visibility("default")))

/* GPU memory of the device, 0 or 1; `offset` bytes past the begin of a page. NULL: none. */
FAKE_CUDA_API void *fake_cuda_alloc_at(size_t len, int device, size_t offset);
FAKE_CUDA_API void *fake_cuda_alloc(size_t len, int device);
FAKE_CUDA_API void fake_cuda_free(void *addr);
/* Writes and reads what the GPU holds. */
FAKE_CUDA_API void fake_cuda_poke(void *addr, const void *data, size_t len);
FAKE_CUDA_API void fake_cuda_peek(const void *addr, void *data, size_t len);

/* GPUs have dma-buf: 1 as at first, 0 no, -1 the driver does not know the attribute. */
FAKE_CUDA_API void fake_cuda_dmabuf(int supported);
/* GPUs do GPUDirect RDMA: 1, 0, or -1 as at first; with 1, what is allocated from now on is
 * reached by address. */
FAKE_CUDA_API void fake_cuda_peer(int supported);
/* cuMemGetHandleForAddressRange fails though the GPU has dma-buf. */
FAKE_CUDA_API void fake_cuda_refuse_handles(int on);
/* cuMemHostRegister fails. */
FAKE_CUDA_API void fake_cuda_refuse_pinning(int on);
/* Waits for copies do not end while this is on. */
FAKE_CUDA_API void fake_cuda_hold_copies(int on);
/* The n-th copy from now on fails when it is carried out; 0: none. */
FAKE_CUDA_API void fake_cuda_fail_copy(int nth);
/* Back to how it was at first, but for allocations. */
FAKE_CUDA_API void fake_cuda_reset(void);

FAKE_CUDA_API unsigned int fake_cuda_sync_memops(const void *addr);
FAKE_CUDA_API int fake_cuda_contexts(void); /* pushed and not popped */
FAKE_CUDA_API int fake_cuda_objects(void);  /* streams, events and retained contexts */
FAKE_CUDA_API uint64_t fake_cuda_pinned(void);
FAKE_CUDA_API uint64_t fake_cuda_pinned_peak(void);
FAKE_CUDA_API uint64_t fake_cuda_copied(void); /* bytes, either way */
FAKE_CUDA_API int fake_cuda_waiting(void);     /* threads that wait for held copies */

#endif
