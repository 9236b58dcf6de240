/* SPDX-License-Identifier: Apache-2.0 */
/* transport.h - what carries a channel's bytes: a table of operations, non-blocking. Two kinds:
 *
 *   readiness-based (TCP): conn_fd and listener_fd are polled. Operations of engines are NULL.
 *   asked (Comch): nothing happens but in `progress` of the engine that a connection belongs to.
 *     conn_fd and listener_fd are -1.
 *
 * A caller that knows both kinds looks whether `progress` is NULL, once.
 * Errors: negative errno. EINTR never comes out; SIGPIPE is never raised.
 * Lifetime: whoever got a listener or a connection closes it; closing NULL does nothing.
 * Thread: a connection belongs to one thread at a time; a listener to one thread. An engine, its
 * listener and all its connections belong to one thread at a time together. No operation blocks but
 * `connect`, which has a deadline; the resolver where an address is a name (listen, connect), which
 * has its own (resolv.conf); and the close that ends an engine, see BC_TRANSPORT_LINGER_MS. */
#ifndef BC_CHANNEL_TRANSPORT_H
#define BC_CHANNEL_TRANSPORT_H

#include <stdbool.h>

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

/* The end of an engine waits at most so long for what was sent, and for its context to stop. A
 * connection that is closed before its engine ends gets as long, without anybody waiting. */
#define BC_TRANSPORT_LINGER_MS UINT64_C(500)

struct bc_listener;
struct bc_conn;
struct bc_engine; /* what has to be asked: one for a listener and all connections that it accepted,
                     one for each connection made by connect. Ends with the listener, or with that
                     connection; its owner does not close it. */

struct bc_transport_ops {
    const char *name; /* "tcp", "comch" */
    /* address: transport's own form. -EADDRINUSE, -EADDRNOTAVAIL (also a name that does not
     * resolve), -EINVAL (address), -EACCES ... */
    int (*listen)(const char *address, struct bc_listener **listener_out);
    /* Descriptor that becomes readable when a connection waits. (Asked: accept is tried after each
     * progress that did something.) */
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
    /* What was sent still arrives, if the peer takes it in time. */
    void (*close)(struct bc_conn *conn);

    /* ---- asked transports only; NULL otherwise ---- */

    struct bc_engine *(*listener_engine)(const struct bc_listener *listener);
    struct bc_engine *(*conn_engine)(const struct bc_conn *conn);
    /* Does what is ready, a bounded amount; never blocks. The number of things done: 0 is nothing.
     * Not to be called from a ready callback. */
    uint32_t (*progress)(struct bc_engine *engine);
    /* Before sleeping until engine_fd is readable. False: something is ready, do not sleep. The next
     * progress disarms. */
    bool (*arm)(struct bc_engine *engine);
    int (*engine_fd)(const struct bc_engine *engine);
    /* Sleep no longer than this though engine_fd stays silent: not every DOCA release signals the
     * events of Comch. Short soon after traffic while that is not known, else 1 ms. */
    uint64_t (*sleep_max_ns)(const struct bc_engine *engine);
    /* POLLIN: recv has something to say; POLLOUT: send takes something; POLLHUP: the peer closed, or
     * is lost (what it sent before can still be received). As of the last call of anything. */
    uint32_t (*conn_ready)(const struct bc_conn *conn);
    /* From now on `ready` is called from progress, once a progress at most, with what came up in it:
     * POLLIN when bytes arrived (also behind others that were not received yet), POLLOUT when a send
     * that got -EAGAIN may be tried again, POLLHUP once. What came up before is told by conn_ready
     * alone. `ready` may use the connection and close it. NULL: nobody is called any more. */
    void (*conn_on_ready)(struct bc_conn *conn, void (*ready)(void *arg, uint32_t events),
                          void *arg);
    /* Whoever connects from now on is turned away; those that wait are no longer accepted. Accepted
     * connections go on, so this is how to leave: listener_stop, close the connections, then
     * listener_close, which loses those that are left (their recv says -ECONNRESET) and waits as
     * BC_TRANSPORT_LINGER_MS says. */
    void (*listener_stop)(struct bc_listener *listener);
};

/* "HOST:PORT", "[v6]:PORT" or "HOST" (then BC_WIRE_PORT); "0.0.0.0" or "[::]" (both families) to
 * listen on all addresses. TCP_NODELAY, keep-alive and TCP_USER_TIMEOUT set (a vanished peer is
 * noticed in about 10 s). */
const struct bc_transport_ops *bc_transport_tcp(void);

/* Over a BlueField's Comch, in the library bc_channel_comch, the only one here that needs DOCA.
 *   listen:  "comch:DEVICE/REPRESENTOR/SERVICE", on the DPU. DEVICE is the PCI address of its
 *            function, REPRESENTOR that of the host's function as the host sees it; either may be
 *            empty when there is one only.
 *   connect: "comch:DEVICE/SERVICE", on the host. DEVICE as before.
 * Without "/SERVICE" it is BC_COMCH_SERVICE (comch_wire.h). listen and connect log one sentence with
 * what to do when they fail for a reason that an operator can mend. -ENODEV no such function, or no
 * representor; -EACCES; -EOPNOTSUPP (the function cannot do Comch); -EADDRINUSE (the service is
 * taken); -ECONNREFUSED nobody listens. */
const struct bc_transport_ops *bc_transport_comch(void);

BC_EXTERN_C_END

#endif
