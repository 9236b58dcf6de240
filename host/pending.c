/* SPDX-License-Identifier: Apache-2.0 */
/* pending.c - see pending.h. */
#include "pending.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define SLOT_BITS      16
#define SLOT_MASK      (BC_PENDING_MAX - 1)
#define CAPACITY_FIRST 64u

BC_STATIC_ASSERT(BC_PENDING_MAX == 1u << SLOT_BITS, "a slot fits its bits of an id");

void bc_pending_init(struct bc_pending_table *table)
{
    memset(table, 0, sizeof(*table));
}

void bc_pending_fini(struct bc_pending_table *table)
{
    BC_ASSERT(table->used == 0);
    free(table->slots);
    free(table->free_slots);
    memset(table, 0, sizeof(*table));
}

static int grow(struct bc_pending_table *table)
{
    uint32_t capacity = table->capacity == 0 ? CAPACITY_FIRST : table->capacity * 2;
    struct bc_pending **slots;
    uint32_t *free_slots;

    if (capacity > BC_PENDING_MAX) {
        return -EAGAIN;
    }
    slots = realloc(table->slots, capacity * sizeof(*slots));
    if (slots == NULL) {
        return -ENOMEM;
    }
    table->slots = slots;
    free_slots = realloc(table->free_slots, capacity * sizeof(*free_slots));
    if (free_slots == NULL) {
        return -ENOMEM;
    }
    table->free_slots = free_slots;
    /* Everything is taken, so the stack is empty; low slots come out first. */
    for (uint32_t i = table->capacity; i < capacity; i++) {
        slots[i] = NULL;
        free_slots[capacity - 1 - i] = i;
    }
    table->capacity = capacity;
    return 0;
}

int bc_pending_add(struct bc_pending_table *table, struct bc_pending *pending)
{
    uint32_t slot;
    int rc;

    BC_ASSERT(pending->id == 0);
    if (table->used == table->capacity) {
        rc = grow(table);
        if (rc != 0) {
            return rc;
        }
    }
    slot = table->free_slots[table->capacity - table->used - 1];
    table->used++;
    table->slots[slot] = pending;
    pending->id = ++table->serial << SLOT_BITS | slot;
    return 0;
}

void bc_pending_remove(struct bc_pending_table *table, struct bc_pending *pending)
{
    uint32_t slot = (uint32_t)(pending->id & SLOT_MASK);

    BC_ASSERT(pending->id != 0 && slot < table->capacity && table->slots[slot] == pending);
    table->slots[slot] = NULL;
    table->used--;
    table->free_slots[table->capacity - table->used - 1] = slot;
    pending->id = 0;
}

struct bc_pending *bc_pending_find(const struct bc_pending_table *table, uint64_t id)
{
    uint32_t slot = (uint32_t)(id & SLOT_MASK);

    if (id == 0 || slot >= table->capacity || table->slots[slot] == NULL ||
        table->slots[slot]->id != id) {
        return NULL;
    }
    return table->slots[slot];
}

struct bc_pending *bc_pending_any(const struct bc_pending_table *table, uint32_t *cursor)
{
    for (; *cursor < table->capacity; (*cursor)++) {
        if (table->slots[*cursor] != NULL) {
            return table->slots[*cursor];
        }
    }
    return NULL;
}
