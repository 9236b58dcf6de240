/* SPDX-License-Identifier: Apache-2.0 */
/* server.h - accepts connections on one worker and hands them to the workers in turn.
 * Thread: the accepting worker's. When no descriptors are left, one that was kept for this takes the
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
void bc_server_destroy(struct bc_server *server);

BC_EXTERN_C_END

#endif
