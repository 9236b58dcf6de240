/* SPDX-License-Identifier: Apache-2.0 */
/* comch_client.c - the client. It looks for its server at start; what comes of it is known later, in
 * a progress call. */
#include "comch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct doca_comch_client {
    struct emu_comch comch; /* first */
    bool leaving;           /* nobody is there, or we have left: the next progress call ends it */
};

static struct doca_comch_client *client_of(struct emu_comch *comch)
{
    return (struct doca_comch_client *)comch;
}

/* --- the connection ---------------------------------------------------------------------------- */

/* The client does not know which function of the DPU its server runs on: any that represents ours. */
static doca_error_t find_server(const struct doca_comch_client *client, int *fd_out)
{
    const struct doca_devinfo *info = &client->comch.dev->info;
    struct emu_place place = {.world = info->world->id,
                              .host = emu_devinfo_function(info)->pci,
                              .name = client->comch.name};
    for (uint32_t i = 0; i < info->world->num_functions; i++) {
        const struct emu_function *function = &info->world->functions[i];
        if (function->dpu && (function->represents >> info->index & 1) != 0) {
            place.dpu = function->pci;
            if (emu_place_connect(&place, fd_out) == DOCA_SUCCESS) {
                return DOCA_SUCCESS;
            }
        }
    }
    return DOCA_ERROR_NOT_FOUND;
}

