/* SPDX-License-Identifier: Apache-2.0 */
/* ring.h - the memory that benchmarks copy from and to: larger than the caches, touched before any
 * timing, filled with words that tell their place, and checked afterwards.
 * Word i of a ring filled from `seed` is a function of (seed, i): no two places hold the same
 * bytes, so a block that arrives in the wrong place is found. Thread: any, one at a time a ring. */
#ifndef BENCH_RING_H
#define BENCH_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "malloc": ordinary memory, page-aligned; "shared": bc_memory_alloc; "huge": the same, and an error
 * when it is not on reserved huge pages. Fails as bc_harness_fail. Never given back: it lives as
 * long as the program. */
void *bc_ring_alloc(const char *kind, size_t len);
/* As an agent's staging memory: reserved huge pages, else private memory with transparent ones. */
void *bc_ring_alloc_pool(size_t len);
/* The pages of the mapping that `at` lies in, in the words of an agent's log: "reserved 2 MiB
 * pages", "transparent huge pages" (some of it) or "4 KiB pages". */
const char *bc_ring_pages(const void *at);

/* len and offset: multiples of 8 bytes. Fills `at` with what stands at `offset` in a ring, of any
 * length, that is filled from `seed`. */
void bc_ring_fill(void *at, size_t len, uint64_t seed, uint64_t offset);
bool bc_ring_check(const void *at, size_t len, uint64_t seed, uint64_t offset);
/* Bytes that no fill makes, so that what was not written is found. */
void bc_ring_spoil(void *ring, size_t len);

#endif
