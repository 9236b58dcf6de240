/* SPDX-License-Identifier: Apache-2.0 */
/* gpu_path.c - see gpu_path.h. */
#include "gpu_path.h"

#include "base/log.h"

static bool told[BC_GPU_PATH_COUNT]; /* atomic */

void bc_gpu_path_tell(enum bc_gpu_path path, uint64_t bounce_len, const char *why)
{
    if (__atomic_exchange_n(&told[path], true, __ATOMIC_RELAXED)) {
        return;
    }
    switch (path) {
    case BC_GPU_PATH_DMABUF:
        BC_INFO("host", "GPU memory is exported by dma-buf");
        break;
    case BC_GPU_PATH_PEER:
        BC_WARN("host", "GPU memory is exported by its address (nvidia-peermem); %s", why);
        break;
    case BC_GPU_PATH_BOUNCE:
    case BC_GPU_PATH_COUNT:
        BC_WARN("host",
                "GPU memory is copied by way of %llu MiB of pinned host memory, which costs a copy "
                "and memory bandwidth of this host; %s",
                (unsigned long long)(bounce_len >> 20), why);
        break;
    }
}
