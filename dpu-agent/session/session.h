/* SPDX-License-Identifier: Apache-2.0 */
/* session.h - one client's connection: HELLO, credits, messages in, answers out.
 *
 *   GREETING --HELLO--> OPEN --GOODBYE, error, peer lost, drain--> CLOSING --> (freed)
 *
 * Limits are enforced here: a request over the credits is answered LIMIT, what breaks the protocol is
 * answered ERROR and the connection closed. A connection that sends no HELLO, or stops inside a
 * message, is closed after hello_timeout_ms. While answers wait because the client does not read them,
 * nothing more is read from it; if it takes nothing for three keep-alive intervals, it is closed.
 * CLOSING: every request is cancelled; when the last part came back and every import was dropped by
 * every worker, the session is freed. Nothing of a client is touched after that.
 *
 * Thread: the worker's. Memory: a session is allocated per connection. */
#ifndef BC_SESSION_SESSION_H
#define BC_SESSION_SESSION_H

#include "channel/channel.h"
#include "channel/transport.h"
#include "session/request.h"
#include "session/worker.h"

BC_EXTERN_C_BEGIN

struct bc_session;
struct bc_sessions;

/* The sessions of one worker and their counters. -ENOMEM. */
BC_MUST_USE int bc_sessions_create(struct bc_worker *worker, struct bc_sessions **sessions_out);
void bc_sessions_destroy(struct bc_sessions *sessions); /* none left (asserted) */

/* Takes the connection over (closed in any case). Over the limit of sessions: ERROR and closed. */
void bc_sessions_adopt(struct bc_sessions *sessions, const struct bc_transport_ops *transport,
                       struct bc_conn *conn);

/* Says ERROR and closes at once, without a session: for what cannot be taken over. */
void bc_sessions_refuse(struct bc_sessions *sessions, const struct bc_transport_ops *transport,
                        struct bc_conn *conn, const char *why);

/* New transfers are refused (SHUTTING_DOWN); each session says GOODBYE when its last request
 * ended. */
void bc_sessions_drain(struct bc_sessions *sessions);
/* Closes what is left at once. */
void bc_sessions_close_all(struct bc_sessions *sessions);
uint32_t bc_sessions_count(const struct bc_sessions *sessions);

BC_EXTERN_C_END

#endif
