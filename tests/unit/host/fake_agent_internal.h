/* SPDX-License-Identifier: Apache-2.0 */
/* fake_agent_internal.h - what the two halves of the fake agent share. Guarded by agent->lock. */
#ifndef BC_TEST_HOST_FAKE_AGENT_INTERNAL_H
#define BC_TEST_HOST_FAKE_AGENT_INTERNAL_H

#include <errno.h>
#include <pthread.h>

#include "channel/channel.h"
#include "channel/transport.h"
#include "fake_agent.h"

BC_EXTERN_C_BEGIN

#define FAKE_CONNS_MAX   8
#define FAKE_REGIONS_MAX 1024

struct fake_region {
    uint32_t generation; /* 0: none */
    uint64_t len;
};

/* A message whose answer waits. */
struct fake_held {
    struct fake_held *next;
    uint8_t type;
    uint64_t request_id;
    size_t body_len;
    uint8_t body[];
};

struct fake_conn {
    struct fake_agent *agent;
    struct bc_conn *conn;
    struct bc_channel *channel;
    bool greeted;
    struct fake_region regions[FAKE_REGIONS_MAX];
    struct fake_held *held; /* oldest first */
    uint32_t transfers;
    uint64_t bytes;
};

struct fake_agent {
    struct fake_agent_options options;
    pthread_mutex_t lock;
    pthread_t thread;
    struct bc_listener *listener;
    int wake_fd;
    bool stop;
    bool away;
    bool drop_wanted;
    bool obey_cancel;
    bool piecemeal;
    bool hold[BC_MSG_TYPE_COUNT];
    uint32_t status[BC_MSG_TYPE_COUNT];
    uint32_t transfers_peak;
    uint64_t bytes_peak;
    uint64_t sessions;
    struct fake_conn *conns[FAKE_CONNS_MAX];
};

/* False: the connection is to be closed. */
bool fake_message(struct fake_conn *conn, const struct bc_message *message);
void fake_send(struct fake_conn *conn, uint8_t type, uint64_t request_id, const void *body,
               size_t len);
void fake_release_held(struct fake_conn *conn, uint8_t type);
void fake_drop_held(struct fake_conn *conn);

BC_EXTERN_C_END

#endif
