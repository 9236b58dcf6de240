/* SPDX-License-Identifier: Apache-2.0 */
/* dram_group.c - objects of `dram` that leave together; see group.h. Thread: the owner of the loop.
 * Memory: slabs of members, allocated as they are needed and kept. */
#include <stdlib.h>

#include "backend/dram.h"

#define SLAB_MEMBERS 1023u

struct dram_slab {
    struct dram_slab *next;
    struct dram_member members[SLAB_MEMBERS];
};

void bc_dram_member_free(struct dram *dram, struct dram_member *member)
{
    if (member != NULL) {
        member->next = dram->free_members;
        dram->free_members = member;
    }
}

struct dram_member *bc_dram_member_new(struct dram *dram)
{
    struct dram_member *member;

    if (dram->free_members == NULL) {
        struct dram_slab *slab = malloc(sizeof(*slab));

        if (slab == NULL) {
            return NULL;
        }
        slab->next = dram->slabs;
        dram->slabs = slab;
        for (uint32_t i = SLAB_MEMBERS; i > 0; i--) {
            bc_dram_member_free(dram, &slab->members[i - 1]);
        }
    }
    member = dram->free_members;
    dram->free_members = member->next;
    return member;
}

void bc_dram_member_join(struct dram *dram, struct dram_object *object, struct dram_member *member)
{
    if (member == NULL) {
        return;
    }
    if (!bc_groups_add(&dram->groups, &member->group)) {
        bc_dram_member_free(dram, member);
        return;
    }
    member->object = object;
    object->member = member;
}

void bc_dram_member_leave(struct dram *dram, struct dram_object *object)
{
    if (object->member != NULL) {
        bc_groups_remove(&dram->groups, &object->member->group);
        bc_dram_member_free(dram, object->member);
        object->member = NULL;
    }
}

void bc_dram_group_drop(struct bc_backend *backend, uint64_t name, uint64_t time)
{
    struct dram *dram = bc_dram_of(backend);
    struct bc_group_member *found;

    bc_groups_note(&dram->groups, name, time);
    while ((found = bc_groups_find(&dram->groups, name, time)) != NULL) {
        struct dram_member *member = BC_CONTAINER_OF(found, struct dram_member, group);

        bc_counter_add(&dram->counters.group_evictions, 1);
        bc_dram_detach(dram, member->object);
    }
}

void bc_dram_group_drop_all(struct dram *dram, struct dram_member *member)
{
    bc_groups_begin_drop(&dram->groups, &member->group);
    bc_dram_group_drop(&dram->base, member->group.drop.name, member->group.drop.time);
    bc_groups_lend(&dram->groups, &member->group);
}

void bc_dram_group_told(struct bc_backend *backend, struct bc_group_drop *drop)
{
    struct dram *dram = bc_dram_of(backend);
    struct bc_group_member *member = bc_groups_take_back(&dram->groups, drop);

    bc_dram_member_free(dram, BC_CONTAINER_OF(member, struct dram_member, group));
}

void bc_dram_group_fini(struct dram *dram)
{
    struct dram_slab *next;

    for (struct dram_slab *slab = dram->slabs; slab != NULL; slab = next) {
        next = slab->next;
        free(slab);
    }
    bc_groups_fini(&dram->groups);
}
