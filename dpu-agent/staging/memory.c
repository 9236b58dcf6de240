/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c - reserved huge pages first, then ordinary memory that the kernel is advised to back
 * with transparent huge pages. Private and anonymous: shared memory gets no transparent huge pages
 * on most systems, and nobody else maps the pool. */
#include "staging/memory.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"

#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB (21 << 26)
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

/* Asking the kernel is faster than touching, and a lack of memory comes back as an error, where a
 * touch could end in SIGBUS. */
static int prefault(void *base, size_t len)
{
    volatile uint8_t *bytes = base;
    size_t step = (size_t)sysconf(_SC_PAGESIZE);
    size_t at;

    if (madvise(base, len, MADV_POPULATE_WRITE) == 0) {
        return 0;
    }
    if (errno != EINVAL) {
        return -ENOMEM;
    }
    for (at = 0; at < len; at += step) {
        bytes[at] = 0;
    }
    return 0;
}

static void *map_reserved_huge(size_t len)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB;
    void *base = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, -1, 0);

    if (base == MAP_FAILED) {
        return NULL;
    }
    if (prefault(base, len) != 0) {
        munmap(base, len);
        return NULL;
    }
    return base;
}

/* More is mapped than needed, and what lies outside the aligned part is given back. */
static void *map_aligned(size_t len)
{
    size_t extra = BC_MEMORY_HUGE_PAGE;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    uint8_t *base = mmap(NULL, len + extra, PROT_READ | PROT_WRITE, flags, -1, 0);
    size_t head;

    if (base == MAP_FAILED) {
        return NULL;
    }
    head = (size_t)(bc_align_up_u64((uintptr_t)base, BC_MEMORY_HUGE_PAGE) - (uintptr_t)base);
    if (head > 0) {
        munmap(base, head);
    }
    if (extra - head > 0) {
        munmap(base + head + len, extra - head);
    }
    return base + head;
}

int bc_memory_map(size_t len, bool huge_pages, void **base_out, const char **kind_out)
{
    void *base = huge_pages ? map_reserved_huge(len) : NULL;

    if (base != NULL) {
        *base_out = base;
        *kind_out = "reserved 2 MiB pages";
        return 0;
    }
    base = map_aligned(len);
    if (base == NULL) {
        return -ENOMEM;
    }
    *kind_out = "4 KiB pages";
    if (huge_pages && madvise(base, len, MADV_HUGEPAGE) == 0) {
        *kind_out = "transparent huge pages";
    }
    if (prefault(base, len) != 0) {
        munmap(base, len);
        return -ENOMEM;
    }
    *base_out = base;
    return 0;
}

void bc_memory_unmap(void *base, size_t len)
{
    munmap(base, len);
}
