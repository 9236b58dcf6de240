/* SPDX-License-Identifier: Apache-2.0 */
/* posix_open.c - finds an object, opens its file, reads its footer.
 *
 *   shared descriptor there ----------------------------.
 *   claim the name -> (wait for a slot) -> open --------+-> (read the footer) -> opened
 *
 * The footer is read now when something in it is asked for now: metadata, or the key of an object
 * that is iterated over; and for large objects. The footer of others comes with their first chunk.
 * Thread: the owner of the loop. Memory: handles, footers, tables and slots from pools. */
#include "backend/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static struct posix *posix_of(struct posix_get *get)
{
    return bc_posix_of(get->base.backend);
}

/* ---- footer ---- */

static bool same_key(const struct posix_get *get)
{
    return get->any_key ||
           (get->footer->tenant == get->tenant && get->footer->key_len == get->key_len &&
            memcmp(get->footer->key, get->key, get->key_len) == 0);
}

void bc_posix_footer_arrived(struct posix *posix, struct posix_get *get, int64_t result,
                             uint64_t want)
{
    struct posix_object *object = get->object;
    const struct bc_posix_footer *footer = get->footer;
    int error = 0;

    if (result < 0) {
        error = (int)result;
    } else if ((uint64_t)result < want ||
               !bc_posix_footer_valid(footer, posix->store->uuid, get->hash,
                                      bc_posix_object_bytes(object)) ||
               footer->data_len != object->size || footer->object_version != object->version ||
               (footer->table_len > 0 && !bc_posix_table_valid(footer, get->table))) {
        error = -EBADMSG;
    } else if (!same_key(get)) {
        error = -ENOENT; /* another key of the same hash has this file name: a miss */
    }
    get->footer_state = error == 0 ? POSIX_FOOTER_GOOD : POSIX_FOOTER_FAILED;
    get->footer_error = error;
    if (error == -EBADMSG) {
        bc_posix_drop(posix, object, error, "the footer is damaged or of another object");
    } else if (bc_posix_error_is_lasting(error)) {
        bc_posix_drop(posix, object, error, "cannot read the footer");
    } else if (error != 0 && error != -ENOENT) {
        bc_posix_io_error(posix, "read", get->path, error);
    }
}

static void footer_done(struct bc_file_req *req, int64_t result)
{
    struct posix_get *get = BC_CONTAINER_OF(req, struct posix_get, req);
    struct posix *posix = posix_of(get);

    bc_posix_footer_arrived(posix, get, result,
                            bc_posix_table_len(get->object->size) + BC_POSIX_BLOCK);
    if (get->need_footer) {
        get->need_footer = false;
        get->opened(get, get->footer_error);
    } else {
        bc_posix_run_parked(posix, get);
    }
}

void bc_posix_footer_read(struct posix *posix, struct posix_get *get)
{
    struct bc_file_req *req = &get->req;
    uint32_t table_len = bc_posix_table_len(get->object->size);

    get->footer_state = POSIX_FOOTER_READING;
    req->kind = BC_FILE_READ;
    req->fd = get->slot->fd;
    req->offset = bc_posix_padded(get->object->size);
    req->iov_count = 0;
    if (table_len > 0) {
        req->iov[req->iov_count++] = (struct iovec){.iov_base = get->table, .iov_len = table_len};
    }
    req->iov[req->iov_count++] = (struct iovec){.iov_base = get->footer, .iov_len = BC_POSIX_BLOCK};
    req->done = footer_done;
    bc_file_submit(posix->files, req);
}

/* ---- after the descriptor is there ---- */

static bool take_table(struct posix *posix, struct posix_get *get)
{
    if (bc_posix_table_len(get->object->size) == 0) {
        return true;
    }
    get->table = bc_posix_table_take(posix);
    return get->table != NULL;
}

static void after_open(struct posix *posix, struct posix_get *get)
{
    const struct posix_object *object = get->object;

    get->need_footer = get->any_key || (object->flags & POSIX_OBJECT_META) != 0 ||
                       object->size == 0 || object->size > posix->chunk_len_max;
    if (!get->need_footer) {
        get->opened(get, 0);
    } else if (take_table(posix, get)) {
        bc_posix_footer_read(posix, get);
    } else {
        bc_list_push_back(&posix->table_waiters, &get->node);
    }
}

