/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c - objects in one array, the indexes of the free ones on a stack: the one used last is
 * handed out first, while the caches still hold it.
 * Invariants: generation[i] is odd exactly while object i is out; free_stack[0 .. free_count) holds
 * every index whose generation is even, once. One thread. */
#include "base/pool.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"

#define OBJECT_ALIGN 16

int bc_pool_init(struct bc_pool *pool, uint32_t count, size_t object_size)
{
    size_t size;

    if (count == 0 || object_size == 0) {
        return -EINVAL;
    }
    if (object_size > SIZE_MAX - (OBJECT_ALIGN - 1)) {
        return -ENOMEM;
    }
    size = (size_t)bc_align_up_u64(object_size, OBJECT_ALIGN);
    if (size > SIZE_MAX / count) {
        return -ENOMEM;
    }
    *pool = (struct bc_pool){.count = count, .free_count = count, .object_size = size};
    pool->objects = calloc(count, size);
    pool->generation = calloc(count, sizeof(*pool->generation));
    pool->free_stack = calloc(count, sizeof(*pool->free_stack));
    if (pool->objects == NULL || pool->generation == NULL || pool->free_stack == NULL) {
        bc_pool_fini(pool);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        pool->free_stack[i] = count - 1 - i;
    }
    return 0;
}

void bc_pool_fini(struct bc_pool *pool)
{
    BC_ASSERT(pool->free_count == pool->count);
    free(pool->free_stack);
    free(pool->generation);
    free(pool->objects);
    *pool = (struct bc_pool){0};
}

static void *object_at(const struct bc_pool *pool, uint32_t index)
{
    return pool->objects + (size_t)index * pool->object_size;
}

void *bc_pool_get(struct bc_pool *pool)
{
    uint32_t index;

    if (pool->free_count == 0) {
        return NULL;
    }
    index = pool->free_stack[--pool->free_count];
    pool->generation[index]++;
    return object_at(pool, index);
}

void bc_pool_put(struct bc_pool *pool, void *object)
{
    uint32_t index = bc_pool_index(pool, object);

    BC_ASSERT(pool->generation[index] % 2 == 1);
    pool->generation[index]++;
    pool->free_stack[pool->free_count++] = index;
}

uint32_t bc_pool_index(const struct bc_pool *pool, const void *object)
{
    /* As integers: comparing pointers into different arrays means nothing in C. */
    uintptr_t offset = (uintptr_t)object - (uintptr_t)pool->objects;

    BC_ASSERT(offset / pool->object_size < pool->count && offset % pool->object_size == 0);
    return (uint32_t)(offset / pool->object_size);
}

uint32_t bc_pool_generation(const struct bc_pool *pool, const void *object)
{
    return pool->generation[bc_pool_index(pool, object)];
}

void *bc_pool_lookup(const struct bc_pool *pool, uint32_t index, uint32_t generation)
{
    if (index >= pool->count || generation % 2 == 0 || pool->generation[index] != generation) {
        return NULL;
    }
    return object_at(pool, index);
}
