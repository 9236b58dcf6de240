/* SPDX-License-Identifier: Apache-2.0 */
/* pool.h - a fixed number of equal objects, allocated once, named by (index, generation) where a
 * name leaves the module.
 * Invariants: get and put are O(1) and allocate nothing; an object's generation changes on every
 * put, so a stale name is caught.
 * Thread: one. Objects are zeroed once at init, never by get. */
#ifndef BC_BASE_POOL_H
#define BC_BASE_POOL_H

#include <stdbool.h>

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

struct bc_pool {
    uint8_t *objects;
    uint32_t *generation; /* odd while the object is out */
    uint32_t *free_stack;
    uint32_t free_count;
    uint32_t count;
    size_t object_size; /* rounded up to 16 bytes */
};

/* -ENOMEM, -EINVAL (count 0 or size 0). */
BC_MUST_USE int bc_pool_init(struct bc_pool *pool, uint32_t count, size_t object_size);
void bc_pool_fini(struct bc_pool *pool); /* every object must be back (asserted) */

/* NULL when all are out: the caller counts it and answers -EAGAIN. */
void *bc_pool_get(struct bc_pool *pool);
void bc_pool_put(struct bc_pool *pool, void *object); /* asserts: of this pool, and out */

uint32_t bc_pool_index(const struct bc_pool *pool, const void *object);
uint32_t bc_pool_generation(const struct bc_pool *pool, const void *object);
/* The object if it is still out under that generation, else NULL. */
void *bc_pool_lookup(const struct bc_pool *pool, uint32_t index, uint32_t generation);
static inline uint32_t bc_pool_used(const struct bc_pool *pool)
{
    return pool->count - pool->free_count;
}

BC_EXTERN_C_END

#endif
