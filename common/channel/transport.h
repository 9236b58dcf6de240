/* SPDX-License-Identifier: Apache-2.0 */
/* transport.h - what carries a channel's bytes: a table of operations, non-blocking,
 * readiness-based. TCP here; Comch has the same shape (its connections deliver the stream in pieces
 * of the device's message limit).
 * Errors: negative errno. EINTR never comes out; SIGPIPE is never raised.
 * Lifetime: whoever got a listener or a connection closes it; closing NULL does nothing.
 * Thread: a connection belongs to one thread at a time; a listener to one thread. No operation
 * blocks but `connect`, which has a deadline, and the resolver where an address is a name (listen,
 * connect), which has its own (resolv.conf). */
#ifndef BC_CHANNEL_TRANSPORT_H
#define BC_CHANNEL_TRANSPORT_H

#include <stdbool.h>

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

struct bc_listener;
struct bc_conn;

struct bc_transport_ops {
    const char *name; /* "tcp" */
    /* address: transport's own form. -EADDRINUSE, -EADDRNOTAVAIL (also a name that does not
     * resolve), -EINVAL (address), -EACCES ... */
    int (*listen)(const char *address, struct bc_listener **listener_out);
    /* Descriptor that becomes readable when a connection waits. */
    int (*listener_fd)(const struct bc_listener *listener);
    /* Address in force as text, e.g. "127.0.0.1:40123" when port 0 was asked for. Valid as long as
     * the listener. */
    const char *(*listener_address)(const struct bc_listener *listener);
    /* -EAGAIN none waiting; -EMFILE, -ENFILE: the connection still waits, so the descriptor stays
     * readable and the caller had better pause; -ENOMEM. */
    int (*accept)(struct bc_listener *listener, struct bc_conn **conn_out);
    void (*listener_close)(struct bc_listener *listener);
    /* Blocks at most timeout_ms (0: one attempt that does not wait), and no longer once stop_fd (-1:
     * none) is readable. -ECONNREFUSED, -ETIMEDOUT, -ECANCELED (stop_fd), -EHOSTUNREACH (also a
     * name that does not resolve), -ENETUNREACH, -EINVAL (address) ... */
    int (*connect)(const char *address, uint64_t timeout_ms, int stop_fd,
                   struct bc_conn **conn_out);
    /* Bytes taken, or -EAGAIN (wait for POLLOUT), -EPIPE, -ECONNRESET ... */
    int64_t (*send)(struct bc_conn *conn, const void *data, size_t len);
    /* Bytes got, 0 when the peer closed, or -EAGAIN (wait for POLLIN), -ECONNRESET, -ETIMEDOUT (the
     * peer vanished) ... len is not 0. */
    int64_t (*recv)(struct bc_conn *conn, void *data, size_t len);
    int (*conn_fd)(const struct bc_conn *conn);
    const char *(*conn_peer)(const struct bc_conn *conn); /* for logs; valid as long as conn */
    void (*close)(struct bc_conn *conn);
};

/* "HOST:PORT", "[v6]:PORT" or "HOST" (then BC_WIRE_PORT); "0.0.0.0" or "[::]" (both families) to
 * listen on all addresses. TCP_NODELAY, keep-alive and TCP_USER_TIMEOUT set (a vanished peer is
 * noticed in about 10 s). */
const struct bc_transport_ops *bc_transport_tcp(void);

BC_EXTERN_C_END

#endif
