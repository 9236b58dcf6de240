/* SPDX-License-Identifier: Apache-2.0 */
/* posix_slot.c - the open descriptors of readers. The ones nobody uses stay open for the next
 * reader, up to a limit, oldest closed first.
 *
 *   FREE -> OPENING -> OPEN (users, or idle) -> CLOSING -> FREE
 *
 * An object has at most one descriptor that is shared (object->slot); one that was opened beside it
 * is closed after its only use. Thread: the owner of the loop. Memory: one table made at create. */
#include "backend/posix.h"

#include <errno.h>

static uint32_t index_of(const struct posix_slot *slot)
{
    return (uint32_t)(slot - slot->posix->slots);
}

static void slot_free(struct posix_slot *slot)
{
    struct posix *posix = slot->posix;
    struct posix_object *object = slot->object;

    slot->state = POSIX_SLOT_FREE;
    slot->object = NULL;
    slot->fd = -1;
    bc_list_push_front(&posix->slots_free, &slot->node);
    object->slots--;
    bc_posix_object_check(posix, object);
}

static void close_done(struct bc_file_req *req, int64_t result)
{
    struct posix_slot *slot = BC_CONTAINER_OF(req, struct posix_slot, req);
    struct posix *posix = slot->posix;

    (void)result; /* nothing was written through it */
    slot_free(slot);
    bc_posix_run_slot_waiters(posix);
    bc_posix_check_stop(posix);
}

static void slot_close(struct posix_slot *slot)
{
    BC_ASSERT(slot->state == POSIX_SLOT_OPEN && slot->users == 0);
    if (slot->object->slot == index_of(slot)) {
        slot->object->slot = BC_POSIX_NO_SLOT;
    }
    slot->state = POSIX_SLOT_CLOSING;
    slot->req.kind = BC_FILE_CLOSE;
    slot->req.fd = slot->fd;
    slot->req.done = close_done;
    bc_file_submit(slot->posix->files, &slot->req);
}

/* Closes idle ones, oldest first, until at most `most` are left. */
static void trim_idle(struct posix *posix, size_t most)
{
    while (posix->slots_idle.count > most) {
        struct bc_list_node *node = bc_list_pop_front(&posix->slots_idle);

        slot_close(BC_CONTAINER_OF(node, struct posix_slot, node));
    }
}

void bc_posix_slots_close_idle(struct posix *posix)
{
    trim_idle(posix, 0);
}

static struct posix_slot *take_free(struct posix *posix, struct posix_object *object)
{
    struct bc_list_node *node = bc_list_pop_front(&posix->slots_free);
    struct posix_slot *slot;

    if (node == NULL) {
        return NULL;
    }
    slot = BC_CONTAINER_OF(node, struct posix_slot, node);
    slot->object = object;
    object->slots++;
    if (object->slot == BC_POSIX_NO_SLOT) {
        object->slot = index_of(slot);
    }
    return slot;
}

struct posix_slot *bc_posix_slot_take(struct posix *posix, struct posix_object *object)
{
    struct posix_slot *slot = take_free(posix, object);

    if (slot != NULL) {
        slot->state = POSIX_SLOT_OPENING;
    } else if (!bc_list_empty(&posix->slots_idle)) {
        trim_idle(posix, posix->slots_idle.count - 1);
    }
    return slot;
}

void bc_posix_slot_opened(struct posix_slot *slot, int fd)
{
    BC_ASSERT(slot->state == POSIX_SLOT_OPENING);
    slot->state = POSIX_SLOT_OPEN;
    slot->fd = fd;
    slot->users = 1;
}

void bc_posix_slot_failed(struct posix_slot *slot)
{
    BC_ASSERT(slot->state == POSIX_SLOT_OPENING);
    if (slot->object->slot == index_of(slot)) {
        slot->object->slot = BC_POSIX_NO_SLOT;
    }
    slot_free(slot);
}

bool bc_posix_slot_adopt(struct posix *posix, struct posix_object *object, int fd)
{
    struct posix_slot *slot;

    /* A reader that waited for the name may be opening it: a second descriptor would stay in idle
     * with nobody to find it, and hold the object when it is removed. */
    if (posix->slots_idle_max == 0 || object->slot != BC_POSIX_NO_SLOT) {
        return false;
    }
    slot = take_free(posix, object);
    if (slot == NULL) {
        return false;
    }
    slot->state = POSIX_SLOT_OPEN;
    slot->fd = fd;
    slot->users = 0;
    bc_list_push_back(&posix->slots_idle, &slot->node);
    trim_idle(posix, posix->slots_idle_max);
    return true;
}

void bc_posix_slot_use(struct posix_slot *slot)
{
    BC_ASSERT(slot->state == POSIX_SLOT_OPEN);
    if (slot->users++ == 0) {
        bc_list_remove(&slot->posix->slots_idle, &slot->node);
    }
}

void bc_posix_slot_unuse(struct posix_slot *slot)
{
    struct posix *posix = slot->posix;
    bool shared = slot->object->slot == index_of(slot);

    BC_ASSERT(slot->state == POSIX_SLOT_OPEN && slot->users > 0);
    if (--slot->users > 0) {
        return;
    }
    if (shared && posix->slots_idle_max > 0) {
        bc_list_push_back(&posix->slots_idle, &slot->node);
        trim_idle(posix, posix->slots_idle_max);
    } else {
        slot_close(slot);
    }
}

void bc_posix_slot_forget(struct posix *posix, struct posix_object *object)
{
    struct posix_slot *slot;

    if (object->slot == BC_POSIX_NO_SLOT) {
        return;
    }
    slot = &posix->slots[object->slot];
    object->slot = BC_POSIX_NO_SLOT;
    if (slot->state == POSIX_SLOT_OPEN && slot->users == 0) {
        bc_list_remove(&posix->slots_idle, &slot->node);
        slot_close(slot);
    }
}
