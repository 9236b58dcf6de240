/* SPDX-License-Identifier: Apache-2.0 */
/* comch_conn.c - connections of a server or a client: sending, and what a progress call reports.
 * Polling costs no system call, but for a look at the sockets every LOOK_NS: that is how soon a
 * polling side notices that a peer came or went. While armed every call looks. */
#include "comch.h"

#include "faults.h"
#include "pe.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define POISON(addr, len)   ASAN_POISON_MEMORY_REGION(addr, len)
#define UNPOISON(addr, len) ASAN_UNPOISON_MEMORY_REGION(addr, len)
#else
#define POISON(addr, len)   ((void)(addr), (void)(len))
#define UNPOISON(addr, len) ((void)(addr), (void)(len))
#endif

#define LOOK_NS     20000u
#define LOOK_EVENTS 16
#define POISON_BYTE 0xdb
#define PIDFD_TAG   UINT64_C(1) /* in the low bit of a connection's address */

/* --- the buffer and the list ------------------------------------------------------------------------------- */

bool emu_comch_new_rx(struct emu_comch *comch)
{
    emu_comch_free_rx(comch);
    comch->rx = malloc(comch->max_msg);
    comch->rx_size = comch->max_msg;
    return comch->rx != NULL;
}

void emu_comch_free_rx(struct emu_comch *comch)
{
    if (comch->rx != NULL) {
        UNPOISON(comch->rx, comch->rx_size);
        free(comch->rx);
        comch->rx = NULL;
    }
}

void emu_comch_unwatch(struct emu_comch *comch, int fd)
{
    (void)epoll_ctl(comch->set, EPOLL_CTL_DEL, fd, NULL);
}

