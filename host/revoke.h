/* SPDX-License-Identifier: Apache-2.0 */
/* revoke.h - after a session: what its agent may still touch is taken away before anybody is told.
 *
 *   link lost -> its exports CLOSING, its requests dying -> windows closed -> requests terminal
 *
 * Invariant: a request that an agent had becomes terminal by its answer or here, when every export
 * that it names is CLOSED; never earlier. Thread: any, with the client's lock. */
#ifndef BC_HOST_REVOKE_H
#define BC_HOST_REVOKE_H

#include "client.h"

BC_EXTERN_C_BEGIN

/* The session is over (client->link is NULL, what waited for answers was told): its exports are to
 * be closed, and detached regions are dissolved into regions of what is still registered. */
void bc_revoke_session_locked(struct bc_client *client);

/* Finishes the dying requests that nobody can touch any more. */
void bc_revoke_settle_locked(struct bc_client *client);

BC_EXTERN_C_END

#endif
