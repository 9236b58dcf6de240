/* SPDX-License-Identifier: Apache-2.0 */
/* posix_batch.c - query, remove, iterate and flush of `posix`.
 *
 * A remove is answered once the files are gone, so that a crash cannot bring them back; a put that
 * was being published meanwhile is waited for. Thread: the owner of the loop, but for the thread
 * that flushes: it touches only the root's descriptor and flush.result. */
#include "backend/posix.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* ---- query ---- */

static struct bc_object_result result_of(const struct posix_object *object)
{
    if (object == NULL) {
        return (struct bc_object_result){.result = -ENOENT};
    }
    return (struct bc_object_result){.result = 0, .size = object->size, .version = object->version};
}

void bc_posix_query(struct bc_backend *backend, struct bc_batch_op *op)
{
    struct posix *posix = bc_posix_of(backend);

    for (uint32_t i = 0; i < op->count; i++) {
        op->results[i] = result_of(bc_posix_find(posix, op->keys[i].hash));
    }
    bc_later_batch(posix->loop, op, 0);
}

/* ---- remove ---- */

BC_STATIC_ASSERT(sizeof(struct posix_removal) <= 6 * sizeof(void *), "fits a batch op");

static struct bc_batch_op *op_of(void *internal)
{
    return BC_CONTAINER_OF(internal, struct bc_batch_op, internal);
}

static void removal_unlinked(struct posix_unlink *unlink, int result)
{
    struct posix_removal *removal = unlink->done_arg;

    if (result != 0) {
        op_of(removal)->results[unlink->done_index].result = result;
    }
    removal->in_flight--;
}

/* False: it must wait for a free unlink. */
static bool remove_key(struct posix *posix, struct posix_removal *removal, uint32_t index)
{
    struct bc_batch_op *op = op_of(removal);
    struct bc_hash128 hash = op->keys[index].hash;
    struct posix_object *object = bc_posix_find(posix, hash);
    bool started;

    if (object == NULL && !bc_posix_name_busy(posix, hash)) {
        bc_posix_cancel_puts(posix, hash);
        op->results[index] = result_of(NULL);
        return true;
    }
    if (posix->unlink_pool.free_count == 0) {
        return false;
    }
    bc_posix_cancel_puts(posix, hash);
    op->results[index] = result_of(object);
    if (object != NULL) {
        object->flags |= POSIX_OBJECT_UNLINKING;
        bc_posix_index_remove(posix, object);
    }
    removal->in_flight++;
    started = bc_posix_unlink(posix, object, hash, removal_unlinked, removal, index);
    BC_ASSERT(started);
    return true;
}

static void removal_step(struct posix *posix, struct posix_removal *removal)
{
    struct bc_batch_op *op = op_of(removal);

    while (removal->next < op->count && remove_key(posix, removal, removal->next)) {
        removal->next++;
    }
    if (removal->next == op->count && removal->in_flight == 0) {
        bc_list_remove(&posix->removals, &removal->node);
        bc_later_batch(posix->loop, op, 0);
    }
}

void bc_posix_run_removals(struct posix *posix)
{
    if (posix->removing) {
        posix->removing_again = true;
        return;
    }
    posix->removing = true;
    do {
        struct bc_list_node *node = bc_list_first(&posix->removals);

        posix->removing_again = false;
        while (node != NULL) {
            struct bc_list_node *next = bc_list_next(&posix->removals, node);

            removal_step(posix, BC_CONTAINER_OF(node, struct posix_removal, node));
            node = next;
        }
    } while (posix->removing_again);
    posix->removing = false;
}

void bc_posix_remove(struct bc_backend *backend, struct bc_batch_op *op)
{
    struct posix *posix = bc_posix_of(backend);
    struct posix_removal *removal = (struct posix_removal *)(void *)op->internal;

    *removal = (struct posix_removal){.posix = posix};
    bc_list_push_back(&posix->removals, &removal->node);
    bc_posix_run_removals(posix);
}

/* ---- iterate ---- */

struct iterate_op {
    struct bc_list_node node;
    uint64_t *cursor;
    bc_iterate_fn visit;
    void *arg;
};
BC_STATIC_ASSERT(sizeof(struct iterate_op) <= 6 * sizeof(void *), "fits a batch op");

static void iterate_start_next(struct posix *posix)
{
    struct posix_iterate *iterate = &posix->iterate;
    struct bc_list_node *node = bc_list_pop_front(&iterate->waiting);
    struct iterate_op *each;

    iterate->op = NULL;
    if (node == NULL) {
        return;
    }
    each = BC_CONTAINER_OF(node, struct iterate_op, node);
    iterate->op = op_of(each);
    iterate->cursor = each->cursor;
    iterate->visit = each->visit;
    iterate->arg = each->arg;
    iterate->hash_count = 0;
    iterate->hash_next = 0;
    iterate->shown = 0;
    iterate->walked = false;
    iterate->stopped = false;
    bc_loop_defer(posix->loop, &iterate->task);
}

static bool collect(void *arg, struct bc_hashmap_node *node)
{
    struct posix_iterate *iterate = arg;

    if (iterate->hash_count < BC_ARRAY_LEN(iterate->hashes)) {
        iterate->hashes[iterate->hash_count++] = node->hash;
    }
    return true;
}

