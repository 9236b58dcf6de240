/* SPDX-License-Identifier: Apache-2.0 */
/* posix_group.c - objects of `posix` that leave together; see group.h. The record of the object that
 * was dropped first carries the drop: it is held until everybody was told.
 * Thread: the owner of the loop. Memory: that of the index. */
#include <errno.h>

#include "backend/posix.h"

static struct posix_object *object_of(struct bc_group_member *member)
{
    return &BC_CONTAINER_OF(member, struct posix_grouped, member)->object;
}

void bc_posix_member_join(struct posix *posix, struct posix_object *object)
{
    if ((object->flags & POSIX_OBJECT_GROUPED) != 0 &&
        bc_groups_add(&posix->groups, bc_posix_member(object))) {
        object->flags |= POSIX_OBJECT_MEMBER;
    }
}

void bc_posix_member_leave(struct posix *posix, struct posix_object *object)
{
    if ((object->flags & POSIX_OBJECT_MEMBER) != 0) {
        object->flags &= (uint16_t)~POSIX_OBJECT_MEMBER;
        bc_groups_remove(&posix->groups, bc_posix_member(object));
    }
}

bool bc_posix_group_begin_drop(struct posix *posix, struct posix_object *object)
{
    if ((object->flags & POSIX_OBJECT_MEMBER) == 0) {
        return false;
    }
    bc_posix_member_leave(posix, object);
    object->flags |= POSIX_OBJECT_TELLING; /* holds it */
    bc_groups_begin_drop(&posix->groups, bc_posix_member(object));
    return true;
}

void bc_posix_group_drop_all(struct posix *posix, struct posix_object *object)
{
    struct bc_group_member *member = bc_posix_member(object);

    bc_posix_group_drop(&posix->base, member->drop.name, member->drop.time);
    bc_groups_lend(&posix->groups, member);
}

void bc_posix_group_drop(struct bc_backend *backend, uint64_t name, uint64_t time)
{
    struct posix *posix = bc_posix_of(backend);
    struct bc_group_member *member;

    bc_groups_note(&posix->groups, name, time);
    while ((member = bc_groups_find(&posix->groups, name, time)) != NULL) {
        bc_counter_add(&posix->counters.group_evictions, 1);
        bc_posix_doom(posix, object_of(member));
    }
}

void bc_posix_group_told(struct bc_backend *backend, struct bc_group_drop *drop)
{
    struct posix *posix = bc_posix_of(backend);
    struct posix_object *object = object_of(bc_groups_take_back(&posix->groups, drop));

    object->flags &= (uint16_t)~POSIX_OBJECT_TELLING;
    bc_posix_object_check(posix, object);
}

bool bc_posix_group_is_dropped(const struct posix *posix, struct posix_object *object)
{
    return (object->flags & POSIX_OBJECT_GROUPED) != 0 &&
           bc_groups_is_dropped(&posix->groups, bc_posix_member(object));
}

/* ---- at the start ---- */

int bc_posix_group_lost(struct posix *posix, uint64_t name)
{
    struct bc_group_member member = {.node = {.hash = {.low = name}}};
    struct posix_object *object;

    if (bc_groups_is_dropped(&posix->groups, &member)) {
        return 0; /* another one of the group was lost before */
    }
    object = bc_posix_object_alloc(posix, true);
    if (object == NULL) {
        return -ENOMEM;
    }
    object->flags |= POSIX_OBJECT_TELLING | POSIX_OBJECT_GONE;
    *bc_posix_member(object) = member;
    bc_groups_begin_drop(&posix->groups, bc_posix_member(object));
    bc_list_push_back(&posix->lost, &object->lru_node);
    return 0;
}

static void run_lost(struct bc_task *task)
{
    struct posix *posix = BC_CONTAINER_OF(task, struct posix, lost_task);
    struct bc_list_node *node;

    while ((node = bc_list_pop_front(&posix->lost)) != NULL) {
        bc_posix_group_drop_all(posix, BC_CONTAINER_OF(node, struct posix_object, lru_node));
    }
}

void bc_posix_lost_start(struct posix *posix)
{
    posix->lost_task.run = run_lost;
    if (!bc_list_empty(&posix->lost)) {
        bc_loop_defer(posix->loop, &posix->lost_task);
    }
}

void bc_posix_lost_stop(struct posix *posix)
{
    struct bc_list_node *node;

    if (bc_list_empty(&posix->lost)) {
        return;
    }
    bc_loop_undefer(posix->loop, &posix->lost_task);
    while ((node = bc_list_pop_front(&posix->lost)) != NULL) {
        bc_posix_object_free(posix, BC_CONTAINER_OF(node, struct posix_object, lru_node));
    }
}
