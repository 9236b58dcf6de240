/* SPDX-License-Identifier: Apache-2.0 */
/* group.c - see group.h. Thread: the owner of the loop. */
#include "backend/group.h"

#include <errno.h>
#include <stdlib.h>

#define RECENT_WAYS 8u
#define RECENT_SETS (BC_GROUP_RECENT / RECENT_WAYS)

static uint64_t mix(uint64_t word)
{
    word = (word ^ word >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    word = (word ^ word >> 27) * UINT64_C(0x94D049BB133111EB);
    return word ^ word >> 31;
}

uint64_t bc_group_name(uint32_t tenant, uint64_t group)
{
    return mix(group + (uint64_t)tenant * UINT64_C(0x9E3779B97F4A7C15));
}

int bc_groups_init(struct bc_groups *groups, struct bc_backend *backend, uint64_t *clock)
{
    *groups = (struct bc_groups){.backend = backend, .clock = clock};
    groups->recent = calloc(BC_GROUP_RECENT, sizeof(*groups->recent));
    if (groups->recent == NULL || bc_hashmap_init(&groups->members, 1) != 0) {
        free(groups->recent);
        groups->recent = NULL;
        return -ENOMEM;
    }
    return 0;
}

void bc_groups_fini(struct bc_groups *groups)
{
    BC_ASSERT(groups->lent == 0);
    free(groups->recent);
    bc_hashmap_fini(&groups->members);
}

/* ---- members ---- */

void bc_group_member_init(struct bc_group_member *member, const struct bc_object_key *key,
                          const struct bc_put_hints *hints)
{
    member->node = (struct bc_hashmap_node){
        .hash = {.low = bc_group_name(key->tenant, hints->group), .high = hints->group_time}};
}

/* The first of this name in the chain. Times differ, so that bc_hashmap_find does not do. */
static struct bc_hashmap_node *same_name(struct bc_hashmap_node *node, uint64_t name)
{
    while (node != NULL && node->hash.low != name) {
        node = node->next;
    }
    return node;
}

static struct bc_hashmap_node *first_of(const struct bc_groups *groups, uint64_t name)
{
    return same_name(groups->members.buckets[name & (groups->members.bucket_count - 1)], name);
}

bool bc_groups_add(struct bc_groups *groups, struct bc_group_member *member)
{
    uint64_t name = member->node.hash.low;
    uint32_t count = 0;

    for (struct bc_hashmap_node *node = first_of(groups, name); node != NULL;
         node = same_name(node->next, name)) {
        count++;
    }
    if (count >= BC_GROUP_MEMBERS_MAX) {
        return false;
    }
    bc_hashmap_insert(&groups->members, &member->node);
    return true;
}

void bc_groups_remove(struct bc_groups *groups, struct bc_group_member *member)
{
    bc_hashmap_remove(&groups->members, &member->node);
}

struct bc_group_member *bc_groups_find(const struct bc_groups *groups, uint64_t name, uint64_t time)
{
    struct bc_hashmap_node *node = first_of(groups, name);

    while (node != NULL && node->hash.high >= time) {
        node = same_name(node->next, name);
    }
    return node == NULL ? NULL : BC_CONTAINER_OF(node, struct bc_group_member, node);
}

/* ---- drops ---- */

static struct bc_group_recent *set_of(const struct bc_groups *groups, uint64_t name)
{
    /* Buckets go by the low bits. */
    return groups->recent + (name >> 32) % RECENT_SETS * RECENT_WAYS;
}

bool bc_groups_is_dropped(const struct bc_groups *groups, const struct bc_group_member *member)
{
    const struct bc_group_recent *set = set_of(groups, member->node.hash.low);

    for (uint32_t i = 0; i < RECENT_WAYS; i++) {
        if (set[i].name == member->node.hash.low && set[i].time > member->node.hash.high) {
            return true;
        }
    }
    return false;
}

void bc_groups_note(struct bc_groups *groups, uint64_t name, uint64_t time)
{
    struct bc_group_recent *set = set_of(groups, name);
    struct bc_group_recent *place = set;

    if (groups->clock == NULL) {
        return; /* who comes before the drop and who after it cannot be told */
    }
    for (uint32_t i = 0; i < RECENT_WAYS; i++) {
        if (set[i].name == name) {
            place = &set[i];
            break;
        }
        if (set[i].time < place->time) {
            place = &set[i];
        }
    }
    if (place->name != name || place->time < time) {
        *place = (struct bc_group_recent){.name = name, .time = time};
    }
}

void bc_groups_begin_drop(struct bc_groups *groups, struct bc_group_member *member)
{
    uint64_t name = member->node.hash.low;
    uint64_t time =
        groups->clock == NULL ? 1 : __atomic_add_fetch(groups->clock, 1, __ATOMIC_ACQ_REL);

    bc_groups_note(groups, name, time);
    member->drop = (struct bc_group_drop){.name = name, .time = time};
}

void bc_groups_lend(struct bc_groups *groups, struct bc_group_member *member)
{
    struct bc_backend *backend = groups->backend;

    groups->lent++;
    if (backend->group_dropped != NULL) {
        backend->group_dropped(backend->group_arg, &member->drop);
    } else {
        backend->ops->group_told(backend, &member->drop);
    }
}

struct bc_group_member *bc_groups_take_back(struct bc_groups *groups, struct bc_group_drop *drop)
{
    BC_ASSERT(groups->lent > 0);
    groups->lent--;
    return BC_CONTAINER_OF(drop, struct bc_group_member, drop);
}