bool emu_comch_watch(struct emu_comch *comch, int fd, void *tag)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = tag};
    return epoll_ctl(comch->set, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void unwatch(struct doca_comch_connection *conn)
{
    emu_comch_unwatch(conn->owner, conn->fd);
    if (conn->link.fd >= 0 && conn->link.pidfd >= 0) {
        emu_comch_unwatch(conn->owner, conn->link.pidfd);
    }
}

struct doca_comch_connection *emu_comch_add(struct emu_comch *comch, int fd)
{
    struct doca_comch_connection *conn = calloc(1, sizeof(*conn));
    if (conn == NULL || !emu_comch_watch(comch, fd, conn)) {
        free(conn);
        return NULL;
    }
    conn->owner = comch;
    conn->state = EMU_COMCH_HELLO;
    conn->fd = fd;
    conn->link.fd = -1;
    conn->next = comch->conns;
    comch->conns = conn;
    comch->num_conns++;
    return conn;
}

void emu_comch_open(struct doca_comch_connection *conn)
{
    struct emu_comch *comch = conn->owner;
    conn->state = EMU_COMCH_OPEN;
    if (conn->link.pidfd >= 0) {
        (void)emu_comch_watch(comch, conn->link.pidfd, (void *)((uintptr_t)conn | PIDFD_TAG));
    }
    if (comch->armed) {
        emu_link_want(&conn->link, EMU_LINK_WAKE_MESSAGE);
    }
}

void emu_comch_fail_waiting(struct doca_comch_connection *conn, doca_error_t status)
{
    for (struct doca_task *task = conn->waiting.first; task != NULL; task = task->next) {
        task->status = status;
    }
    emu_task_list_join(&conn->owner->done, &conn->waiting);
    conn->num_waiting = 0;
    if (conn->owner->armed && conn->owner->done.first != NULL) {
        emu_pe_kick(conn->owner->ctx.pe);
    }
}

void emu_comch_remove(struct doca_comch_connection *conn, doca_error_t status)
{
    struct emu_comch *comch = conn->owner;
    struct doca_comch_connection **link = &comch->conns;
    bool forked = getpid() != comch->pid;
    while (*link != conn) {
        link = &(*link)->next;
    }
    *link = conn->next;
    comch->num_conns--;
    emu_comch_fail_waiting(conn, status);
    if (conn->state != EMU_COMCH_LOST) {
        unwatch(conn);
    }
    if (conn->link.fd >= 0) {
        emu_link_close(&conn->link, forked);
    } else {
        close(conn->fd);
    }
    conn->state = EMU_COMCH_CLOSED;
    conn->next = comch->closed;
    comch->closed = conn;
}

void emu_comch_free_closed(struct emu_comch *comch)
{
    struct doca_comch_connection **link = &comch->closed;
    while (*link != NULL) {
        struct doca_comch_connection *conn = *link;
        if (conn->tasks == 0) {
            *link = conn->next;
            free(conn);
        } else {
            link = &conn->next;
        }
    }
}

/* What it had sent is still reported, then the role's finish() is called. */
static void lose(struct doca_comch_connection *conn)
{
    if (conn->state == EMU_COMCH_OPEN) {
        unwatch(conn);
        conn->state = EMU_COMCH_LOST;
        emu_comch_fail_waiting(conn, DOCA_ERROR_CONNECTION_RESET);
    }
}

/* --- sending ----------------------------------------------------------------------------------- */

doca_error_t emu_comch_admit(const struct doca_task *task)
{
    const struct doca_comch_connection *conn = ((const struct doca_comch_task_send *)task)->conn;
    if (emu_fault_strikes(DOCA_EMU_FAULT_COMCH_SEND_AGAIN) ||
        conn->num_waiting >= conn->owner->max_waiting) {
        return DOCA_ERROR_AGAIN;
    }
    return DOCA_SUCCESS;
}

static void set_done(struct doca_comch_task_send *send, doca_error_t status)
{
    struct doca_comch_connection *conn = send->conn;
    send->task.status = status;
    if (status == DOCA_SUCCESS) {
        conn->counters[DOCA_COMCH_COUNTER_SENT_MESSAGES]++;
        conn->counters[DOCA_COMCH_COUNTER_SENT_BYTES] += send->len;
    }
    emu_task_list_add(&conn->owner->done, &send->task);
}

/* Hands over what waited, as far as there is room. */
static void send_waiting(struct doca_comch_connection *conn)
{
    while (conn->waiting.first != NULL) {
        struct doca_comch_task_send *send = (struct doca_comch_task_send *)conn->waiting.first;
        enum emu_link_result result = emu_link_send(&conn->link, send->msg, send->len);
        if (result == EMU_LINK_BROKEN) {
            lose(conn);
        }
        if (result != EMU_LINK_OK) {
            return;
        }
        (void)emu_task_list_pop(&conn->waiting);
        conn->num_waiting--;
        set_done(send, DOCA_SUCCESS);
    }
}

static uint32_t wants_of(const struct doca_comch_connection *conn)
{
    return EMU_LINK_WAKE_MESSAGE | (conn->waiting.first != NULL ? EMU_LINK_WAKE_SPACE : 0);
}

static void send_one(struct doca_comch_task_send *send)
{
    struct doca_comch_connection *conn = send->conn;
    if (conn->state != EMU_COMCH_OPEN) {
        set_done(send, DOCA_ERROR_CONNECTION_RESET);
        return;
    }
    if (emu_fault_strikes(DOCA_EMU_FAULT_COMCH_SEND_FAILED)) {
        set_done(send, DOCA_ERROR_IO_FAILED);
        return;
    }
    if (emu_fault_strikes(DOCA_EMU_FAULT_COMCH_CRASH)) {
        raise(SIGKILL);
    }
    emu_task_list_add(&conn->waiting, &send->task);
    conn->num_waiting++;
    if (emu_fault_strikes(DOCA_EMU_FAULT_COMCH_DROP)) {
        (void)shutdown(conn->fd, SHUT_RDWR);
        lose(conn);
        return;
    }
    if (conn->num_waiting == 1) {
        send_waiting(conn);
    }
    if (conn->owner->armed && conn->state == EMU_COMCH_OPEN && conn->waiting.first != NULL) {
        emu_link_want(&conn->link, wants_of(conn));
        send_waiting(conn);
    }
}

void emu_comch_submit(struct doca_ctx *ctx, struct emu_task_list tasks)
{
    struct emu_comch *comch = emu_comch_of(ctx);
    struct doca_task *task = emu_task_list_pop(&tasks);
    while (task != NULL) {
        if (atomic_load_explicit(&ctx->flushing, memory_order_relaxed)) {
            set_done((struct doca_comch_task_send *)task, DOCA_ERROR_IO_FAILED);
        } else {
            send_one((struct doca_comch_task_send *)task);
        }
        task = emu_task_list_pop(&tasks);
    }
    if (comch->armed && comch->done.first != NULL) {
        emu_pe_kick(ctx->pe);
    }
}

/* --- receiving --------------------------------------------------------------------------------- */

/* The buffer is the callback's only as long as it runs. The context may be gone afterwards. */
static void report_message(struct doca_comch_connection *conn, uint32_t len)
{
    struct emu_comch *comch = conn->owner;
    uint8_t *rx = comch->rx;
    uint32_t size = comch->rx_size;
    bool gone = false;
    comch->rx = NULL;
    comch->gone = &gone;
    POISON(rx + len, size - len);
    comch->recv_cb((struct doca_comch_event_msg_recv *)conn, rx, len, conn);
    memset(rx, POISON_BYTE, len);
    if (gone) {
        UNPOISON(rx, size);
        free(rx);
        return;
    }
    POISON(rx, size);
    comch->rx = rx;
    comch->gone = NULL;
}

static bool held_back(struct doca_comch_connection *conn)
{
    uint64_t delay_us = emu_fault_value(DOCA_EMU_FAULT_COMCH_EVENT_DELAY);
    if (delay_us == 0 || !emu_link_has_message(&conn->link)) {
        return false;
    }
    uint64_t now = emu_now_ns();
    conn->seen_ns = conn->seen_ns == 0 ? now : conn->seen_ns;
    if (now - conn->seen_ns < delay_us * 1000) {
        return true;
    }
    conn->seen_ns = 0;
    return false;
}

static void move_to_end(struct doca_comch_connection *conn)
{
    struct doca_comch_connection **link = &conn->owner->conns;
    if (conn->next == NULL) {
        return;
    }
    while (*link != conn) {
        link = &(*link)->next;
    }
    *link = conn->next;
    while (*link != NULL) {
        link = &(*link)->next;
    }
    *link = conn;
    conn->next = NULL;
}

/* True when something was reported. */
static bool poll_conn(struct doca_comch_connection *conn)
{
    struct emu_comch *comch = conn->owner;
    uint32_t len = 0;
    if (conn->state == EMU_COMCH_OPEN && conn->waiting.first != NULL) {
        send_waiting(conn);
    }
    if (held_back(conn)) {
        return false;
    }
    UNPOISON(comch->rx, comch->rx_size);
    enum emu_link_result result = emu_link_receive(&conn->link, comch->rx, &len);
    if (result == EMU_LINK_OK) {
        conn->counters[DOCA_COMCH_COUNTER_RECV_MESSAGES]++;
        conn->counters[DOCA_COMCH_COUNTER_RECV_BYTES] += len;
        move_to_end(conn);
        report_message(conn, len);
        return true;
    }
    POISON(comch->rx, comch->rx_size);
    if (result == EMU_LINK_BROKEN) {
        emu_log(DOCA_LOG_LEVEL_ERROR, "comch: the peer of %s does not keep to the protocol",
                comch->name);
        lose(conn);
    }
    /* Failed tasks first: afterwards the user may free what belongs to the connection. */
    if (conn->state == EMU_COMCH_LOST && comch->done.first == NULL) {
        comch->role->finish(conn);
        return true;
    }
    return false;
}

/* In order; who reported something is the last at the next call. */
static bool poll_conns(struct emu_comch *comch)
{
    for (struct doca_comch_connection *conn = comch->conns; conn != NULL; conn = conn->next) {
        bool ready = conn->state == EMU_COMCH_LOST ||
                     (conn->state == EMU_COMCH_OPEN &&
                      (conn->waiting.first != NULL || emu_link_has_message(&conn->link)));
        if (ready && poll_conn(conn)) {
            return true;
        }
    }
    return false;
}

/* --- the sockets ------------------------------------------------------------------------------- */

/* Sets the wake word, also when a peer took it away. */
static void want(struct doca_comch_connection *conn)
{
    emu_link_want(&conn->link, conn->owner->armed ? wants_of(conn) : 0);
}

/* True when something was reported. */
static bool look_at(struct emu_comch *comch, const struct epoll_event *event)
{
    if (event->data.ptr == comch) {
        comch->role->greet(comch);
        return false;
    }
    struct doca_comch_connection *conn =
        (struct doca_comch_connection *)(uintptr_t)(event->data.u64 & ~PIDFD_TAG);
    if (conn->state == EMU_COMCH_HELLO) {
        return comch->role->shake(conn);
    }
    if (conn->state != EMU_COMCH_OPEN) {
        return false;
    }
    if ((event->data.u64 & PIDFD_TAG) != 0 || (event->events & (EPOLLHUP | EPOLLERR)) != 0) {
        lose(conn);
        return false;
    }
    want(conn); /* first, so that the bell which is heard is the one of the word taken away */
    if (!emu_link_hear(&conn->link)) {
        lose(conn);
    }
    return false;
}

static bool look(struct emu_comch *comch)
{
    struct epoll_event events[LOOK_EVENTS];
    uint64_t now = emu_now_ns();
    if (!comch->armed && now - comch->looked_ns < LOOK_NS) {
        return false;
    }
    comch->looked_ns = now;
    int count = epoll_wait(comch->set, events, LOOK_EVENTS, 0);
    for (int i = 0; i < count; i++) {
        if (look_at(comch, &events[i])) {
            return true; /* the others are still ready at the next look */
        }
    }
    return false;
}

static void want_of_all(struct emu_comch *comch)
{
    for (struct doca_comch_connection *conn = comch->conns; conn != NULL; conn = conn->next) {
        if (conn->state == EMU_COMCH_OPEN) {
            want(conn);
            if (conn->link.bell_owed) {
                (void)emu_link_hear(&conn->link); /* an end is seen by the next look */
            }
        }
    }
}

/* --- operations of the context ----------------------------------------------------------------- */

static bool report_done(struct emu_comch *comch)
{
    struct doca_task *task = emu_task_list_pop(&comch->done);
    if (task == NULL) {
        return false;
    }
    emu_pe_report(task);
    return true;
}

bool emu_comch_progress(struct doca_ctx *ctx)
{
    struct emu_comch *comch = emu_comch_of(ctx);
    if (comch->closed != NULL) {
        emu_comch_free_closed(comch);
    }
    comch->done_first = !comch->done_first;
    if (comch->done_first && report_done(comch)) {
        return true;
    }
    if (poll_conns(comch) || report_done(comch) || look(comch)) {
        return true;
    }
    /* A look sets wake words again: what came before that had no bell. */
    return comch->armed && (poll_conns(comch) || report_done(comch));
}

bool emu_comch_pending(const struct doca_ctx *ctx)
{
    const struct emu_comch *comch = emu_comch_of(ctx);
    if (!comch->events || ctx->state == DOCA_CTX_STATE_IDLE) {
        return false;
    }
    bool found = comch->done.first != NULL;
    for (const struct doca_comch_connection *conn = comch->conns; conn != NULL && !found;
         conn = conn->next) {
        found = conn->state == EMU_COMCH_LOST ||
                (conn->state == EMU_COMCH_OPEN &&
                 (emu_link_has_message(&conn->link) ||
                  (conn->waiting.first != NULL && emu_link_has_space(&conn->link))));
    }
    return found;
}

void emu_comch_arm(struct doca_ctx *ctx, bool armed)
{
    struct emu_comch *comch = emu_comch_of(ctx);
    if (comch->events && (armed || comch->armed)) {
        comch->armed = armed;
        want_of_all(comch);
    }
}
