/* SPDX-License-Identifier: Apache-2.0 */
/* comch.h - inside of Comch: what a server and a client share. Each is a context that is polled, with
 * a pool of send tasks and a list of connections (a client: at most one).
 *
 *   server's connection:  HELLO --hello received--> OPEN
 *   client's connection:  HELLO --reply received--> OPEN
 *   OPEN --peer gone, link broken--> LOST --all that was received reported--> closed
 * A closed connection is kept as long as tasks refer to it, and until the next progress call.
 * Thread: the one of the progress engine. */
#ifndef EMU_COMCH_H
#define EMU_COMCH_H

#include "ctx.h"
#include "dev.h"

#include "doca_comch.h"

#include "comch_link.h"
#include "comch_place.h"

#include <sys/types.h>

struct emu_comch;

enum emu_comch_conn_state { EMU_COMCH_HELLO, EMU_COMCH_OPEN, EMU_COMCH_LOST, EMU_COMCH_CLOSED };

struct doca_comch_connection {
    struct doca_comch_connection *next;
    struct emu_comch *owner;
    enum emu_comch_conn_state state;
    int fd; /* of the handshake; then the link has it */
    struct emu_link link;
    struct emu_task_list waiting; /* sends for which the peer's queue has no room */
    uint32_t num_waiting;
    uint32_t tasks;                                       /* that refer to this */
    uint64_t seen_ns;                                     /* of the oldest message, for a fault */
    uint64_t counters[DOCA_COMCH_COUNTER_RECV_BYTES + 1]; /* as of now */
    uint64_t shown[DOCA_COMCH_COUNTER_RECV_BYTES + 1];    /* as of the last update */
    union doca_data user_data;
};

struct doca_comch_task_send {
    struct doca_task task; /* first */
    struct doca_comch_connection *conn;
    const void *msg;
    uint32_t len;
};

/* Where a server and a client differ. */
struct emu_comch_role {
    /* The descriptor of the handshake is ready. True when something was reported. */
    bool (*shake)(struct doca_comch_connection *conn);
    /* Somebody connects; servers only. */
    void (*greet)(struct emu_comch *comch);
    /* A LOST connection with nothing left to report; it is still in the list. */
    void (*finish)(struct doca_comch_connection *conn);
};

struct emu_comch {
    struct doca_ctx ctx; /* first */
    const struct emu_comch_role *role;
    struct doca_dev *dev;
    char name[EMU_COMCH_NAME_MAX];
    uint32_t max_msg;
    uint32_t recv_queue;
    doca_comch_task_send_completion_cb_t done_cb;
    doca_comch_task_send_completion_cb_t error_cb;
    uint32_t num_tasks;
    struct doca_comch_task_send *tasks; /* made at start, kept until reconfigured or destroyed */
    struct emu_task_list free_tasks;
    doca_comch_event_msg_recv_cb_t recv_cb;
    doca_comch_event_consumer_cb_t consumer_new_cb;
    doca_comch_event_consumer_cb_t consumer_expired_cb;

    struct doca_comch_connection *conns;
    struct doca_comch_connection *closed;
    uint32_t num_conns;
    struct emu_task_list done; /* to be reported */
    bool done_first;           /* before messages; in turns */
    int set;                   /* epoll set of all sockets and peers' processes */
    bool events;               /* can be waited for by the notification handle */
    bool armed;
    uint64_t looked_ns; /* at the set */
    uint64_t max_waiting;
    pid_t pid;   /* who started it: a child must not end what is its parent's */
    uint8_t *rx; /* a message during its callback; NULL inside of the callback */
    uint32_t rx_size;
    bool *gone; /* set when the context is destroyed inside of a callback */
};

static inline struct emu_comch *emu_comch_of(const struct doca_ctx *ctx)
{
    return (struct emu_comch *)(uintptr_t)ctx;
}

