/* SPDX-License-Identifier: Apache-2.0 */
/* group_post.c - see group_post.h. */
#include "session/group_post.h"

#include "session/worker.h"

static struct bc_worker *holder(const struct bc_group_post *post)
{
    return post->worker->peers[post->at];
}

static void send_on(struct bc_group_post *post)
{
    post->at = (post->at + 1) % post->worker->worker_count;
    bc_loop_send(holder(post)->loop, &post->mail);
}

static void send_waiting(struct bc_group_post *post)
{
    struct bc_group_drop *last = post->waiting;
    for (uint32_t count = 1; count < BC_GROUP_POST_MAX && last->next != NULL; count++) {
        last = last->next;
    }
    post->carried = post->waiting;
    post->waiting = last->next;
    last->next = NULL;
    if (post->waiting == NULL) {
        post->waiting_end = &post->waiting;
    }
    __atomic_store_n(&post->out, true, __ATOMIC_RELAXED);
    send_on(post);
}

static void come_home(struct bc_group_post *post)
{
    struct bc_backend *backend = post->worker->backend;
    struct bc_group_drop *next;
    for (struct bc_group_drop *drop = post->carried; drop != NULL; drop = next) {
        next = drop->next;
        backend->ops->group_told(backend, drop);
    }
    post->carried = NULL;
    if (post->waiting != NULL) {
        send_waiting(post);
    } else {
        __atomic_store_n(&post->out, false, __ATOMIC_RELAXED);
    }
}

static void arrive(struct bc_mail *mail)
{
    struct bc_group_post *post = BC_CONTAINER_OF(mail, struct bc_group_post, mail);
    struct bc_worker *worker = holder(post);
    if (worker == post->worker) {
        come_home(post);
        return;
    }
    for (const struct bc_group_drop *drop = post->carried; drop != NULL; drop = drop->next) {
        worker->backend->ops->group_drop(worker->backend, drop->name, drop->time);
    }
    send_on(post);
}

static void dropped(void *arg, struct bc_group_drop *drop)
{
    struct bc_group_post *post = arg;
    struct bc_backend *backend = post->worker->backend;
    if (post->worker->worker_count == 1) {
        backend->ops->group_told(backend, drop);
        return;
    }
    drop->next = NULL;
    *post->waiting_end = drop;
    post->waiting_end = &drop->next;
    if (!post->out) {
        send_waiting(post);
    }
}

void bc_group_post_init(struct bc_group_post *post, struct bc_worker *worker)
{
    *post =
        (struct bc_group_post){.worker = worker, .at = worker->index, .mail = {.deliver = arrive}};
    post->waiting_end = &post->waiting;
    worker->backend->group_dropped = dropped;
    worker->backend->group_arg = post;
}

bool bc_group_post_is_quiet(const struct bc_group_post *post)
{
    return !__atomic_load_n(&post->out, __ATOMIC_RELAXED); /* what waits has a mail to wait for */
}
