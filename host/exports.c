/* SPDX-License-Identifier: Apache-2.0 */
/* exports.c - see exports.h. */
#include "exports.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define CAPACITY_FIRST 16

static bool same_memory(const struct bc_extent *a, const struct bc_extent *b)
{
    return a->type == b->type && a->device == b->device;
}

static bool covers(const struct bc_extent *outer, const struct bc_extent *inner)
{
    return same_memory(outer, inner) && outer->base <= inner->base &&
           bc_extent_end(outer) >= bc_extent_end(inner);
}

/* Order of the array. */
static bool before(const struct bc_extent *a, const struct bc_extent *b)
{
    if (a->type != b->type) {
        return a->type < b->type;
    }
    if (a->device != b->device) {
        return a->device < b->device;
    }
    return a->base < b->base;
}

/* Index of the first region that does not stand before `extent`. */
static size_t lower_bound(const struct bc_regions *regions, const struct bc_extent *extent)
{
    size_t low = 0;
    size_t high = regions->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (before(&regions->items[middle]->extent, extent)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Index of the first region that could touch `extent`: ends grow as bases do. */
static size_t first_touching(const struct bc_regions *regions, const struct bc_extent *extent)
{
    size_t at = lower_bound(regions, extent);

    while (at > 0 && same_memory(&regions->items[at - 1]->extent, extent) &&
           bc_extent_end(&regions->items[at - 1]->extent) >= extent->base) {
        at--;
    }
    return at;
}

static void take_out(struct bc_regions *regions, size_t index)
{
    BC_ASSERT(index < regions->count);
    regions->items[index]->attached = false;
    regions->count--;
    memmove(&regions->items[index], &regions->items[index + 1],
            (regions->count - index) * sizeof(regions->items[0]));
}

static size_t index_of(const struct bc_regions *regions, const struct bc_region *region)
{
    size_t at = lower_bound(regions, &region->extent);

    BC_ASSERT(at < regions->count && regions->items[at] == region);
    return at;
}

void bc_regions_init(struct bc_regions *regions)
{
    memset(regions, 0, sizeof(*regions));
    bc_list_init(&regions->detached);
}

void bc_regions_fini(struct bc_regions *regions)
{
    BC_ASSERT(regions->count == 0 && bc_list_empty(&regions->detached));
    free(regions->items);
    regions->items = NULL;
}

struct bc_region *bc_regions_find(const struct bc_regions *regions, const struct bc_extent *wanted)
{
    size_t at = lower_bound(regions, wanted);
    struct bc_region *region;

    /* Of all that begin at or before `wanted` the last one reaches farthest. */
    if (at < regions->count && same_memory(&regions->items[at]->extent, wanted) &&
        regions->items[at]->extent.base == wanted->base) {
        at++;
    }
    if (at == 0) {
        return NULL;
    }
    region = regions->items[at - 1];
    return covers(&region->extent, wanted) && region->extent.identity == wanted->identity ? region
                                                                                          : NULL;
}

static bool may_merge(const struct bc_region *region, const struct bc_extent *merged,
                      bool absent_only)
{
    const struct bc_export *current = region->current;
    uint64_t base = bc_min_u64(region->extent.base, merged->base);
    uint64_t end = bc_max_u64(bc_extent_end(&region->extent), bc_extent_end(merged));

    if (region->extent.whole || end - base > BC_REGION_LEN_MAX) {
        return false;
    }
    if (current == NULL) {
        return true;
    }
    return !absent_only && region->extent.len <= merged->len &&
           (current->state == BC_EXPORT_LIVE || current->state == BC_EXPORT_LOCAL);
}

/* One step of growing; false when nothing is left to merge with. */
static bool merge_one(const struct bc_regions *regions, bool absent_only, struct bc_extent *merged)
{
    uint64_t end = bc_extent_end(merged);

    for (size_t i = first_touching(regions, merged); i < regions->count; i++) {
        const struct bc_extent *extent = &regions->items[i]->extent;

        if (!same_memory(extent, merged) || extent->base > end) {
            break;
        }
        if (!covers(merged, extent) && may_merge(regions->items[i], merged, absent_only)) {
            uint64_t base = bc_min_u64(extent->base, merged->base);

            merged->len = bc_max_u64(bc_extent_end(extent), end) - base;
            merged->base = base;
            return true;
        }
    }
    return false;
}

void bc_regions_plan(const struct bc_regions *regions, const struct bc_extent *wanted,
                     bool absent_only, struct bc_extent *merged_out)
{
    struct bc_extent merged = *wanted;

    /* Each step swallows a region, so there are no more steps than regions. */
    for (size_t step = 0; !wanted->whole && step < regions->count; step++) {
        if (!merge_one(regions, absent_only, &merged)) {
            break;
        }
    }
    *merged_out = merged;
}

int bc_region_create(const struct bc_extent *extent, struct bc_region **region_out)
{
    struct bc_region *region = calloc(1, sizeof(*region));

    if (region == NULL) {
        return -ENOMEM;
    }
    region->extent = *extent;
    bc_list_init(&region->memories);
    *region_out = region;
    return 0;
}

void bc_region_destroy(struct bc_region *region)
{
    if (region != NULL) {
        BC_ASSERT(!region->attached && bc_list_empty(&region->memories));
        free(region);
    }
}

static int reserve(struct bc_regions *regions)
{
    size_t capacity = regions->capacity == 0 ? CAPACITY_FIRST : regions->capacity * 2;
    struct bc_region **items;

    if (regions->count < regions->capacity) {
        return 0;
    }
    items = realloc(regions->items, capacity * sizeof(*items));
    if (items == NULL) {
        return -ENOMEM;
    }
    regions->items = items;
    regions->capacity = capacity;
    return 0;
}

static void absorb(struct bc_region *into, struct bc_region *from)
{
    struct bc_list_node *node;

    while ((node = bc_list_pop_front(&from->memories)) != NULL) {
        bc_region_join(into, BC_CONTAINER_OF(node, struct bc_memory, node));
    }
}

int bc_regions_attach(struct bc_regions *regions, struct bc_region *region,
                      struct bc_list *absorbed)
{
    size_t at;

    if (reserve(regions) != 0) {
        return -ENOMEM;
    }
    at = first_touching(regions, &region->extent);
    while (at < regions->count && same_memory(&regions->items[at]->extent, &region->extent) &&
           regions->items[at]->extent.base < bc_extent_end(&region->extent)) {
        struct bc_region *other = regions->items[at];

        if (covers(&region->extent, &other->extent) &&
            other->extent.identity == region->extent.identity) {
            take_out(regions, at);
            absorb(region, other);
            bc_list_push_back(absorbed, &other->node);
        } else if (covers(&other->extent, &region->extent) ||
                   covers(&region->extent, &other->extent)) {
            /* Another allocation now lives at this address: the old one was freed while
             * registered. */
            take_out(regions, at);
            bc_list_push_back(&regions->detached, &other->node);
        } else {
            at++;
        }
    }
    at = lower_bound(regions, &region->extent);
    memmove(&regions->items[at + 1], &regions->items[at],
            (regions->count - at) * sizeof(regions->items[0]));
    regions->items[at] = region;
    regions->count++;
    region->attached = true;
    return 0;
}

void bc_region_join(struct bc_region *region, struct bc_memory *memory)
{
    memory->region = region;
    bc_list_push_back(&region->memories, &memory->node);
}

static bool held_by_another(const struct bc_region *region, const struct bc_extent *extent)
{
    const struct bc_list_node *node = bc_list_first(&region->memories);

    for (; node != NULL; node = bc_list_next(&region->memories, node)) {
        if (covers(&BC_CONTAINER_OF(node, struct bc_memory, node)->extent, extent)) {
            return true;
        }
    }
    return false;
}

struct bc_region *bc_regions_release(struct bc_regions *regions, struct bc_memory *memory)
{
    struct bc_region *region = memory->region;

    bc_list_remove(&region->memories, &memory->node);
    memory->region = NULL;
    if (bc_list_empty(&region->memories)) {
        if (region->attached) {
            take_out(regions, index_of(regions, region));
        } else if (bc_list_linked(&region->node)) {
            bc_list_remove(&regions->detached, &region->node);
        }
        regions->epoch++;
        return region;
    }
    if (region->attached && !region->extent.whole && !held_by_another(region, &memory->extent)) {
        take_out(regions, index_of(regions, region));
        bc_list_push_back(&regions->detached, &region->node);
        regions->epoch++;
    }
    return NULL;
}

const char *bc_export_state_name(enum bc_export_state state)
{
    static const char *const names[BC_EXPORT_STATE_COUNT] = {
        "opening", "local", "sending", "live", "leaving", "closing", "closed",
    };

    return (unsigned int)state < BC_EXPORT_STATE_COUNT ? names[state] : "unknown";
}
