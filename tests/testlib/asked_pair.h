/* SPDX-License-Identifier: Apache-2.0 */
/* asked_pair.h - a transport that must be asked (transport.h): a connection is one end of a socket
 * pair, a test holds the other; nothing arrives, and nobody is accepted, but in `progress`. The
 * engine's descriptor tells of connections and not of bytes, as the events of some devices do.
 * Errors and lifetime: as transport.h says; it does not connect. Thread: the engine's, but for
 * bc_asked_pair_open and bc_asked_pair_call, which are for any. */
#ifndef BC_TESTLIB_ASKED_PAIR_H
#define BC_TESTLIB_ASKED_PAIR_H

#include "channel/transport.h"

BC_EXTERN_C_BEGIN

/* listen takes any address but "busy" (-EADDRINUSE). */
const struct bc_transport_ops *bc_transport_asked_pair(void);

/* A connection that no engine knows yet, and the descriptor of its other end, which is the caller's
 * to close. Negative errno. */
int bc_asked_pair_open(struct bc_conn **conn_out, int *peer_fd_out);
/* It belongs to this engine, as if it had been accepted. */
void bc_asked_pair_adopt(struct bc_engine *engine, struct bc_conn *conn);
/* It waits to be accepted; turned away when the listener was stopped. */
void bc_asked_pair_call(struct bc_listener *listener, struct bc_conn *conn);

/* The next `count` accepts fail with this. */
void bc_asked_pair_fail(struct bc_listener *listener, int error, uint32_t count);
/* What an engine was asked, and how many connections it has. */
uint64_t bc_asked_pair_progresses(const struct bc_engine *engine);
uint64_t bc_asked_pair_arms(const struct bc_engine *engine);
uint32_t bc_asked_pair_conns(const struct bc_engine *engine);

BC_EXTERN_C_END

#endif
