/* SPDX-License-Identifier: Apache-2.0 */
/* thread.c - see thread.h. Every round does what is due, then sleeps until the next thing is. A
 * transport that has to be asked lets it sleep for a millisecond at most while it serves the link. */
#include "thread.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <time.h>

#include "base/log.h"
#include "progress.h"
#include "registry.h"
#include "request.h"
#include "session.h"
#include "transfer.h"

#define WAITERS_CHECK_MS UINT64_C(50)

/* Sees to everything that is due. Returns when to look again; releases the lock on the way. */
static uint64_t work_locked(struct bc_client *client)
{
    uint64_t now_ns = bc_now_ns();
    uint64_t next_ns = UINT64_MAX;

    bc_session_bury_locked(client);
    bc_registry_close_due_locked(client, now_ns, &next_ns);
    if (client->link == NULL && client->connect_wanted && now_ns >= client->connect_due_ns) {
        bc_session_connect_locked(client);
    }
    if (client->link != NULL) {
        /* First what arrived: silence is only silence when nothing was left unread. */
        bc_session_receive_locked(client);
    }
    bc_request_timers_locked(client, now_ns, &next_ns);
    bc_registry_timers_locked(client, now_ns, &next_ns);
    if (client->link != NULL) {
        bc_session_timers_locked(client, now_ns, &next_ns);
    }
    if (bc_session_is_up(client)) {
        bc_registry_restore_locked(client, now_ns, &next_ns);
    }
    if (client->link == NULL && client->connect_wanted) {
        bc_earliest(&next_ns, client->connect_due_ns);
    }
    return next_ns;
}

/* Application threads that wait or test serve the link themselves; each would wake this thread for
 * nothing if it polled, too. Lowers *next_ns to when to think again. */
static short link_events_locked(struct bc_client *client, uint64_t *next_ns)
{
    uint64_t takeover_ns = client->progress_ns + BC_TAKEOVER_MS * BC_NS_PER_MS;
    short events = 0;

    client->thread_polls = false;
    client->thread_sends = false;
    if (client->link == NULL) {
        return 0;
    }
    if (bc_link_has_output(client->link)) {
        client->thread_sends = true;
        events |= POLLOUT;
    }
    if (client->link->state == BC_LINK_GREETING ||
        (bc_list_empty(&client->waiters) && (client->fd_used || bc_now_ns() >= takeover_ns))) {
        client->thread_polls = true;
        events |= POLLIN;
    } else if (bc_list_empty(&client->waiters)) {
        bc_earliest(next_ns, bc_max_u64(takeover_ns, bc_now_ns() + BC_NS_PER_MS));
    } else {
        /* Nobody tells this thread when the last of them leaves. */
        bc_earliest(next_ns, bc_now_ns() + WAITERS_CHECK_MS * BC_NS_PER_MS);
    }
    return events;
}

static void sleep_until(struct bc_client *client, struct bc_link *link, short events,
                        uint64_t until_ns)
{
    struct pollfd fds[2] = {{.fd = client->thread_fd, .events = POLLIN},
                            {.fd = events != 0 ? link->fd : -1,
                             .events = events != 0 && link->engine != NULL ? POLLIN : events}};
    uint64_t now_ns = bc_now_ns();
    uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec timeout = {.tv_sec = (time_t)(left_ns / BC_NS_PER_S),
                               .tv_nsec = (long)(left_ns % BC_NS_PER_S)};

    (void)ppoll(fds, BC_ARRAY_LEN(fds), until_ns == UINT64_MAX ? NULL : &timeout, NULL);
}

static void *thread_main(void *arg)
{
    struct bc_client *client = arg;

    bc_client_lock(client);
    while (!client->stop) {
        uint64_t next_ns;
        short events;
        struct bc_link *link;

        client->thread_until_ns = UINT64_MAX; /* timers set meanwhile kick */
        next_ns = work_locked(client);
        events = link_events_locked(client, &next_ns);
        link = client->link;
        client->thread_until_ns = next_ns;
        if (events != 0 && link->engine != NULL && !bc_link_arm(link, &next_ns)) {
            next_ns = 0;
        }
        if (link != NULL) {
            bc_link_get(link);
        }
        bc_client_unlock(client);
        sleep_until(client, link, events, next_ns);
        bc_client_lock(client);
        if (client->thread_kicked) {
            client->thread_kicked = false;
            bc_progress_drain_fd(client->thread_fd);
        }
        client->thread_polls = false;
        client->thread_sends = false;
        if (link != NULL) {
            bc_link_put(link);
        }
    }
    bc_session_bury_locked(client);
    bc_client_unlock(client);
    return NULL;
}

int bc_thread_start(struct bc_client *client)
{
    sigset_t all;
    sigset_t before;
    int rc;

    /* The application's signals are for its own threads. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&client->thread, NULL, thread_main, client);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    client->thread_started = rc == 0;
    if (rc == 0) {
        (void)pthread_setname_np(client->thread, "bluecache");
    }
    return -rc;
}

void bc_thread_stop(struct bc_client *client)
{
    if (!client->thread_started) {
        return;
    }
    bc_client_lock(client);
    client->stop = true;
    bc_progress_kick_thread_locked(client);
    bc_client_unlock(client);
    (void)pthread_join(client->thread, NULL);
    client->thread_started = false;
}
