/* SPDX-License-Identifier: Apache-2.0 */
/* link.c - see link.h. */
#include "link.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"

/* Reads of one bc_link_receive: keeps one caller from serving a fast agent for ever. */
#define RECEIVES_MAX 16
#define CONGESTED    (4u << 20)

int bc_link_create(const struct bc_transport_ops *ops, struct bc_conn *conn, uint64_t serial,
                   struct bc_link **link_out)
{
    struct bc_link *link = calloc(1, sizeof(*link));
    int rc = link == NULL ? -ENOMEM : bc_channel_create(NULL, &link->channel);

    if (rc != 0) {
        free(link);
        ops->close(conn);
        return rc;
    }
    link->ops = ops;
    link->conn = conn;
    link->engine = ops->progress == NULL ? NULL : ops->conn_engine(conn);
    link->fd = link->engine == NULL ? ops->conn_fd(conn) : ops->engine_fd(link->engine);
    link->refs = 1;
    link->serial = serial;
    link->state = BC_LINK_GREETING;
    *link_out = link;
    return 0;
}

void bc_link_get(struct bc_link *link)
{
    link->refs++;
}

void bc_link_put(struct bc_link *link)
{
    BC_ASSERT(link->refs > 0);
    if (--link->refs > 0) {
        return;
    }
    if (link->engine != NULL && link->dead != NULL) {
        link->dead(link->dead_arg, link);
    } else {
        bc_link_destroy(link);
    }
}

void bc_link_destroy(struct bc_link *link)
{
    link->ops->close(link->conn);
    bc_channel_destroy(link->channel);
    free(link);
}

static bool is_ready(const struct bc_link *link)
{
    uint32_t events = link->ops->conn_ready(link->conn);

    return (events & (POLLIN | POLLHUP)) != 0 ||
           ((events & POLLOUT) != 0 && bc_link_has_output(link));
}

bool bc_link_ask(struct bc_link *link)
{
    (void)link->ops->progress(link->engine);
    return is_ready(link);
}

bool bc_link_arm(struct bc_link *link, uint64_t *until_ns)
{
    uint64_t sleep_ns = link->ops->sleep_max_ns(link->engine);

    if (is_ready(link) || !link->ops->arm(link->engine) || is_ready(link)) {
        return false;
    }
    *until_ns = bc_min_u64(*until_ns, bc_clock_now_ns(bc_clock_monotonic()) + sleep_ns);
    return true;
}

int bc_link_send(struct bc_link *link, uint8_t type, uint64_t request_id, const void *body,
                 size_t body_len)
{
    int rc = bc_channel_send(link->channel, type, request_id, body, body_len);

    if (rc == 0 && !link->corked) {
        bc_link_flush(link);
    }
    return rc;
}

void bc_link_flush(struct bc_link *link)
{
    const uint8_t *data;
    size_t len;

    /* Bounded: every round consumes bytes, and nothing is added meanwhile. */
    while (link->broken == 0 && bc_channel_out_peek(link->channel, &data, &len)) {
        int64_t sent = link->ops->send(link->conn, data, len);

        if (sent == -EAGAIN) {
            break;
        }
        if (sent <= 0) {
            link->broken = sent == 0 ? -EPIPE : (int)sent;
            break;
        }
        bc_channel_out_consume(link->channel, (size_t)sent);
    }
}

bool bc_link_has_output(const struct bc_link *link)
{
    const uint8_t *data;
    size_t len;

    return bc_channel_out_peek(link->channel, &data, &len);
}

bool bc_link_is_congested(const struct bc_link *link)
{
    const uint8_t *data;
    size_t len;

    return bc_channel_out_peek(link->channel, &data, &len) && len > CONGESTED;
}

static int handle_all(struct bc_link *link, bc_link_message_fn handle, void *arg)
{
    struct bc_message message;
    int count = 0;
    int rc;

    while ((rc = bc_channel_next(link->channel, &message)) == 1) {
        rc = handle(arg, &message);
        if (rc != 0) {
            return rc;
        }
        count++;
    }
    return rc < 0 ? rc : count;
}

int bc_link_receive(struct bc_link *link, bc_link_message_fn handle, void *arg)
{
    int total = 0;

    if (link->engine != NULL) {
        (void)link->ops->progress(link->engine);
    }
    for (int i = 0; i < RECEIVES_MAX; i++) {
        uint8_t *data;
        size_t room;
        int64_t got;
        int rc = bc_channel_in_space(link->channel, &data, &room);

        if (rc != 0) {
            return rc;
        }
        got = link->ops->recv(link->conn, data, room);
        if (got == -EAGAIN) {
            break;
        }
        if (got <= 0) {
            return got == 0 ? -ENOTCONN : (int)got;
        }
        bc_channel_in_commit(link->channel, (size_t)got);
        rc = handle_all(link, handle, arg);
        if (rc < 0) {
            return rc;
        }
        total += rc;
        if ((size_t)got < room) {
            break; /* drained: saves the call that would only say so */
        }
    }
    return total;
}
