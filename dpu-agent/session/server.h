/* SPDX-License-Identifier: Apache-2.0 */
/* server.h - accepts connections on one worker and hands them to the workers in turn; those of a
 * transport that must be asked (transport.h) stay on that worker, as their engine does, which the
 * server asks until it is destroyed.
 * Thread: the accepting worker's; created before its loop runs, by whoever made it. When no descriptors are left, one that was kept for this takes the
 * connection for as long as ERROR needs, so that nobody is left waiting; other errors of accept pause
 * accepting for 100 ms and are logged. Established sessions are not touched. */
#ifndef BC_SESSION_SERVER_H
#define BC_SESSION_SERVER_H

#include "channel/transport.h"
#include "session/worker.h"

BC_EXTERN_C_BEGIN

struct bc_server;

/* Listens at once, accepts from bc_server_start on. -EADDRINUSE, -EINVAL, -EACCES, -ENOMEM. */
BC_MUST_USE int bc_server_create(struct bc_worker *worker, const struct bc_transport_ops *transport,
                                 const char *address, struct bc_server **server_out);
/* Address in force, e.g. with the port that the system chose. */
const char *bc_server_address(const struct bc_server *server);
void bc_server_start(struct bc_server *server);
/* No connection is accepted any more; `stopped` is called in a later turn, then destroy. */
void bc_server_stop(struct bc_server *server, void (*stopped)(void *arg), void *arg);
/* With an engine: when every session is gone, and in the worker's thread; what was sent before the
 * sessions closed still leaves, within BC_TRANSPORT_LINGER_MS. A server that was started goes when
 * the loop has let go of the engine's descriptor: turn it until bc_loop_in_flight is 0. */
void bc_server_destroy(struct bc_server *server);

BC_EXTERN_C_END

#endif
