/* SPDX-License-Identifier: Apache-2.0 */
/* pair.h - a connection that is one end of a socket pair; a test holds the other.
 * Errors, threads and lifetime: as transport.h says. It neither listens nor connects. */
#ifndef BC_TESTLIB_PAIR_H
#define BC_TESTLIB_PAIR_H

#include "channel/transport.h"

BC_EXTERN_C_BEGIN

const struct bc_transport_ops *bc_transport_pair(void);
/* A connection, and the descriptor of its other end, which is the caller's to close. Negative
 * errno. */
int bc_pair_open(struct bc_conn **conn_out, int *peer_fd_out);

BC_EXTERN_C_END

#endif
