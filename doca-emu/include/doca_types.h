/* SPDX-License-Identifier: Apache-2.0 */
/* doca_types.h - small types that several parts share. */
#ifndef DOCA_TYPES_H_
#define DOCA_TYPES_H_

/* Programs for the SDK get the standard ones through its headers. */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "doca_compat.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A word of the user: a pointer or a number. */
union doca_data {
    void *ptr;
    uint64_t u64;
};

/* File descriptor that can be given to epoll. */
typedef int doca_event_handle_t;
typedef doca_event_handle_t doca_notification_handle_t;

#define doca_event_invalid_handle (-1)

struct doca_gather_list {
    void *addr;
    uint64_t len;
    struct doca_gather_list *next;
};

/* Bits for doca_mmap_set_permissions(). The two PCI rights exclude each other. */
enum doca_access_flag {
    DOCA_ACCESS_FLAG_LOCAL_READ_ONLY = 0,
    DOCA_ACCESS_FLAG_LOCAL_READ_WRITE = 1 << 0,
    DOCA_ACCESS_FLAG_RDMA_READ = 1 << 1,
    DOCA_ACCESS_FLAG_RDMA_WRITE = 1 << 2,
    DOCA_ACCESS_FLAG_RDMA_ATOMIC = 1 << 3,
    DOCA_ACCESS_FLAG_PCI_READ_ONLY = 1 << 4,
    DOCA_ACCESS_FLAG_PCI_READ_WRITE = 1 << 5,
    DOCA_ACCESS_FLAG_PCI_RELAXED_ORDERING = 1 << 6
};

enum doca_pci_func_type {
    DOCA_PCI_FUNC_TYPE_PF = 0,
    DOCA_PCI_FUNC_TYPE_VF = 1,
    DOCA_PCI_FUNC_TYPE_SF = 2
};

enum doca_gpu_mem_type {
    DOCA_GPU_MEM_TYPE_GPU = 0,
    DOCA_GPU_MEM_TYPE_GPU_CPU = 1,
    DOCA_GPU_MEM_TYPE_CPU_GPU = 2
};

#ifdef __cplusplus
}
#endif

#endif /* DOCA_TYPES_H_ */