/* Limits of the emulated device, from the environment. */
uint32_t emu_comch_cap_msg_size(void);
uint32_t emu_comch_cap_recv_queue(void);
uint32_t emu_comch_cap_clients(void);
uint32_t emu_comch_cap_send_tasks(void);
uint32_t emu_comch_cap_name_len(void);

/* --- comch.c: life cycle and configuration ---------------------------------------------------- */

/* INVALID_VALUE (name), NO_MEMORY. */
doca_error_t emu_comch_init(struct emu_comch *comch, const struct emu_comch_role *role,
                            const struct emu_ctx_ops *ops, struct doca_dev *dev, const char *name);
/* IN_USE unless IDLE. Frees what init made, not the struct. */
doca_error_t emu_comch_fini(struct emu_comch *comch);
/* INITIALIZATION: something that has to be configured is not, or there is no memory. */
doca_error_t emu_comch_start(struct emu_comch *comch);
doca_error_t emu_comch_set_u32(struct emu_comch *comch, uint32_t *value, uint32_t given,
                               uint32_t max);
doca_error_t emu_comch_set_tasks(struct emu_comch *comch, doca_comch_task_send_completion_cb_t done,
                                 doca_comch_task_send_completion_cb_t error, uint32_t num_tasks);
doca_error_t emu_comch_set_recv(struct emu_comch *comch, doca_comch_event_msg_recv_cb_t recv);
doca_error_t emu_comch_set_consumer(struct emu_comch *comch,
                                    doca_comch_event_consumer_cb_t new_consumer,
                                    doca_comch_event_consumer_cb_t expired_consumer);
doca_error_t emu_comch_alloc(struct emu_comch *comch, struct doca_comch_connection *peer,
                             const void *msg, uint32_t len, struct doca_comch_task_send **task);

/* --- comch_conn.c: connections and events ----------------------------------------------------- */

/* A connection in HELLO; takes the descriptor only on success. NULL: no memory. */
struct doca_comch_connection *emu_comch_add(struct emu_comch *comch, int fd);
/* HELLO to OPEN: the link is set up and has the descriptor. */
void emu_comch_open(struct doca_comch_connection *conn);
/* Out of the list and closed; what waited is reported as failed with `status`. */
void emu_comch_remove(struct doca_comch_connection *conn, doca_error_t status);
void emu_comch_free_closed(struct emu_comch *comch);
void emu_comch_fail_waiting(struct doca_comch_connection *conn, doca_error_t status);
bool emu_comch_watch(struct emu_comch *comch, int fd, void *tag);
void emu_comch_unwatch(struct emu_comch *comch, int fd);
/* The buffer of received messages. */
bool emu_comch_new_rx(struct emu_comch *comch);
void emu_comch_free_rx(struct emu_comch *comch);

/* --- operations of both kinds of contexts ----------------------------------------------------- */

void emu_comch_submit(struct doca_ctx *ctx, struct emu_task_list tasks);
doca_error_t emu_comch_admit(const struct doca_task *task);
bool emu_comch_task_valid(const struct doca_task *task);
void emu_comch_complete(struct doca_task *task);
void emu_comch_free_task(struct doca_task *task);
bool emu_comch_progress(struct doca_ctx *ctx);
bool emu_comch_pending(const struct doca_ctx *ctx);
void emu_comch_arm(struct doca_ctx *ctx, bool armed);

/* --- the handshake ----------------------------------------------------------------------------- */

struct emu_comch_hello {
    uint64_t magic;
    uint64_t world;
    struct emu_pci host;
    uint16_t reserved;
    uint32_t max_msg;
    uint32_t recv_queue;
    char name[EMU_COMCH_NAME_MAX];
};

struct emu_comch_reply {
    uint64_t magic;
    uint32_t status; /* doca_error_t; SUCCESS comes with the descriptor of the memory */
    struct emu_link_shape shape;
};

#define EMU_COMCH_HELLO_MAGIC UINT64_C(0x31636d6f63756d65) /* "emucomc1" */
#define EMU_COMCH_REPLY_MAGIC UINT64_C(0x32636d6f63756d65)

#endif /* EMU_COMCH_H */
