/* SPDX-License-Identifier: Apache-2.0 */
/* inventory.c - a stock of bufs in chunks (one, and one more for each expansion) with one free
 * list. */
#include "buf.h"

#include <stdlib.h>

struct chunk {
    struct chunk *next;
    struct doca_buf bufs[];
};

struct doca_buf_inventory {
    struct chunk *chunks;
    struct doca_buf *free;
    uint32_t num_elements;
    uint32_t num_free;
    bool started;
    union doca_data user_data;
};

static doca_error_t add_chunk(struct doca_buf_inventory *inventory, size_t count)
{
    if (count == 0 || count > UINT32_MAX - inventory->num_elements) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    struct chunk *chunk = calloc(1, sizeof(*chunk) + count * sizeof(chunk->bufs[0]));
    if (chunk == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    chunk->next = inventory->chunks;
    inventory->chunks = chunk;
    for (size_t i = count; i-- > 0;) {
        chunk->bufs[i].inventory = inventory;
        chunk->bufs[i].next = inventory->free;
        inventory->free = &chunk->bufs[i];
    }
    inventory->num_elements += (uint32_t)count;
    inventory->num_free += (uint32_t)count;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_inventory_create(size_t num_elements, struct doca_buf_inventory **inventory)
{
    if (inventory == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    struct doca_buf_inventory *fresh = calloc(1, sizeof(*fresh));
    if (fresh == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    doca_error_t result = add_chunk(fresh, num_elements);
    if (result != DOCA_SUCCESS) {
        free(fresh);
        return result;
    }
    *inventory = fresh;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_inventory_destroy(struct doca_buf_inventory *inventory)
{
    if (inventory == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (inventory->num_free != inventory->num_elements) {
        return DOCA_ERROR_IN_USE;
    }
    while (inventory->chunks != NULL) {
        struct chunk *chunk = inventory->chunks;
        inventory->chunks = chunk->next;
        free(chunk);
    }
    free(inventory);
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_inventory_start(struct doca_buf_inventory *inventory)
{
    if (inventory == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    inventory->started = true;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_inventory_stop(struct doca_buf_inventory *inventory)
{
    if (inventory == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    inventory->started = false;
    return DOCA_SUCCESS;
}

static struct doca_buf *take(struct doca_buf_inventory *inventory, struct doca_mmap *mmap)
{
    struct doca_buf *buf = inventory->free;
    inventory->free = buf->next;
    inventory->num_free--;
    buf->next = NULL;
    buf->prev = NULL;
    buf->mmap = mmap;
    buf->refs = 1;
    atomic_fetch_add(&mmap->num_bufs, 1);
    return buf;
}

void emu_buf_return(struct doca_buf *head)
{
    for (struct doca_buf *buf = head; buf != NULL;) {
        struct doca_buf *next = buf->next;
        struct doca_buf_inventory *inventory = buf->inventory;
        atomic_fetch_sub(&buf->mmap->num_bufs, 1);
        /* A stale use of the buf finds nothing to touch. */
        *buf = (struct doca_buf){.inventory = inventory, .next = inventory->free};
        inventory->free = buf;
        inventory->num_free++;
        buf = next;
    }
}

/* Whether [addr, addr+len) lies inside of [base, base+size). */
static bool inside(uint64_t base, uint64_t size, uint64_t addr, uint64_t len)
{
    return addr >= base && len <= size && addr - base <= size - len;
}

doca_error_t doca_buf_inventory_buf_get_by_args(struct doca_buf_inventory *inventory,
                                                struct doca_mmap *mmap, void *addr, size_t len,
                                                void *data, size_t data_len, struct doca_buf **buf)
{
    if (inventory == NULL || mmap == NULL || buf == NULL || !inventory->started ||
        mmap->state != EMU_MMAP_STARTED || !inside(mmap->base, mmap->len, (uintptr_t)addr, len) ||
        !inside((uintptr_t)addr, len, (uintptr_t)data, data_len)) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (inventory->free == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    struct doca_buf *fresh = take(inventory, mmap);
    fresh->head = addr;
    fresh->len = len;
    fresh->data = data;
    fresh->data_len = data_len;
    *buf = fresh;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_inventory_buf_dup(struct doca_buf_inventory *inventory,
                                        const struct doca_buf *src_buf, struct doca_buf **dst_buf)
{
    uint32_t count = 0;
    if (inventory == NULL || src_buf == NULL || dst_buf == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (!inventory->started) {
        return DOCA_ERROR_BAD_STATE;
    }
    if (src_buf->refs == 0 || doca_buf_get_list_len(src_buf, &count) != DOCA_SUCCESS) {
        return DOCA_ERROR_NOT_PERMITTED;
    }
    if (count > inventory->num_free) {
        return DOCA_ERROR_NO_MEMORY;
    }
    struct doca_buf *head = NULL;
    struct doca_buf *last = NULL;
    for (; src_buf != NULL; src_buf = src_buf->next) {
        struct doca_buf *fresh = take(inventory, src_buf->mmap);
        fresh->head = src_buf->head;
        fresh->len = src_buf->len;
        fresh->data = src_buf->data;
        fresh->data_len = src_buf->data_len;
        fresh->prev = last;
        if (last == NULL) {
            head = fresh;
        } else {
            last->next = fresh;
        }
        last = fresh;
    }
    *dst_buf = head;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_inventory_set_user_data(struct doca_buf_inventory *inventory,
                                              union doca_data user_data)
{
    if (inventory == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (inventory->started) {
        return DOCA_ERROR_BAD_STATE;
    }
    inventory->user_data = user_data;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_inventory_get_num_elements(const struct doca_buf_inventory *inventory,
                                                 uint32_t *num_of_elements)
{
    if (inventory == NULL || num_of_elements == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *num_of_elements = inventory->num_elements;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_inventory_get_num_free_elements(const struct doca_buf_inventory *inventory,
                                                      uint32_t *num_of_free_elements)
{
    if (inventory == NULL || num_of_free_elements == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *num_of_free_elements = inventory->num_free;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_inventory_get_user_data(const struct doca_buf_inventory *inventory,
                                              union doca_data *user_data)
{
    if (inventory == NULL || user_data == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *user_data = inventory->user_data;
    return DOCA_SUCCESS;
}

doca_error_t doca_buf_inventory_expand(struct doca_buf_inventory *inventory, uint32_t num_elements)
{
    if (inventory == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return add_chunk(inventory, num_elements);
}