static void iterate_opened(struct posix_get *get, int result)
{
    struct posix *posix = bc_posix_of(get->base.backend);
    struct posix_iterate *iterate = &posix->iterate;

    if (result == 0) {
        const struct bc_posix_footer *footer = get->footer;
        struct bc_object_key key = {.tenant = footer->tenant,
                                    .key_len = footer->key_len,
                                    .key = footer->key,
                                    .hash = get->hash};

        iterate->shown++;
        iterate->stopped =
            !iterate->visit(iterate->arg, &key, footer->data_len, footer->object_version);
    }
    bc_posix_get_end(posix, get);
    bc_pool_put(&posix->get_pool, get);
    bc_loop_defer(posix->loop, &iterate->task);
}

static void iterate_step(struct bc_task *task)
{
    struct posix_iterate *iterate = BC_CONTAINER_OF(task, struct posix_iterate, task);
    struct posix *posix = BC_CONTAINER_OF(iterate, struct posix, iterate);
    struct bc_batch_op *op = iterate->op;

    if (iterate->hash_next == iterate->hash_count && iterate->shown < op->count &&
        !(iterate->walked && *iterate->cursor == 0)) {
        uint32_t want = (uint32_t)bc_min_u64(op->count - iterate->shown, BC_POSIX_ITERATE_BATCH);

        iterate->hash_count = 0;
        iterate->hash_next = 0;
        iterate->walked = true;
        bc_index_walk(&posix->index, iterate->cursor, want, collect, iterate);
        bc_loop_defer(posix->loop, &iterate->task);
        return;
    }
    if (iterate->hash_next < iterate->hash_count && !iterate->stopped) {
        struct posix_get *get =
            bc_posix_get_alloc(posix, iterate->hashes[iterate->hash_next++], iterate_opened);

        get->any_key = true;
        bc_posix_get_start(posix, get);
        return;
    }
    iterate_start_next(posix);
    bc_later_batch(posix->loop, op, 0);
    bc_posix_check_stop(posix);
}

void bc_posix_iterate(struct bc_backend *backend, uint64_t *cursor, uint32_t count,
                      bc_iterate_fn visit, void *arg, struct bc_batch_op *op)
{
    struct posix *posix = bc_posix_of(backend);
    struct iterate_op *each = (struct iterate_op *)(void *)op->internal;

    *each = (struct iterate_op){.cursor = cursor, .visit = visit, .arg = arg};
    op->count = count == 0 ? 1 : count;
    bc_list_push_back(&posix->iterate.waiting, &each->node);
    if (posix->iterate.op == NULL) {
        iterate_start_next(posix);
    }
}

/* ---- flush ---- */

static void *flush_thread(void *arg)
{
    struct posix *posix = arg;

    posix->flush.result = syncfs(posix->store->root_fd) == 0 ? 0 : -errno;
    bc_loop_send(posix->loop, &posix->flush.mail);
    return NULL;
}

static void flush_answer(struct posix *posix, int result)
{
    struct bc_list_node *node;

    if (result != 0) {
        bc_posix_io_error(posix, "flush", posix->store->root, result);
    }
    while ((node = bc_list_pop_front(&posix->flush.running)) != NULL) {
        bc_later_batch(posix->loop, op_of(node), result);
    }
}

static void flush_start(struct posix *posix)
{
    struct posix_flush *flush = &posix->flush;
    struct bc_list_node *node;
    sigset_t all;
    sigset_t before;
    int rc;

    while ((node = bc_list_pop_front(&flush->waiting)) != NULL) {
        bc_list_push_back(&flush->running, node);
    }
    /* Signals are the agent's business, in a thread of its choice. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&flush->thread, NULL, flush_thread, posix);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    flush->busy = rc == 0;
    if (rc != 0) {
        flush_answer(posix, -rc);
    }
}

static void flush_delivered(struct bc_mail *mail)
{
    struct posix_flush *flush = BC_CONTAINER_OF(mail, struct posix_flush, mail);
    struct posix *posix = BC_CONTAINER_OF(flush, struct posix, flush);
    int rc = pthread_join(flush->thread, NULL); /* sending was its last act */

    BC_ASSERT(rc == 0);
    flush->busy = false;
    flush_answer(posix, flush->result);
    if (!bc_list_empty(&flush->waiting)) {
        flush_start(posix);
    }
    bc_posix_check_stop(posix);
}

void bc_posix_flush(struct bc_backend *backend, struct bc_batch_op *op)
{
    struct posix *posix = bc_posix_of(backend);
    struct bc_list_node *node = (struct bc_list_node *)(void *)op->internal;

    *node = (struct bc_list_node){.next = NULL};
    bc_list_push_back(&posix->flush.waiting, node);
    if (!posix->flush.busy) {
        flush_start(posix);
    }
}

void bc_posix_batch_init(struct posix *posix)
{
    bc_list_init(&posix->removals);
    bc_list_init(&posix->iterate.waiting);
    bc_list_init(&posix->flush.waiting);
    bc_list_init(&posix->flush.running);
    posix->iterate.task.run = iterate_step;
    posix->flush.mail.deliver = flush_delivered;
}
