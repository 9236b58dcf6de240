/* SPDX-License-Identifier: Apache-2.0 */
/* progress.c - see progress.h. */
#include "progress.h"

#include <errno.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "session.h"

#define SIGNAL_TRIES 100

struct bc_waiter {
    struct bc_list_node node;
    bc_ready_fn ready;
    void *arg;
    pthread_cond_t wake;
};

/* EAGAIN: the counter is full, so its reader is awake. A wake-up that got lost would cost somebody
 * the whole time limit: an error that a descriptor of this kind does not have is tried again too. */
void bc_progress_signal_fd(int fd)
{
    uint64_t one = 1;
    ssize_t written = -1;

    for (int i = 0; i < SIGNAL_TRIES && written < 0; i++) {
        written = write(fd, &one, sizeof(one));
        if (written < 0 && errno == EAGAIN) {
            return;
        }
    }
}

void bc_progress_drain_fd(int fd)
{
    uint64_t count;
    ssize_t got;

    do {
        got = read(fd, &count, sizeof(count));
    } while (got < 0 && errno == EINTR);
}

static struct bc_waiter *waiter_of(struct bc_list_node *node)
{
    return node == NULL ? NULL : BC_CONTAINER_OF(node, struct bc_waiter, node);
}

/* A waiter whose wait is over is woken where it sleeps. There are about as many waiters as
 * threads. */
static void wake_ready_locked(struct bc_client *client)
{
    struct bc_list_node *node = bc_list_first(&client->waiters);

    for (; node != NULL; node = bc_list_next(&client->waiters, node)) {
        struct bc_waiter *waiter = waiter_of(node);

        if (!waiter->ready(waiter->arg)) {
            continue;
        }
        if (waiter == client->leader) {
            bc_progress_signal_fd(client->leader_fd);
        } else {
            (void)pthread_cond_signal(&waiter->wake);
        }
    }
    /* A link may have come up, or its leader gone: somebody has to poll it. */
    if (client->leader == NULL && client->link != NULL && !bc_list_empty(&client->waiters)) {
        (void)pthread_cond_signal(&waiter_of(bc_list_first(&client->waiters))->wake);
    }
}

void bc_client_lock(struct bc_client *client)
{
    (void)pthread_mutex_lock(&client->lock);
}

bool bc_client_trylock(struct bc_client *client)
{
    return pthread_mutex_trylock(&client->lock) == 0;
}

void bc_progress_kick_thread_locked(struct bc_client *client)
{
    if (!client->thread_kicked) {
        client->thread_kicked = true;
        bc_progress_signal_fd(client->thread_fd);
    }
}

/* What has to be set going before the lock is let go. A connection that cannot take more, or that
 * broke while sending, is the library thread's: nobody else needs to stay for it. */
static void settle_locked(struct bc_client *client)
{
    const struct bc_link *link = client->link;

    if (client->changed) {
        client->changed = false;
        wake_ready_locked(client);
    }
    if (link != NULL &&
        (link->broken != 0 || (!client->thread_sends && bc_link_has_output(link)))) {
        bc_progress_kick_thread_locked(client);
    }
}

void bc_client_unlock(struct bc_client *client)
{
    settle_locked(client);
    (void)pthread_mutex_unlock(&client->lock);
}

void bc_progress_release_leader_locked(struct bc_client *client)
{
    if (client->leader != NULL) {
        bc_progress_signal_fd(client->leader_fd);
    }
}

void bc_progress_timer_locked(struct bc_client *client, uint64_t when_ns)
{
    if (when_ns < client->thread_until_ns) {
        client->thread_until_ns = when_ns;
        bc_progress_kick_thread_locked(client);
    }
}

/* An application thread looks after the link: the library thread need not wake up for it. With a
 * descriptor in use the library thread has to know of completions all the same. */
static void take_over_locked(struct bc_client *client)
{
    client->progress_ns = bc_now_ns();
    if (client->thread_polls && !client->fd_used) {
        client->thread_polls = false;
        bc_progress_kick_thread_locked(client);
    }
}

void bc_progress_poll_locked(struct bc_client *client)
{
    if (client->link != NULL) {
        take_over_locked(client);
        bc_session_receive_locked(client);
    }
}

static struct timespec span(uint64_t from_ns, uint64_t to_ns)
{
    uint64_t ns = to_ns > from_ns ? to_ns - from_ns : 0;

    return (struct timespec){.tv_sec = (time_t)(ns / BC_NS_PER_S),
                             .tv_nsec = (long)(ns % BC_NS_PER_S)};
}

