/* SPDX-License-Identifier: Apache-2.0 */
/* client.h - a client of the world that keeps account of its requests: each gets exactly one answer, or is
 * lost with its connection; everything else fails the test. */
#ifndef BC_TEST_SWEEP_CLIENT_H
#define BC_TEST_SWEEP_CLIENT_H

#include "channel/channel.h"
#include "world.h"

#define CLIENT_REQUESTS_MAX 64u
#define CLIENT_RESULTS_MAX  32u
#define CLIENT_DEADLINE_MS  5000u

enum reply_state {
    REPLY_UNUSED = 0,
    REPLY_AWAITED = 1,
    REPLY_GIVEN = 2,
    REPLY_LOST = 3, /* with the connection: how it ended is not known */
};

struct reply {
    enum reply_state state;
    uint8_t type;   /* of the answer that is awaited */
    uint32_t count; /* results asked for */
    uint32_t statuses[CLIENT_RESULTS_MAX];
    uint64_t sizes[CLIENT_RESULTS_MAX]; /* of a query */
};

struct client {
    struct world *world;
    struct bc_channel *channel;
    int fd; /* -1: closed, by either side */
    bool may_fall_silent;
    uint32_t next;
    struct reply replies[CLIENT_REQUESTS_MAX];
};

/* may_fall_silent: an answer that never comes is a lost connection, as a client's deadline makes it one;
 * otherwise it fails the test. */
void client_open(struct client *client, struct world *world, bool may_fall_silent);
/* Also when it is closed already. */
void client_close(struct client *client);

/* Queues and sends a message with this many results; its request id. type 0 as `answer`: none comes. */
uint32_t client_send(struct client *client, uint8_t type, uint8_t answer, uint32_t count,
                     const void *body, size_t len);
/* Turns the world until the request is answered (true) or lost. */
bool client_wait(struct client *client, uint32_t id);

/* HELLO and its answer. */
bool client_greet(struct client *client);

struct client_range {
    uint32_t memory;
    uint64_t memory_offset;
    const char *key;
    uint64_t object_size; /* of a push */
    uint64_t object_offset;
    uint64_t len;
};
/* Memories 0 .. count - 1: [offsets[i], offsets[i] + len) of the world's memory. */
uint32_t client_register(struct client *client, const uint64_t *offsets, uint32_t count,
                         uint64_t len);
uint32_t client_unregister(struct client *client, uint32_t count);
/* Ranges of one key follow each other. */
uint32_t client_transfer(struct client *client, uint8_t op, const struct client_range *ranges,
                         uint32_t count);
uint32_t client_keys(struct client *client, uint8_t type, const char *const *keys, uint32_t count);
void client_cancel(struct client *client, uint32_t id);
void client_goodbye(struct client *client);

#endif
