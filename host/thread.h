/* SPDX-License-Identifier: Apache-2.0 */
/* thread.h - the library's thread, one per client: connects and reconnects, watches deadlines,
 * closes windows, and serves the connection while no application thread does. */
#ifndef BC_HOST_THREAD_H
#define BC_HOST_THREAD_H

#include "client.h"

BC_EXTERN_C_BEGIN

/* Negative errno of pthread_create. */
BC_MUST_USE int bc_thread_start(struct bc_client *client);
/* Waits for its end; nothing when it was not started. Without the lock. */
void bc_thread_stop(struct bc_client *client);

BC_EXTERN_C_END

#endif