/* Until something came or the deadline passed: at first without sleeping, as long as that pays. */
static void await(struct bc_spin *spin, struct pollfd fds[2], uint64_t now_ns, uint64_t deadline_ns)
{
    uint64_t waited_ns = 0;
    struct timespec timeout;
    int ready = 0;

    while (ready == 0 && now_ns + waited_ns < deadline_ns &&
           bc_spin_again(spin, waited_ns, false)) {
        ready = poll(fds, 2, 0);
        waited_ns = bc_now_ns() - now_ns;
    }
    if (ready == 0) {
        timeout = span(now_ns + waited_ns, deadline_ns);
        (void)ppoll(fds, 2, &timeout, NULL);
        waited_ns = bc_now_ns() - now_ns;
    }
    bc_spin_learn(spin, waited_ns);
}

/* Polls the link once, without the lock. True: something came on it. */
static bool poll_link_locked(struct bc_client *client, const struct bc_link *link,
                             uint64_t deadline_ns)
{
    struct pollfd fds[2] = {{.fd = link->fd, .events = POLLIN},
                            {.fd = client->leader_fd, .events = POLLIN}};
    uint64_t now_ns = client->progress_ns;

    bc_client_unlock(client);
    await(&client->spin, fds, now_ns, deadline_ns);
    bc_client_lock(client);
    if ((fds[1].revents & POLLIN) != 0) {
        bc_progress_drain_fd(client->leader_fd);
    }
    return fds[0].revents != 0;
}

/* Sleeps without the lock, if the link lets it. */
static void sleep_on_asked_locked(struct bc_client *client, struct bc_link *link,
                                  uint64_t deadline_ns)
{
    struct pollfd fds[2] = {{.fd = link->fd, .events = POLLIN},
                            {.fd = client->leader_fd, .events = POLLIN}};
    uint64_t until_ns = deadline_ns;
    struct timespec timeout;

    if (!bc_link_arm(link, &until_ns)) {
        return;
    }
    bc_client_unlock(client);
    timeout = span(bc_now_ns(), until_ns);
    (void)ppoll(fds, BC_ARRAY_LEN(fds), &timeout, NULL);
    bc_client_lock(client);
    if ((fds[1].revents & POLLIN) != 0) {
        bc_progress_drain_fd(client->leader_fd);
    }
}

/* The same as poll_link_locked for a transport that has to be asked, which is done with the lock. */
static bool ask_link_locked(struct bc_client *client, struct bc_link *link,
                            const struct bc_waiter *self, uint64_t deadline_ns)
{
    uint64_t began_ns = client->progress_ns;
    uint64_t now_ns = began_ns;
    bool came = false;

    while (client->link == link && now_ns < deadline_ns && !self->ready(self->arg)) {
        bool again;

        came = bc_link_ask(link);
        if (came) {
            break;
        }
        bc_client_unlock(client);
        again = bc_spin_again(&client->spin, now_ns - began_ns, false);
        bc_client_lock(client);
        if (!again && client->link == link) {
            sleep_on_asked_locked(client, link, deadline_ns);
        }
        now_ns = bc_now_ns();
    }
    bc_spin_learn(&client->spin, bc_now_ns() - began_ns);
    return came;
}

/* Waits for the link, and serves it. */
static void lead_locked(struct bc_client *client, struct bc_waiter *self, uint64_t deadline_ns)
{
    struct bc_link *link = client->link;
    bool came;

    take_over_locked(client);
    client->leader = self;
    bc_link_get(link);
    came = link->engine == NULL ? poll_link_locked(client, link, deadline_ns)
                                : ask_link_locked(client, link, self, deadline_ns);
    client->leader = NULL;
    client->progress_ns = bc_now_ns();
    if (client->link == link && came) {
        bc_session_receive_locked(client);
    }
    bc_link_put(link);
}

static void sleep_locked(struct bc_client *client, struct bc_waiter *self, uint64_t deadline_ns)
{
    struct timespec until = span(0, deadline_ns);

    settle_locked(client);
    (void)pthread_cond_timedwait(&self->wake, &client->lock, &until);
}

static void waiter_init(struct bc_waiter *waiter, bc_ready_fn ready, void *arg)
{
    pthread_condattr_t attributes;

    *waiter = (struct bc_waiter){.ready = ready, .arg = arg};
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&waiter->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

bool bc_progress_wait_locked(struct bc_client *client, bc_ready_fn ready, void *arg,
                             uint64_t deadline_ns)
{
    struct bc_waiter self;
    bool done = ready(arg);

    if (done) {
        return true;
    }
    waiter_init(&self, ready, arg);
    bc_list_push_back(&client->waiters, &self.node);
    while (!done && bc_now_ns() < deadline_ns) {
        if (client->link != NULL && client->leader == NULL) {
            lead_locked(client, &self, deadline_ns);
        } else {
            sleep_locked(client, &self, deadline_ns);
        }
        done = ready(arg);
    }
    bc_list_remove(&client->waiters, &self.node);
    (void)pthread_cond_destroy(&self.wake);
    /* If this was the leader, another one has to be found. */
    if (client->leader == NULL && !bc_list_empty(&client->waiters)) {
        bc_progress_changed_locked(client);
    }
    return done;
}
