/* SPDX-License-Identifier: Apache-2.0 */
/* notify.h - the descriptor that becomes readable when requests become terminal (bc_client_fd).
 * It costs a system call only while somebody has asked for it. Thread: any, with the client's
 * lock. */
#ifndef BC_HOST_NOTIFY_H
#define BC_HOST_NOTIFY_H

#include "client.h"

BC_EXTERN_C_BEGIN

/* A request has become terminal. */
void bc_notify_terminal_locked(struct bc_client *client);

BC_EXTERN_C_END

#endif