void bc_posix_run_table_waiters(struct posix *posix)
{
    while (!bc_list_empty(&posix->table_waiters) && posix->free_table_count > 0) {
        struct posix_get *get =
            BC_CONTAINER_OF(bc_list_pop_front(&posix->table_waiters), struct posix_get, node);
        bool taken = take_table(posix, get);

        BC_ASSERT(taken);
        bc_posix_footer_read(posix, get);
    }
}

/* ---- the descriptor ---- */

static void open_failed(struct posix *posix, struct posix_get *get, int error)
{
    bc_posix_slot_failed(get->slot);
    get->slot = NULL;
    if (error == -ENOENT || bc_posix_error_is_lasting(error)) {
        bc_posix_drop(posix, get->object, error, "cannot open the file");
    } else {
        bc_posix_io_error(posix, "open", get->path, error);
    }
    get->opened(get, error);
}

static void open_done(struct bc_file_req *req, int64_t result)
{
    struct posix_get *get = BC_CONTAINER_OF(req, struct posix_get, req);
    struct posix *posix = posix_of(get);

    if (result >= 0) {
        bc_posix_slot_opened(get->slot, (int)result);
    }
    bc_posix_unclaim(posix, &get->claim);
    if (result >= 0) {
        after_open(posix, get);
    } else {
        open_failed(posix, get, (int)result);
    }
}

/* With a claim on the name: opens what the index says, or waits for a slot. */
static bool open_file(struct posix *posix, struct posix_get *get)
{
    get->slot = bc_posix_slot_take(posix, get->object);
    if (get->slot == NULL) {
        return false;
    }
    bc_posix_path(get->hash, get->path);
    get->req.kind = BC_FILE_OPEN;
    get->req.dir_fd = posix->store->root_fd;
    get->req.path = get->path;
    get->req.flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | (posix->store->direct ? O_DIRECT : 0);
    get->req.mode = 0;
    get->req.done = open_done;
    bc_file_submit(posix->files, &get->req);
    return true;
}

void bc_posix_run_slot_waiters(struct posix *posix)
{
    while (!bc_list_empty(&posix->slot_waiters) && !bc_list_empty(&posix->slots_free)) {
        struct posix_get *get =
            BC_CONTAINER_OF(bc_list_pop_front(&posix->slot_waiters), struct posix_get, node);
        bool opening = open_file(posix, get);

        BC_ASSERT(opening);
    }
}

static bool use_shared(struct posix *posix, struct posix_get *get)
{
    struct posix_object *object = get->object;

    if (object->slot == BC_POSIX_NO_SLOT || posix->slots[object->slot].state != POSIX_SLOT_OPEN) {
        return false;
    }
    get->slot = &posix->slots[object->slot];
    bc_posix_slot_use(get->slot);
    return true;
}

static void open_granted(struct posix_claim *claim)
{
    struct posix_get *get = BC_CONTAINER_OF(claim, struct posix_get, claim);
    struct posix *posix = posix_of(get);

    get->object = bc_posix_find(posix, get->hash);
    if (get->object == NULL) {
        bc_posix_unclaim(posix, claim);
        get->opened(get, -ENOENT);
        return;
    }
    bc_posix_pin(posix, get->object);
    if (use_shared(posix, get)) {
        bc_posix_unclaim(posix, claim);
        after_open(posix, get);
    } else if (!open_file(posix, get)) {
        bc_list_push_back(&posix->slot_waiters, &get->node);
    }
}

void bc_posix_get_start(struct posix *posix, struct posix_get *get)
{
    get->footer_state = POSIX_FOOTER_NONE;
    bc_list_init(&get->parked);
    get->object = bc_posix_find(posix, get->hash);
    if (get->object == NULL) {
        get->opened(get, -ENOENT);
        return;
    }
    if (use_shared(posix, get)) {
        bc_posix_pin(posix, get->object);
        after_open(posix, get);
        return;
    }
    get->object = NULL; /* found again when the claim is granted */
    bc_posix_claim(posix, &get->claim, get->hash, false, open_granted);
}

void bc_posix_get_end(struct posix *posix, struct posix_get *get)
{
    if (get->slot != NULL) {
        bc_posix_slot_unuse(get->slot);
        get->slot = NULL;
    }
    if (get->object != NULL) {
        bc_posix_unpin(posix, get->object);
        get->object = NULL;
    }
    bc_posix_table_give(posix, get->table);
    get->table = NULL;
}
