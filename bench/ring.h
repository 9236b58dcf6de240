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

/* "malloc": ordinary memory, page-aligned; "shared": bc_memory_alloc. Fails as bc_harness_fail.
 * Never given back: it lives as long as the program. */
void *bc_ring_alloc(const char *kind, size_t len);
/* As an agent's staging memory: reserved huge pages, else private memory with transparent ones. */
void *bc_ring_alloc_pool(size_t len);

/* len and offset: multiples of 8 bytes. */
void bc_ring_fill(void *ring, size_t len, uint64_t seed);
/* Whether `at` holds what stands at `offset` in a ring filled from `seed`. */
bool bc_ring_check(const void *at, size_t len, uint64_t seed, uint64_t offset);
/* Bytes that no fill makes, so that what was not written is found. */
void bc_ring_spoil(void *ring, size_t len);

#endif
