/* SPDX-License-Identifier: Apache-2.0 */
/* fake_agent.c - see fake_agent.h: connections and knobs. What messages do is in fake_answers.c. */
#include "fake_agent_internal.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "trace.h"

static void wake(struct fake_agent *agent)
{
    uint64_t one = 1;

    BC_ASSERT(write(agent->wake_fd, &one, sizeof(one)) == sizeof(one));
}

static void flush(struct fake_conn *conn)
{
    const uint8_t *data;
    size_t len;

    while (bc_channel_out_peek(conn->channel, &data, &len)) {
        int64_t sent = bc_transport_tcp()->send(conn->conn, data, len);

        if (sent <= 0) {
            return;
        }
        bc_channel_out_consume(conn->channel, (size_t)sent);
    }
}

void fake_send(struct fake_conn *conn, uint8_t type, uint64_t request_id, const void *body,
               size_t len)
{
    BC_ASSERT(bc_channel_send(conn->channel, type, request_id, body, len) == 0);
    flush(conn);
}

static void close_conn(struct fake_agent *agent, struct fake_conn *conn)
{
    bc_transport_tcp()->close(conn->conn);
    bc_channel_destroy(conn->channel);
    fake_drop_held(conn);
    for (size_t i = 0; i < FAKE_CONNS_MAX; i++) {
        if (agent->conns[i] == conn) {
            agent->conns[i] = NULL;
        }
    }
    free(conn);
    trace_add("closed");
}

static void accept_all(struct fake_agent *agent)
{
    struct bc_conn *accepted = NULL;

    while (bc_transport_tcp()->accept(agent->listener, &accepted) == 0) {
        struct fake_conn *conn = NULL;

        for (size_t i = 0; i < FAKE_CONNS_MAX && !agent->away; i++) {
            if (agent->conns[i] == NULL) {
                conn = calloc(1, sizeof(*conn));
                agent->conns[i] = conn;
                break;
            }
        }
        if (conn == NULL) {
            bc_transport_tcp()->close(accepted);
            continue;
        }
        conn->agent = agent;
        conn->conn = accepted;
        BC_ASSERT(bc_channel_create(NULL, &conn->channel) == 0);
        trace_add("conn");
    }
}

static bool receive(struct fake_conn *conn)
{
    struct bc_message message;
    uint8_t *data;
    size_t room;
    int64_t got;
    int rc;

    BC_ASSERT(bc_channel_in_space(conn->channel, &data, &room) == 0);
    got = bc_transport_tcp()->recv(conn->conn, data, room);
    if (got == -EAGAIN) {
        return true;
    }
    if (got <= 0) {
        return false;
    }
    bc_channel_in_commit(conn->channel, (size_t)got);
    while ((rc = bc_channel_next(conn->channel, &message)) == 1) {
        if (!fake_message(conn, &message)) {
            return false;
        }
    }
    return rc == 0;
}

static void serve(struct fake_agent *agent)
{
    struct pollfd fds[FAKE_CONNS_MAX + 2];
    struct fake_conn *conns[FAKE_CONNS_MAX];

    memcpy(conns, agent->conns, sizeof(conns));
    for (size_t i = 0; i < FAKE_CONNS_MAX; i++) {
        fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
        if (conns[i] != NULL) {
            const uint8_t *data;
            size_t len;

            fds[i].fd = bc_transport_tcp()->conn_fd(conns[i]->conn);
            fds[i].events |= bc_channel_out_peek(conns[i]->channel, &data, &len) ? POLLOUT : 0;
        }
    }
    fds[FAKE_CONNS_MAX] =
        (struct pollfd){.fd = bc_transport_tcp()->listener_fd(agent->listener), .events = POLLIN};
    fds[FAKE_CONNS_MAX + 1] = (struct pollfd){.fd = agent->wake_fd, .events = POLLIN};
    (void)pthread_mutex_unlock(&agent->lock);
    (void)poll(fds, BC_ARRAY_LEN(fds), -1);
    (void)pthread_mutex_lock(&agent->lock);
    for (size_t i = 0; i < FAKE_CONNS_MAX; i++) {
        if (conns[i] == NULL || agent->conns[i] != conns[i]) {
            continue; /* dropped meanwhile */
        }
        flush(conns[i]);
        if ((fds[i].revents & ~POLLOUT) != 0 && !receive(conns[i])) {
            close_conn(agent, conns[i]);
        }
    }
    if ((fds[FAKE_CONNS_MAX + 1].revents & POLLIN) != 0) {
        uint64_t count;

        BC_ASSERT(read(agent->wake_fd, &count, sizeof(count)) == sizeof(count));
    }
    if (agent->drop_wanted) {
        agent->drop_wanted = false;
        for (size_t i = 0; i < FAKE_CONNS_MAX; i++) {
            if (agent->conns[i] != NULL) {
                close_conn(agent, agent->conns[i]);
            }
        }
    }
    accept_all(agent);
}

