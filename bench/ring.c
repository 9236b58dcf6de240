/* SPDX-License-Identifier: Apache-2.0 */
/* ring.c - see ring.h. One addition a word: with these sizes anything slower would take most of a
 * run. */
#include "ring.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <bluecache/bluecache.h>

#include "harness.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

#define PAGE_LEN      ((size_t)4096)
#define HUGE_PAGE_LEN ((size_t)2 << 20)
#define STEP          UINT64_C(0x9e3779b97f4a7c15) /* odd: words repeat only after 2^64 of them */
#define SPOILT        0xa5
#define RESERVED      "reserved 2 MiB pages"

static uint64_t first_word(uint64_t seed)
{
    uint64_t x = (seed + 1) * UINT64_C(0xbf58476d1ce4e5b9);

    return x ^ x >> 31;
}

void *bc_ring_alloc(const char *kind, size_t len)
{
    void *ring = NULL;
    int rc;

    if (strcmp(kind, "shared") == 0 || strcmp(kind, "huge") == 0) {
        rc = bc_memory_alloc(len, &ring);
    } else if (strcmp(kind, "malloc") == 0) {
        rc = -posix_memalign(&ring, PAGE_LEN, len);
    } else {
        bc_harness_fail("memory=%s: it can be malloc, shared or huge", kind);
    }
    if (rc != 0) {
        bc_harness_fail("no memory for a ring of %zu bytes: %s", len, strerror(-rc));
    }
    bc_ring_spoil(ring, len);
    if (strcmp(kind, "huge") == 0 && strcmp(bc_ring_pages(ring), RESERVED) != 0) {
        bc_harness_fail("not enough huge pages are reserved and free for a ring of %zu bytes", len);
    }
    return ring;
}

void *bc_ring_alloc_pool(size_t len)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    size_t whole = (len + HUGE_PAGE_LEN - 1) / HUGE_PAGE_LEN * HUGE_PAGE_LEN;
    uint8_t *ring = mmap(NULL, whole, PROT_READ | PROT_WRITE, flags | MAP_HUGETLB, -1, 0);

    if (ring == MAP_FAILED) {
        ring = mmap(NULL, whole + HUGE_PAGE_LEN, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (ring == MAP_FAILED) {
            bc_harness_fail("no memory for a pool of %zu bytes", len);
        }
        ring += -(uintptr_t)ring & (HUGE_PAGE_LEN - 1);
        (void)madvise(ring, whole, MADV_HUGEPAGE);
    }
    (void)madvise(ring, whole, MADV_POPULATE_WRITE); /* older kernels: the fill touches it */
    bc_ring_spoil(ring, whole);
    return ring;
}

const char *bc_ring_pages(const void *at)
{
    uint64_t addr = (uint64_t)(uintptr_t)at;
    const char *found = "unknown pages";
    FILE *file = fopen("/proc/self/smaps", "re");
    bool inside = false;
    char line[256];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        uint64_t begin;
        uint64_t end;
        uint64_t kib;

        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &begin, &end) == 2) {
            inside = addr >= begin && addr < end;
        } else if (inside && sscanf(line, "KernelPageSize: %" SCNu64, &kib) == 1) {
            found = kib > PAGE_LEN / 1024 ? RESERVED : "4 KiB pages";
        } else if (inside && (sscanf(line, "AnonHugePages: %" SCNu64, &kib) == 1 ||
                              sscanf(line, "ShmemPmdMapped: %" SCNu64, &kib) == 1)) {
            found = kib > 0 ? "transparent huge pages" : found;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return found;
}

void bc_ring_fill(void *at, size_t len, uint64_t seed, uint64_t offset)
{
    uint64_t *words = at;
    uint64_t first = first_word(seed) + offset / sizeof(*words) * STEP;

    for (size_t i = 0; i < len / sizeof(*words); i++) {
        words[i] = first + i * STEP;
    }
}

bool bc_ring_check(const void *at, size_t len, uint64_t seed, uint64_t offset)
{
    const uint64_t *words = at;
    uint64_t first = first_word(seed) + offset / sizeof(*words) * STEP;
    uint64_t wrong = 0;

    for (size_t i = 0; i < len / sizeof(*words); i++) {
        wrong |= words[i] ^ (first + i * STEP);
    }
    return wrong == 0;
}

void bc_ring_spoil(void *ring, size_t len)
{
    memset(ring, SPOILT, len);
}
