/* SPDX-License-Identifier: Apache-2.0 */
/* comch_side.h - a Comch server or client for tests, with a record of everything that it reported.
 * Every function fails the test when a step of it does, unless it returns a status. Every wait has a
 * deadline. */
#ifndef DOCA_EMU_COMCH_SIDE_H
#define DOCA_EMU_COMCH_SIDE_H

#include "fixture.h"

#include <doca_comch.h>

#define SIDE_CONNS  8
#define SIDE_STATES 16

struct side;

/* Called first inside of the callback, when set. */
struct side_hooks {
    void (*message)(struct side *side, struct doca_comch_connection *conn, const uint8_t *bytes,
                    uint32_t len);
    void (*done)(struct side *side, struct doca_task *task);
};

struct side {
    struct doca_dev *dev;
    struct doca_dev_rep *rep;
    struct doca_pe *pe;
    struct doca_comch_server *server; /* one of the two */
    struct doca_comch_client *client;
    struct doca_ctx *ctx;
    struct doca_comch_connection *conns[SIDE_CONNS]; /* the server's, in order of their events */
    struct side_hooks hooks;

    unsigned events; /* callbacks of any kind */
    unsigned connects;
    unsigned refused; /* connects that did not take place */
    unsigned disconnects;
    unsigned messages;
    unsigned mismatches; /* messages that were not message number n of check_message */
    unsigned done;
    unsigned failed;
    doca_error_t last_status;
    uint32_t last_len;
    uint8_t *last_buffer;
    enum doca_ctx_states states[SIDE_STATES]; /* that were reported */
    unsigned num_states;
};

/* A directory and a world of their own for this test program; the directory is removed at exit. */
void side_world(void);

/* Created, connected to a progress engine of its own and configured; not started. */
void side_make_server(struct side *side, const char *name);
void side_make_client(struct side *side, const char *name);
/* Stops if need be (with `other` progressed as well, unless NULL), and destroys everything. */
void side_end(struct side *side, struct side *other);

enum doca_ctx_states side_state(const struct side *side);
/* A few progress calls of one side. */
void side_run(struct side *side);
/* Progresses the sides until the value is at least as high, or the state is reached. */
void sides_wait(struct side *a, struct side *b, const unsigned *value, unsigned wanted);
void sides_wait_state(struct side *a, struct side *b, enum doca_ctx_states wanted_of_a);
/* Both started, client connected, both events seen. */
void sides_connect(struct side *server, struct side *client);

struct doca_comch_connection *side_peer(struct side *side);
doca_error_t side_alloc(struct side *side, struct doca_comch_connection *peer, const void *msg,
                        uint32_t len, struct doca_comch_task_send **task);
doca_error_t side_try_send(struct side *side, struct doca_comch_connection *peer, const void *msg,
                           uint32_t len);
/* Message number n of len bytes, to the first peer; it lives on until the program ends. */
void side_send(struct side *side, uint32_t n, uint32_t len);

#endif /* DOCA_EMU_COMCH_SIDE_H */
