/* SPDX-License-Identifier: Apache-2.0 */
/* comch_server.c - the server: who may connect, and when connections begin and end. */
#include "comch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HELLOS_MAX 64 /* connections that have not said who they are */

struct doca_comch_server {
    struct emu_comch comch; /* first */
    struct doca_dev_rep *rep;
    doca_comch_event_connection_status_changed_cb_t connect_cb;
    doca_comch_event_connection_status_changed_cb_t disconnect_cb;
    int listen_fd; /* -1: nobody can connect */
    uint32_t num_hellos;
};

static struct doca_comch_server *server_of(struct emu_comch *comch)
{
    return (struct doca_comch_server *)comch;
}

static struct emu_place place_of(const struct doca_comch_server *server)
{
    const struct emu_world *world = server->comch.dev->info.world;
    return (struct emu_place){
        .world = world->id,
        .dpu = emu_dev_function(server->comch.dev)->pci,
        .host = server->rep->info.world->functions[server->rep->info.index].pci,
        .name = server->comch.name,
    };
}

/* --- connections ------------------------------------------------------------------------------- */

static void server_greet(struct emu_comch *comch)
{
    struct doca_comch_server *server = server_of(comch);
    while (server->listen_fd >= 0 && server->num_hellos < HELLOS_MAX) {
        int fd = accept4(server->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            return;
        }
        if (emu_comch_add(comch, fd) == NULL) {
            close(fd);
            return;
        }
        server->num_hellos++;
    }
}

static doca_error_t check_hello(const struct doca_comch_server *server,
                                const struct emu_comch_hello *hello)
{
    const struct emu_place place = place_of(server);
    uint32_t open = server->comch.num_conns - server->num_hellos;
    if (hello->magic != EMU_COMCH_HELLO_MAGIC) {
        return DOCA_ERROR_UNSUPPORTED_VERSION;
    }
    if (hello->world != place.world || !emu_pci_equal(&hello->host, &place.host) ||
        strncmp(hello->name, place.name, sizeof(hello->name)) != 0 || hello->max_msg == 0 ||
        hello->recv_queue == 0 || hello->max_msg > 1u << 20 || hello->recv_queue > 1u << 16) {
        return DOCA_ERROR_NOT_PERMITTED;
    }
    return open >= emu_comch_cap_clients() ? DOCA_ERROR_FULL : DOCA_SUCCESS;
}

