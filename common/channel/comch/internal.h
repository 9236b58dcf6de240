/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h - the transport over Comch: its engine, and the connections on it.
 *
 *   engine.c    the progress engine, the context's states, messages and completions, progress, end
 *   conn.c      send, receive, readiness, closing: what a connection does
 *   server.c    listen and accept: the context is a server
 *   client.c    connect: the context is a client, with one connection
 *   device.c    the functions of the BlueField; what to say when one cannot be used
 *
 * Callbacks of DOCA come from doca_pe_progress alone. They copy and note; whatever may call back
 * into DOCA, or into the user of the transport, is done after it, in progress. (Completed tasks are
 * freed in their callback.)
 * Invariant: no engine, connection or slot is freed that DOCA may still name in a callback: an engine
 * whose context does not come to rest is left as it is, with all it has (engine.c).
 * Thread: all of an engine belongs to one thread at a time. Private to common/channel. */
#ifndef BC_CHANNEL_COMCH_INTERNAL_H
#define BC_CHANNEL_COMCH_INTERNAL_H

#include <poll.h>

#include <doca_comch.h>
#include <doca_ctx.h>
#include <doca_dev.h>
#include <doca_error.h>
#include <doca_pe.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "channel/comch_stream.h"
#include "channel/transport.h"

BC_EXTERN_C_BEGIN

#define BC_COMCH_SERVICE_LEN_MAX 48u /* a device may take less */
#define BC_COMCH_NAME_LEN        96u /* "comch:DEVICE/REPRESENTOR/SERVICE" */
#define BC_COMCH_PEER_LEN        (BC_COMCH_NAME_LEN + 16u)

/* A message under way, from submit to completion: docs and samples disagree on whether DOCA copies
 * it. */
struct bc_comch_slot {
    struct bc_list_node node; /* of the engine's free ones */
    struct bc_conn *conn;     /* NULL: its connection is gone */
    uint8_t *message;
};

enum bc_comch_phase {
    BC_COMCH_OPEN,    /* the user has it, or will by accept */
    BC_COMCH_CLOSING, /* the user closed it: what was sent goes out, then CLOSE */
    BC_COMCH_CLOSED,  /* CLOSE is sent: waits for the peer to leave */
};

struct bc_conn {
    struct bc_list_node node;         /* of engine->conns */
    struct bc_list_node waiting_node; /* of engine->waiting: not accepted yet */
    struct bc_list_node blocked_node; /* of engine->blocked: a send got -EAGAIN */
    struct bc_list_node work_node;    /* of engine->work: something to send or to end */
    struct bc_list_node touched_node; /* of engine->touched: events to report */
    struct bc_engine *engine;
    struct doca_comch_connection *doca; /* NULL: gone */
    struct bc_comch_stream stream;
    enum bc_comch_phase phase;
    uint32_t in_flight; /* slots */
    int error;          /* lost by this; 0: not */
    bool hung_up;       /* POLLHUP was reported */
    bool leave;         /* to be disconnected by us */
    uint64_t linger_until_ns;
    uint32_t events; /* came up and not reported yet */
    void (*ready)(void *arg, uint32_t events);
    void *ready_arg;
    char peer[BC_COMCH_PEER_LEN];
};

struct bc_engine {
    struct doca_dev *dev;
    struct doca_dev_rep *rep; /* server */
    struct doca_pe *pe;
    struct doca_comch_server *server; /* one of the two */
    struct doca_comch_client *client;
    struct doca_ctx *ctx;
    enum doca_ctx_states state; /* as its callback told */
    doca_notification_handle_t fd;
    bool armed;
    bool ending;
    bool full;    /* DOCA takes no more sends before one comes back */
    bool refuses; /* server: turns away who connects */
    uint32_t message_max;
    struct bc_comch_slot *slots;
    uint8_t *messages;
    uint32_t slot_count;
    struct bc_list free_slots;
    struct bc_list conns;
    struct bc_list waiting;
    struct bc_list blocked;
    struct bc_list work;
    struct bc_list touched;
    uint64_t traffic_ns; /* of the last event */
    uint32_t told;       /* sleeps in a row whose events the descriptor told of */
    uint64_t restart_ns; /* server: not started again before */
    uint32_t serial;     /* of connections, for their names */
    char name[BC_COMCH_NAME_LEN];
};

struct bc_listener {
    struct bc_engine *engine;
    char name[BC_COMCH_NAME_LEN];
};

/* ---- engine.c ---- */

/* An engine with its progress engine, without a context. Takes over dev and rep, also on an error.
 * -ENOMEM, -EIO. */
BC_MUST_USE int bc_comch_engine_create(struct doca_dev *dev, struct doca_dev_rep *rep,
                                       const char *name, struct bc_engine **engine_out);
