/* SPDX-License-Identifier: Apache-2.0 */
/* shmem.c - bc_memory_alloc and bc_memory_free, and the table behind them.
 * Invariants: the list is guarded by `lock`; allocations never overlap. */
#include "shmem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"

#define PAGE_LEN      UINT64_C(4096)
#define HUGE_PAGE_LEN (UINT64_C(2) << 20)

struct allocation {
    struct allocation *next;
    uint64_t base;
    uint64_t len;
    int fd;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct allocation *allocations;

/* The reservation of a huge page mapping fails as a whole when the pool is too small, so asking is
 * the test. A file of ordinary pages is filled by fallocate, which reports what a page fault could
 * only answer with a signal. */
static int map_memfd(uint64_t len, unsigned int flags, int *fd_out, void **addr_out)
{
    int populate = MAP_SHARED | MAP_POPULATE;
    int fd = memfd_create("bluecache", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
    void *addr;
    int rc;

    if (fd < 0) {
        return -errno;
    }
    if (ftruncate(fd, (off_t)len) != 0) {
        goto err_close;
    }
    if (flags == 0) {
        do {
            rc = fallocate(fd, 0, 0, (off_t)len);
        } while (rc != 0 && errno == EINTR);
        if (rc != 0) {
            goto err_close;
        }
    }
    addr = mmap(NULL, len, PROT_READ | PROT_WRITE, populate, fd, 0);
    if (addr == MAP_FAILED) {
        goto err_close;
    }
    /* Without the seal a peer that maps the file would have to fear SIGBUS. */
    (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
    *fd_out = fd;
    *addr_out = addr;
    return 0;

err_close:
    rc = -errno;
    (void)close(fd);
    return rc == -ENOSPC ? -ENOMEM : rc;
}

/* A file that this machine cannot hold would be filled until memory runs out, and some process
 * dies for it. */
static bool exceeds_machine(uint64_t len)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_len = sysconf(_SC_PAGESIZE);

    return pages > 0 && page_len > 0 && len / (uint64_t)page_len > (uint64_t)pages;
}

int bc_memory_alloc(size_t len, void **addr_out)
{
    struct allocation *allocation;
    void *addr = NULL;
    int rc = -ENOMEM;

    if (len == 0 || len > (uint64_t)INT64_MAX / 2 || addr_out == NULL) {
        return -EINVAL;
    }
    if (exceeds_machine(len)) {
        return -ENOMEM;
    }
    allocation = calloc(1, sizeof(*allocation));
    if (allocation == NULL) {
        return -ENOMEM;
    }
    if (len >= HUGE_PAGE_LEN) {
        allocation->len = bc_align_up_u64(len, HUGE_PAGE_LEN);
        rc = map_memfd(allocation->len, MFD_HUGETLB | MFD_HUGE_2MB, &allocation->fd, &addr);
    }
    if (rc != 0) {
        allocation->len = bc_align_up_u64(len, PAGE_LEN);
        rc = map_memfd(allocation->len, 0, &allocation->fd, &addr);
    }
    if (rc != 0) {
        free(allocation);
        return rc;
    }
    allocation->base = (uint64_t)(uintptr_t)addr;
    (void)pthread_mutex_lock(&lock);
    allocation->next = allocations;
    allocations = allocation;
    (void)pthread_mutex_unlock(&lock);
    *addr_out = addr;
    return 0;
}

void bc_memory_free(void *addr)
{
    struct allocation **link;
    struct allocation *allocation = NULL;

    if (addr == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&lock);
    for (link = &allocations; *link != NULL; link = &(*link)->next) {
        if ((*link)->base == (uint64_t)(uintptr_t)addr) {
            allocation = *link;
            *link = allocation->next;
            break;
        }
    }
    (void)pthread_mutex_unlock(&lock);
    BC_ASSERT(allocation != NULL); /* not from bc_memory_alloc, or freed twice */
    (void)munmap(addr, allocation->len);
    (void)close(allocation->fd);
    free(allocation);
}

bool bc_shmem_find(uint64_t addr, uint64_t len, uint64_t *base_out, uint64_t *len_out)
{
    bool found = false;

    (void)pthread_mutex_lock(&lock);
    for (const struct allocation *at = allocations; at != NULL; at = at->next) {
        if (addr >= at->base && len <= at->len && addr - at->base <= at->len - len) {
            *base_out = at->base;
            *len_out = at->len;
            found = true;
            break;
        }
    }
    (void)pthread_mutex_unlock(&lock);
    return found;
}