static bool say_hello(const struct doca_comch_client *client, int fd)
{
    const struct doca_devinfo *info = &client->comch.dev->info;
    struct emu_comch_hello hello;
    memset(&hello, 0, sizeof(hello));
    hello.magic = EMU_COMCH_HELLO_MAGIC;
    hello.world = info->world->id;
    hello.host = emu_devinfo_function(info)->pci;
    hello.max_msg = client->comch.max_msg;
    hello.recv_queue = client->comch.recv_queue;
    memcpy(hello.name, client->comch.name, sizeof(hello.name));
    return send(fd, &hello, sizeof(hello), MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(hello);
}

/* Length of the reply, or -1 with errno; memfd_out: what came with it, or -1. */
static ssize_t receive_reply(int fd, struct emu_comch_reply *reply, int *memfd_out)
{
    union {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = reply, .iov_len = sizeof(*reply)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    *memfd_out = -1;
    ssize_t len = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    const struct cmsghdr *header = len < 0 ? NULL : CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(sizeof(int))) {
        memcpy(memfd_out, CMSG_DATA(header), sizeof(*memfd_out));
    }
    return len;
}

static doca_error_t accept_reply(struct doca_comch_connection *conn, ssize_t len,
                                 const struct emu_comch_reply *reply, int memfd)
{
    const struct emu_comch *comch = conn->owner;
    const struct emu_link_shape *shape = &reply->shape;
    if (len != (ssize_t)sizeof(*reply) || reply->magic != EMU_COMCH_REPLY_MAGIC) {
        return DOCA_ERROR_CONNECTION_RESET;
    }
    if (reply->status != DOCA_SUCCESS) {
        return reply->status <= DOCA_ERROR_SKIPPED ? (doca_error_t)reply->status
                                                   : DOCA_ERROR_UNKNOWN;
    }
    if (memfd < 0 || shape->max_msg == 0 || shape->max_msg > comch->max_msg ||
        shape->client_slots != comch->recv_queue || shape->server_slots == 0 ||
        shape->server_slots > 1u << 16) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return emu_link_join(&conn->link, conn->fd, shape, memfd);
}

static bool client_shake(struct doca_comch_connection *conn)
{
    struct doca_comch_client *client = client_of(conn->owner);
    struct emu_comch_reply reply;
    int memfd = -1;
    ssize_t len = receive_reply(conn->fd, &reply, &memfd);
    if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    doca_error_t result = accept_reply(conn, len, &reply, memfd);
    if (memfd >= 0) {
        close(memfd);
    }
    if (result == DOCA_SUCCESS) {
        emu_comch_open(conn);
        emu_ctx_set_state(&client->comch.ctx, DOCA_CTX_STATE_RUNNING);
        return true;
    }
    emu_log(DOCA_LOG_LEVEL_WARNING, "comch: the server %s did not accept us: %s",
            client->comch.name, doca_error_get_name(result));
    emu_comch_remove(conn, result);
    client->leaving = true;
    return false;
}

static void client_greet(struct emu_comch *comch)
{
    (void)comch;
}

static void client_finish(struct doca_comch_connection *conn)
{
    emu_ctx_begin_stop(&conn->owner->ctx);
}

static const struct emu_comch_role client_role = {
    .shake = client_shake,
    .greet = client_greet,
    .finish = client_finish,
};

/* --- operations of the context ----------------------------------------------------------------- */

static doca_error_t client_start(struct doca_ctx *ctx)
{
    struct doca_comch_client *client = client_of(emu_comch_of(ctx));
    int fd = -1;
    doca_error_t result = emu_comch_start(&client->comch);
    if (result != DOCA_SUCCESS) {
        return result;
    }
    client->leaving = find_server(client, &fd) != DOCA_SUCCESS;
    if (!client->leaving && (!say_hello(client, fd) || emu_comch_add(&client->comch, fd) == NULL)) {
        client->leaving = true;
        close(fd);
    }
    return DOCA_ERROR_IN_PROGRESS;
}

static void client_stop(struct doca_ctx *ctx)
{
    struct doca_comch_client *client = client_of(emu_comch_of(ctx));
    if (client->comch.conns != NULL) {
        emu_comch_remove(client->comch.conns, DOCA_ERROR_CONNECTION_RESET);
    }
    client->leaving = true;
}

static bool client_can_idle(const struct doca_ctx *ctx)
{
    return !client_of(emu_comch_of(ctx))->leaving;
}

static bool client_progress(struct doca_ctx *ctx)
{
    struct doca_comch_client *client = client_of(emu_comch_of(ctx));
    if (client->leaving) {
        client->leaving = false;
        if (ctx->state == DOCA_CTX_STATE_STARTING) {
            emu_ctx_set_state(ctx, DOCA_CTX_STATE_IDLE);
        }
        return true;
    }
    return emu_comch_progress(ctx);
}

static bool client_pending(const struct doca_ctx *ctx)
{
    const struct emu_comch *comch = emu_comch_of(ctx);
    return (comch->events && ((const struct doca_comch_client *)comch)->leaving) ||
           emu_comch_pending(ctx);
}

static const struct emu_ctx_ops client_ops = {
    .start = client_start,
    .submit = emu_comch_submit,
    .valid = emu_comch_task_valid,
    .complete = emu_comch_complete,
    .free_task = emu_comch_free_task,
    .admit = emu_comch_admit,
    .stop = client_stop,
    .can_idle = client_can_idle,
    .progress = client_progress,
    .pending = client_pending,
    .arm = emu_comch_arm,
};

/* --- the public functions --------------------------------------------------------------------- */

doca_error_t doca_comch_client_create(struct doca_dev *dev, const char *name,
                                      struct doca_comch_client **comch_client)
{
    if (dev == NULL || name == NULL || comch_client == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (emu_dev_function(dev)->dpu) {
        return DOCA_ERROR_INITIALIZATION;
    }
    struct doca_comch_client *fresh = calloc(1, sizeof(*fresh));
    if (fresh == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    doca_error_t result = emu_comch_init(&fresh->comch, &client_role, &client_ops, dev, name);
    if (result != DOCA_SUCCESS) {
        free(fresh);
        return result;
    }
    *comch_client = fresh;
    return DOCA_SUCCESS;
}

doca_error_t doca_comch_client_destroy(struct doca_comch_client *comch_client)
{
    if (comch_client == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    doca_error_t result = emu_comch_fini(&comch_client->comch);
    if (result == DOCA_SUCCESS) {
        free(comch_client);
    }
    return result;
}

struct doca_ctx *doca_comch_client_as_ctx(struct doca_comch_client *comch_client)
{
    return comch_client == NULL ? NULL : &comch_client->comch.ctx;
}

doca_error_t doca_comch_client_set_max_msg_size(struct doca_comch_client *comch_client,
                                                uint32_t size)
{
    if (comch_client == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return emu_comch_set_u32(&comch_client->comch, &comch_client->comch.max_msg, size,
                             emu_comch_cap_msg_size());
}

doca_error_t doca_comch_client_get_max_msg_size(const struct doca_comch_client *comch_client,
                                                uint32_t *size)
{
    if (comch_client == NULL || size == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *size = comch_client->comch.max_msg;
    return DOCA_SUCCESS;
}

doca_error_t doca_comch_client_set_recv_queue_size(struct doca_comch_client *comch_client,
                                                   uint32_t size)
{
    if (comch_client == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return emu_comch_set_u32(&comch_client->comch, &comch_client->comch.recv_queue, size,
                             emu_comch_cap_recv_queue());
}

doca_error_t doca_comch_client_get_recv_queue_size(const struct doca_comch_client *comch_client,
                                                   uint32_t *size)
{
    if (comch_client == NULL || size == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *size = comch_client->comch.recv_queue;
    return DOCA_SUCCESS;
}

doca_error_t doca_comch_client_get_device(const struct doca_comch_client *comch_client,
                                          struct doca_dev **dev)
{
    if (comch_client == NULL || dev == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *dev = comch_client->comch.dev;
    return DOCA_SUCCESS;
}

doca_error_t doca_comch_client_get_connection(const struct doca_comch_client *comch_client,
                                              struct doca_comch_connection **connection)
{
    if (comch_client == NULL || connection == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (comch_client->comch.ctx.state != DOCA_CTX_STATE_RUNNING) {
        return DOCA_ERROR_BAD_STATE;
    }
    *connection = comch_client->comch.conns;
    return DOCA_SUCCESS;
}

doca_error_t doca_comch_client_task_send_set_conf(
    struct doca_comch_client *comch_client, doca_comch_task_send_completion_cb_t task_completion_cb,
    doca_comch_task_send_completion_cb_t task_error_cb, uint32_t num_send_tasks)
{
    return emu_comch_set_tasks(comch_client == NULL ? NULL : &comch_client->comch,
                               task_completion_cb, task_error_cb, num_send_tasks);
}

doca_error_t doca_comch_client_task_send_alloc_init(struct doca_comch_client *comch_client,
                                                    struct doca_comch_connection *peer,
                                                    const void *msg, uint32_t len,
                                                    struct doca_comch_task_send **task)
{
    return emu_comch_alloc(comch_client == NULL ? NULL : &comch_client->comch, peer, msg, len,
                           task);
}

doca_error_t doca_comch_client_event_msg_recv_register(struct doca_comch_client *comch_client,
                                                       doca_comch_event_msg_recv_cb_t recv_event_cb)
{
    return emu_comch_set_recv(comch_client == NULL ? NULL : &comch_client->comch, recv_event_cb);
}

doca_error_t doca_comch_client_event_consumer_register(
    struct doca_comch_client *comch_client, doca_comch_event_consumer_cb_t new_consumer_event_cb,
    doca_comch_event_consumer_cb_t expired_consumer_event_cb)
{
    return emu_comch_set_consumer(comch_client == NULL ? NULL : &comch_client->comch,
                                  new_consumer_event_cb, expired_consumer_event_cb);
}

struct doca_comch_client *doca_comch_client_get_client_ctx(
    const struct doca_comch_connection *connection)
{
    if (connection == NULL || connection->owner->role != &client_role) {
        return NULL;
    }
    return client_of(connection->owner);
}