static void *agent_main(void *arg)
{
    struct fake_agent *agent = arg;

    (void)pthread_mutex_lock(&agent->lock);
    while (!agent->stop) {
        serve(agent);
    }
    (void)pthread_mutex_unlock(&agent->lock);
    return NULL;
}

struct fake_agent *fake_agent_start(const struct fake_agent_options *options)
{
    struct fake_agent *agent = calloc(1, sizeof(*agent));
    char address[32];

    BC_ASSERT(agent != NULL);
    agent->options = *options;
    agent->obey_cancel = true;
    (void)pthread_mutex_init(&agent->lock, NULL);
    agent->wake_fd = eventfd(0, EFD_CLOEXEC);
    BC_ASSERT(agent->wake_fd >= 0);
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", options->port);
    BC_ASSERT(bc_transport_tcp()->listen(address, &agent->listener) == 0);
    BC_ASSERT(pthread_create(&agent->thread, NULL, agent_main, agent) == 0);
    return agent;
}

void fake_agent_stop(struct fake_agent *agent)
{
    if (agent == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&agent->lock);
    agent->stop = true;
    (void)pthread_mutex_unlock(&agent->lock);
    wake(agent);
    (void)pthread_join(agent->thread, NULL);
    for (size_t i = 0; i < FAKE_CONNS_MAX; i++) {
        if (agent->conns[i] != NULL) {
            close_conn(agent, agent->conns[i]);
        }
    }
    bc_transport_tcp()->listener_close(agent->listener);
    (void)close(agent->wake_fd);
    (void)pthread_mutex_destroy(&agent->lock);
    free(agent);
}

const char *fake_agent_address(const struct fake_agent *agent)
{
    return bc_transport_tcp()->listener_address(agent->listener);
}

uint16_t fake_agent_port(const struct fake_agent *agent)
{
    return (uint16_t)atoi(strrchr(fake_agent_address(agent), ':') + 1);
}

/* ---- knobs --------------------------------------------------------------------------------- */

void fake_agent_hold(struct fake_agent *agent, uint8_t type, bool on)
{
    (void)pthread_mutex_lock(&agent->lock);
    agent->hold[type] = on;
    for (size_t i = 0; i < FAKE_CONNS_MAX && !on; i++) {
        if (agent->conns[i] != NULL) {
            fake_release_held(agent->conns[i], type);
        }
    }
    (void)pthread_mutex_unlock(&agent->lock);
}

void fake_agent_obey_cancel(struct fake_agent *agent, bool on)
{
    (void)pthread_mutex_lock(&agent->lock);
    agent->obey_cancel = on;
    (void)pthread_mutex_unlock(&agent->lock);
}

void fake_agent_status(struct fake_agent *agent, uint8_t type, uint32_t status)
{
    (void)pthread_mutex_lock(&agent->lock);
    agent->status[type] = status;
    (void)pthread_mutex_unlock(&agent->lock);
}

void fake_agent_piecemeal(struct fake_agent *agent, bool on)
{
    (void)pthread_mutex_lock(&agent->lock);
    agent->piecemeal = on;
    (void)pthread_mutex_unlock(&agent->lock);
}

void fake_agent_drop(struct fake_agent *agent, bool away)
{
    (void)pthread_mutex_lock(&agent->lock);
    agent->drop_wanted = true;
    agent->away = away;
    (void)pthread_mutex_unlock(&agent->lock);
    wake(agent);
}

void fake_agent_send(struct fake_agent *agent, uint8_t type, uint64_t request_id, const void *body,
                     size_t len)
{
    (void)pthread_mutex_lock(&agent->lock);
    for (size_t i = 0; i < FAKE_CONNS_MAX; i++) {
        if (agent->conns[i] != NULL) {
            fake_send(agent->conns[i], type, request_id, body, len);
        }
    }
    (void)pthread_mutex_unlock(&agent->lock);
}

uint32_t fake_agent_transfers_peak(struct fake_agent *agent)
{
    uint32_t peak;

    (void)pthread_mutex_lock(&agent->lock);
    peak = agent->transfers_peak;
    (void)pthread_mutex_unlock(&agent->lock);
    return peak;
}

uint64_t fake_agent_bytes_peak(struct fake_agent *agent)
{
    uint64_t peak;

    (void)pthread_mutex_lock(&agent->lock);
    peak = agent->bytes_peak;
    (void)pthread_mutex_unlock(&agent->lock);
    return peak;
}

uint32_t fake_agent_memories(struct fake_agent *agent)
{
    uint32_t count = 0;

    (void)pthread_mutex_lock(&agent->lock);
    for (size_t i = 0; i < FAKE_CONNS_MAX; i++) {
        for (size_t k = 0; agent->conns[i] != NULL && k < FAKE_REGIONS_MAX; k++) {
            count += agent->conns[i]->regions[k].generation != 0 ? 1 : 0;
        }
    }
    (void)pthread_mutex_unlock(&agent->lock);
    return count;
}
