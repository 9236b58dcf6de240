/* SPDX-License-Identifier: Apache-2.0 */
/* link.h - one connection to an agent: the transport's connection, the channel on it, what the
 * agent granted, and what of the grant is used. A client has at most one; a lost one is never used
 * again. Its transport may have to be asked (transport.h): then it has an engine.
 *
 *   CONNECTED --HELLO sent--> GREETING --HELLO_ACK--> UP --GOODBYE of the agent--> DRAINING
 *
 * Invariants: the connection is closed when the last of (the client, threads that poll it) lets go,
 * so nobody polls a descriptor that became somebody else's. An asked transport may take its time to
 * close, so such a link is handed to `dead` then, and closed without the lock (bc_link_destroy).
 * Thread: guarded by the client's lock; only its descriptor is polled without it.
 * Errors: negative errno of the transport or the channel; the owner then drops the link. Must not
 * know: what messages mean. */
#ifndef BC_HOST_LINK_H
#define BC_HOST_LINK_H

#include "base/list.h"
#include "channel/channel.h"
#include "channel/transport.h"

BC_EXTERN_C_BEGIN

enum bc_link_state {
    BC_LINK_GREETING, /* HELLO sent, not answered */
    BC_LINK_UP,       /* requests flow */
    BC_LINK_DRAINING, /* the agent said GOODBYE: nothing new, what is under way goes on */
};

struct bc_link {
    const struct bc_transport_ops *ops;
    struct bc_conn *conn;
    struct bc_engine *engine; /* NULL: the transport need not be asked */
    struct bc_channel *channel;
    int fd; /* the connection's, or the engine's */
    uint32_t refs;
    void (*dead)(void *arg, struct bc_link *link); /* nobody uses it any more; NULL: destroy it */
    void *dead_arg;
    struct bc_list_node dead_node;
    uint64_t serial; /* counts the client's links from 1 */
    enum bc_link_state state;
    int broken;  /* sending failed with this; the owner drops the link soon */
    bool corked; /* several messages follow each other: send once, at the end */
    struct bc_wire_hello_ack ack;
    uint32_t requests_used; /* credits taken */
    uint64_t bytes_used;
    uint64_t heard_ns;  /* when the agent was heard of last */
    uint64_t pinged_ns; /* when it was asked whether it lives; 0: not since heard_ns */
    uint64_t greeting_until_ns;
};

/* Takes over `conn`, also on an error (then it is closed). One reference, the caller's. -ENOMEM. */
BC_MUST_USE int bc_link_create(const struct bc_transport_ops *ops, struct bc_conn *conn,
                               uint64_t serial, struct bc_link **link_out);
void bc_link_get(struct bc_link *link);
void bc_link_put(struct bc_link *link);
/* Closes the connection, in BC_TRANSPORT_LINGER_MS at the latest. Without the lock. */
void bc_link_destroy(struct bc_link *link);

/* An asked transport: looks what came, without blocking. True: bc_link_receive has something to do,
 * or what waits to be sent finds room. */
bool bc_link_ask(struct bc_link *link);
/* The same, before sleeping on `fd`, at most until *until_ns, which is lowered: false when there is
 * nothing to sleep for. */
BC_MUST_USE bool bc_link_arm(struct bc_link *link, uint64_t *until_ns);

/* Queues a message and sends what the transport takes now. 0, -EAGAIN (too much waits to be sent),
 * -EMSGSIZE, -ENOMEM. A transport that failed is noted in link->broken: the message is then lost
 * with the link, and 0 is returned. */
BC_MUST_USE int bc_link_send(struct bc_link *link, uint8_t type, uint64_t request_id,
                             const void *body, size_t body_len);
void bc_link_flush(struct bc_link *link);
bool bc_link_has_output(const struct bc_link *link);
/* Bytes that wait to be sent are over half of what may wait: bulk messages should hold back. */
bool bc_link_is_congested(const struct bc_link *link);

/* Receives what is there, at most a bounded amount, and hands every message to `handle`, which
 * returns 0 or a negative errno that ends the link. Returns the number of messages; -ENOTCONN when
 * the agent closed, or another negative errno: the link is dead. */
typedef int (*bc_link_message_fn)(void *arg, const struct bc_message *message);
BC_MUST_USE int bc_link_receive(struct bc_link *link, bc_link_message_fn handle, void *arg);

BC_EXTERN_C_END

#endif
