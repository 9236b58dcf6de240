/* SPDX-License-Identifier: Apache-2.0 */
/* session.h - the session with an agent: greeting, what arrives, loss.
 * Thread: any, with the client's lock held (_locked); bc_session_connect the library thread
 * only. */
#ifndef BC_HOST_SESSION_H
#define BC_HOST_SESSION_H

#include "client.h"

BC_EXTERN_C_BEGIN

/* True when requests can be sent. */
static inline bool bc_session_is_up(const struct bc_client *client)
{
    return client->link != NULL && client->link->state == BC_LINK_UP && client->link->broken == 0;
}

/* Connects (blocking, without the lock) and sends HELLO. An attempt that fails sets the time of the
 * next one, or, before the first session, gives up: connect_error. Called and returns with the
 * lock. */
void bc_session_connect_locked(struct bc_client *client);

/* Closes links that nobody uses any more (blocking, without the lock). The library thread. */
void bc_session_bury_locked(struct bc_client *client);

/* Receives and handles what there is, sends what has room now. May drop the link. */
void bc_session_receive_locked(struct bc_client *client);

/* Keep-alive, and the greeting's deadline. Lowers *next_ns to when it wants to be called again. May
 * drop the link. */
void bc_session_timers_locked(struct bc_client *client, uint64_t now_ns, uint64_t *next_ns);

/* Drops the link (there is one): see client.h. `reason` is a negative errno for the log. */
void bc_session_drop_locked(struct bc_client *client, int reason, const char *why);

/* Says GOODBYE, as far as the transport takes it. */
void bc_session_goodbye_locked(struct bc_client *client);

BC_EXTERN_C_END

#endif
