/* SPDX-License-Identifier: Apache-2.0 */
/* notify.c - see notify.h. */
#include "notify.h"

#include "progress.h"

static void signal_locked(struct bc_client *client)
{
    client->fd_signalled = true;
    bc_progress_signal_fd(client->ready_fd);
}

void bc_notify_terminal_locked(struct bc_client *client)
{
    client->terminal_unseen = true;
    if (client->fd_used && !client->fd_signalled) {
        signal_locked(client);
    }
}

int bc_client_fd(struct bc_client *client)
{
    bc_client_lock(client);
    if (!client->fd_used) {
        client->fd_used = true;
        if (client->terminal_unseen) {
            signal_locked(client);
        }
        bc_progress_kick_thread_locked(client); /* it watches the link from now on */
    }
    bc_client_unlock(client);
    return client->ready_fd;
}

void bc_client_clear_fd(struct bc_client *client)
{
    bc_client_lock(client);
    client->terminal_unseen = false;
    if (client->fd_signalled) {
        client->fd_signalled = false;
        bc_progress_drain_fd(client->ready_fd);
    }
    bc_client_unlock(client);
}