static bool send_reply(int fd, const struct emu_comch_reply *reply, int memfd)
{
    union {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {.iov_base = (void *)(uintptr_t)reply, .iov_len = sizeof(*reply)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (memfd >= 0) {
        memset(&control, 0, sizeof(control));
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &memfd, sizeof(memfd));
    }
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(*reply);
}

/* SUCCESS: the link is set up and the client knows. */
static doca_error_t answer(struct doca_comch_connection *conn, const struct emu_comch_hello *hello)
{
    const struct emu_comch *comch = conn->owner;
    struct emu_comch_reply reply = {.magic = EMU_COMCH_REPLY_MAGIC};
    int memfd = -1;
    reply.shape = (struct emu_link_shape){
        .max_msg = hello->max_msg < comch->max_msg ? hello->max_msg : comch->max_msg,
        .server_slots = comch->recv_queue,
        .client_slots = hello->recv_queue,
    };
    doca_error_t result = check_hello(server_of(conn->owner), hello);
    if (result == DOCA_SUCCESS) {
        result = emu_link_make(&conn->link, conn->fd, &reply.shape, &memfd);
    }
    reply.status = result;
    if (!send_reply(conn->fd, &reply, memfd) && result == DOCA_SUCCESS) {
        result = DOCA_ERROR_CONNECTION_ABORTED;
    }
    if (memfd >= 0) {
        close(memfd);
    }
    return result;
}

/* A client that is none of ours is turned away in silence; one that is, and cannot be served, is
 * reported. */
static bool server_shake(struct doca_comch_connection *conn)
{
    struct doca_comch_server *server = server_of(conn->owner);
    struct emu_comch_hello hello;
    ssize_t len = recv(conn->fd, &hello, sizeof(hello), MSG_DONTWAIT);
    if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    doca_error_t result =
        len == (ssize_t)sizeof(hello) ? answer(conn, &hello) : DOCA_ERROR_UNSUPPORTED_VERSION;
    server->num_hellos--;
    if (result == DOCA_SUCCESS) {
        emu_comch_open(conn);
        server->connect_cb((struct doca_comch_event_connection_status_changed *)conn, conn, 1);
        return true;
    }
    emu_comch_remove(conn, result);
    if (result == DOCA_ERROR_UNSUPPORTED_VERSION || result == DOCA_ERROR_NOT_PERMITTED) {
        return false;
    }
    emu_log(DOCA_LOG_LEVEL_WARNING, "comch: a client of %s was not accepted: %s",
            server->comch.name, doca_error_get_name(result));
    server->connect_cb((struct doca_comch_event_connection_status_changed *)conn, conn, 0);
    return true;
}

static void server_finish(struct doca_comch_connection *conn)
{
    const struct doca_comch_server *server = server_of(conn->owner);
    emu_comch_remove(conn, DOCA_ERROR_CONNECTION_RESET);
    server->disconnect_cb((struct doca_comch_event_connection_status_changed *)conn, conn, 1);
}

static const struct emu_comch_role server_role = {
    .shake = server_shake,
    .greet = server_greet,
    .finish = server_finish,
};

/* --- operations of the context ----------------------------------------------------------------- */

static doca_error_t server_start(struct doca_ctx *ctx)
{
    struct doca_comch_server *server = server_of(emu_comch_of(ctx));
    struct emu_place place = place_of(server);
    doca_error_t result =
        server->connect_cb == NULL ? DOCA_ERROR_INITIALIZATION : emu_comch_start(&server->comch);
    if (result == DOCA_SUCCESS) {
        result = emu_place_listen(&place, &server->listen_fd);
    }
    if (result == DOCA_SUCCESS &&
        !emu_comch_watch(&server->comch, server->listen_fd, &server->comch)) {
        emu_place_leave(&place, server->listen_fd, false);
        server->listen_fd = -1;
        result = DOCA_ERROR_INITIALIZATION;
    }
    return result;
}

/* Clients that are connected stay until they leave or are disconnected. */
static void server_stop(struct doca_ctx *ctx)
{
    struct doca_comch_server *server = server_of(emu_comch_of(ctx));
    struct emu_place place = place_of(server);
    emu_comch_unwatch(&server->comch, server->listen_fd);
    emu_place_leave(&place, server->listen_fd, getpid() != server->comch.pid);
    server->listen_fd = -1;
    for (struct doca_comch_connection *conn = server->comch.conns; conn != NULL;) {
        struct doca_comch_connection *next = conn->next;
        emu_comch_fail_waiting(conn, DOCA_ERROR_IO_FAILED);
        if (conn->state == EMU_COMCH_HELLO) {
            server->num_hellos--;
            emu_comch_remove(conn, DOCA_ERROR_IO_FAILED);
        }
        conn = next;
    }
}

static bool server_can_idle(const struct doca_ctx *ctx)
{
    return emu_comch_of(ctx)->num_conns == 0;
}

static const struct emu_ctx_ops server_ops = {
    .start = server_start,
    .submit = emu_comch_submit,
    .valid = emu_comch_task_valid,
    .complete = emu_comch_complete,
    .free_task = emu_comch_free_task,
    .admit = emu_comch_admit,
    .stop = server_stop,
    .can_idle = server_can_idle,
    .progress = emu_comch_progress,
    .pending = emu_comch_pending,
    .arm = emu_comch_arm,
};

/* --- the public functions --------------------------------------------------------------------- */

doca_error_t doca_comch_server_create(struct doca_dev *dev, struct doca_dev_rep *repr,
                                      const char *name, struct doca_comch_server **comch_server)
{
    if (dev == NULL || repr == NULL || name == NULL || comch_server == NULL ||
        repr->info.dev != dev) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    struct doca_comch_server *fresh = calloc(1, sizeof(*fresh));
    if (fresh == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    doca_error_t result = emu_comch_init(&fresh->comch, &server_role, &server_ops, dev, name);
    if (result != DOCA_SUCCESS) {
        free(fresh);
        return result;
    }
    emu_dev_rep_use(repr);
    fresh->rep = repr;
    fresh->listen_fd = -1;
    *comch_server = fresh;
    return DOCA_SUCCESS;
}

doca_error_t doca_comch_server_destroy(struct doca_comch_server *comch_server)
{
    if (comch_server == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    doca_error_t result = emu_comch_fini(&comch_server->comch);
    if (result == DOCA_SUCCESS) {
        emu_dev_rep_unuse(comch_server->rep);
        free(comch_server);
    }
    return result;
}

struct doca_ctx *doca_comch_server_as_ctx(struct doca_comch_server *comch_server)
{
    return comch_server == NULL ? NULL : &comch_server->comch.ctx;
}

doca_error_t doca_comch_server_set_max_msg_size(struct doca_comch_server *comch_server,
                                                uint32_t size)
{
    if (comch_server == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return emu_comch_set_u32(&comch_server->comch, &comch_server->comch.max_msg, size,
                             emu_comch_cap_msg_size());
}

doca_error_t doca_comch_server_get_max_msg_size(const struct doca_comch_server *comch_server,
                                                uint32_t *size)
{
    if (comch_server == NULL || size == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *size = comch_server->comch.max_msg;
    return DOCA_SUCCESS;
}

doca_error_t doca_comch_server_set_recv_queue_size(struct doca_comch_server *comch_server,
                                                   uint32_t size)
{
    if (comch_server == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return emu_comch_set_u32(&comch_server->comch, &comch_server->comch.recv_queue, size,
                             emu_comch_cap_recv_queue());
}

doca_error_t doca_comch_server_get_recv_queue_size(const struct doca_comch_server *comch_server,
                                                   uint32_t *size)
{
    if (comch_server == NULL || size == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *size = comch_server->comch.recv_queue;
    return DOCA_SUCCESS;
}

doca_error_t doca_comch_server_get_device(const struct doca_comch_server *comch_server,
                                          struct doca_dev **dev)
{
    if (comch_server == NULL || dev == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *dev = comch_server->comch.dev;
    return DOCA_SUCCESS;
}

doca_error_t doca_comch_server_get_device_rep(const struct doca_comch_server *comch_server,
                                              struct doca_dev_rep **rep)
{
    if (comch_server == NULL || rep == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *rep = comch_server->rep;
    return DOCA_SUCCESS;
}

doca_error_t doca_comch_server_get_device_repr(const struct doca_comch_server *comch_server,
                                               struct doca_dev_rep **rep)
{
    return doca_comch_server_get_device_rep(comch_server, rep);
}

doca_error_t doca_comch_server_task_send_set_conf(
    struct doca_comch_server *comch_server, doca_comch_task_send_completion_cb_t task_completion_cb,
    doca_comch_task_send_completion_cb_t task_error_cb, uint32_t num_send_tasks)
{
    return emu_comch_set_tasks(comch_server == NULL ? NULL : &comch_server->comch,
                               task_completion_cb, task_error_cb, num_send_tasks);
}

doca_error_t doca_comch_server_task_send_alloc_init(struct doca_comch_server *comch_server,
                                                    struct doca_comch_connection *peer,
                                                    const void *msg, uint32_t len,
                                                    struct doca_comch_task_send **task)
{
    return emu_comch_alloc(comch_server == NULL ? NULL : &comch_server->comch, peer, msg, len,
                           task);
}

doca_error_t doca_comch_server_event_msg_recv_register(struct doca_comch_server *comch_server,
                                                       doca_comch_event_msg_recv_cb_t recv_event_cb)
{
    return emu_comch_set_recv(comch_server == NULL ? NULL : &comch_server->comch, recv_event_cb);
}

doca_error_t doca_comch_server_event_connection_status_changed_register(
    struct doca_comch_server *comch_server,
    doca_comch_event_connection_status_changed_cb_t connect_event_cb,
    doca_comch_event_connection_status_changed_cb_t disconnect_event_cb)
{
    if (comch_server == NULL || connect_event_cb == NULL || disconnect_event_cb == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (comch_server->comch.ctx.state != DOCA_CTX_STATE_IDLE) {
        return DOCA_ERROR_BAD_STATE;
    }
    comch_server->connect_cb = connect_event_cb;
    comch_server->disconnect_cb = disconnect_event_cb;
    return DOCA_SUCCESS;
}

doca_error_t doca_comch_server_event_connection_register(
    struct doca_comch_server *comch_server,
    doca_comch_event_connection_status_changed_cb_t connect_event_cb,
    doca_comch_event_connection_status_changed_cb_t disconnect_event_cb)
{
    return doca_comch_server_event_connection_status_changed_register(
        comch_server, connect_event_cb, disconnect_event_cb);
}

doca_error_t doca_comch_server_event_consumer_register(
    struct doca_comch_server *comch_server, doca_comch_event_consumer_cb_t new_consumer_event_cb,
    doca_comch_event_consumer_cb_t expired_consumer_event_cb)
{
    return emu_comch_set_consumer(comch_server == NULL ? NULL : &comch_server->comch,
                                  new_consumer_event_cb, expired_consumer_event_cb);
}

doca_error_t doca_comch_server_disconnect(struct doca_comch_server *comch_server,
                                          struct doca_comch_connection *connection)
{
    if (comch_server == NULL || connection == NULL || connection->owner != &comch_server->comch ||
        connection->state == EMU_COMCH_HELLO || connection->state == EMU_COMCH_CLOSED) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    emu_comch_remove(connection, DOCA_ERROR_CONNECTION_ABORTED);
    return DOCA_SUCCESS;
}

struct doca_comch_server *doca_comch_server_get_server_ctx(
    const struct doca_comch_connection *connection)
{
    if (connection == NULL || connection->owner->role != &server_role) {
        return NULL;
    }
    return server_of(connection->owner);
}