/* Ties the context to the progress engine. -EIO. */
BC_MUST_USE int bc_comch_engine_connect(struct bc_engine *engine, struct doca_ctx *ctx);
/* What server and client have in common before their start; sets message_max and what is returned:
 * the number of send tasks and of received messages to ask for. -EOPNOTSUPP, -ENOMEM. */
BC_MUST_USE int bc_comch_engine_size(struct bc_engine *engine, uint32_t tasks_wanted,
                                     uint32_t *tasks_out, uint32_t *recv_queue_out);
/* Stops the context, at the latest in BC_TRANSPORT_LINGER_MS, and frees everything. */
void bc_comch_engine_destroy(struct bc_engine *engine);
/* Sleeps until something is ready, fd (-1: none) is readable, or until_ns. */
void bc_comch_engine_wait(struct bc_engine *engine, int fd, uint64_t until_ns);
/* Now, without waiting; fd -1 never is. */
bool bc_comch_readable(int fd);

uint32_t bc_comch_progress(struct bc_engine *engine);
bool bc_comch_arm(struct bc_engine *engine);
int bc_comch_engine_fd(const struct bc_engine *engine);
uint64_t bc_comch_sleep_max_ns(const struct bc_engine *engine);

void bc_comch_sent_cb(struct doca_comch_task_send *task, union doca_data task_user_data,
                      union doca_data ctx_user_data);
void bc_comch_send_failed_cb(struct doca_comch_task_send *task, union doca_data task_user_data,
                             union doca_data ctx_user_data);
/* A message for a connection; NULL: nobody's. */
void bc_comch_arrived(struct bc_conn *conn, const uint8_t *message, size_t len);

/* ---- conn.c ---- */

/* A connection of the engine. NULL: out of memory. */
struct bc_conn *bc_comch_conn_create(struct bc_engine *engine, struct doca_comch_connection *doca);
/* DOCA's connection is gone, or of no use: the user hears `error` when what arrived is read. */
void bc_comch_conn_lost(struct bc_conn *conn, int error);
/* Takes it from its engine, its messages under way belong to nobody then: a connection that the user has stays, to be closed by the user; any other
 * is freed. */
void bc_comch_conn_detach(struct bc_conn *conn);
/* Events for `ready`. */
void bc_comch_conn_touch(struct bc_conn *conn, uint32_t events);
/* The peer sends no more. */
void bc_comch_conn_hang_up(struct bc_conn *conn);
/* Has progress look at it. */
void bc_comch_conn_work(struct bc_conn *conn);
/* Does what there is to do for a connection on the work list; it may free the connection. */
void bc_comch_conn_run(struct bc_conn *conn, uint64_t now_ns);
/* A send may go on now. */
bool bc_comch_conn_can_send(const struct bc_conn *conn);

int64_t bc_comch_send(struct bc_conn *conn, const void *data, size_t len);
int64_t bc_comch_recv(struct bc_conn *conn, void *data, size_t len);
uint32_t bc_comch_conn_ready(const struct bc_conn *conn);
void bc_comch_conn_on_ready(struct bc_conn *conn, void (*ready)(void *arg, uint32_t events),
                            void *arg);
void bc_comch_close(struct bc_conn *conn);

/* ---- server.c, client.c ---- */

int bc_comch_listen(const char *address, struct bc_listener **listener_out);
int bc_comch_accept(struct bc_listener *listener, struct bc_conn **conn_out);
void bc_comch_listener_stop(struct bc_listener *listener);
void bc_comch_listener_close(struct bc_listener *listener);
int bc_comch_connect(const char *address, uint64_t timeout_ms, int stop_fd,
                     struct bc_conn **conn_out);

/* ---- device.c ---- */

struct bc_comch_address {
    char device[DOCA_DEVINFO_PCI_ADDR_SIZE];  /* "": the only one */
    char rep[DOCA_DEVINFO_REP_PCI_ADDR_SIZE]; /* "": the only one */
    char service[BC_COMCH_SERVICE_LEN_MAX + 1];
};

/* -EINVAL. */
BC_MUST_USE int bc_comch_address_parse(const char *text, bool listens,
                                       struct bc_comch_address *address_out);
/* Opens the function and writes its address in full into `address`. server: the role it has to be
 * able to play. Logs what is wrong. -ENODEV, -EACCES, -EOPNOTSUPP, -ENOMEM, -EIO. */
BC_MUST_USE int bc_comch_device_open(struct bc_comch_address *address, bool server,
                                     struct doca_dev **dev_out);
BC_MUST_USE int bc_comch_rep_open(struct doca_dev *dev, struct bc_comch_address *address,
                                  struct doca_dev_rep **rep_out);
int bc_comch_errno(doca_error_t error);

BC_EXTERN_C_END

#endif
