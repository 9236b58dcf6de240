/* SPDX-License-Identifier: Apache-2.0 */
/* engine.c - see internal.h. Life and progress of an engine.
 * Memory: slots are allocated once; a connection when it comes. The end of an engine waits for its
 * context; one that does not come to rest is never freed, since DOCA may still name it. */
#include "channel/comch/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel/comch/compat.h"

/* Events of one progress: a fast peer must not keep its caller for ever. */
#define EVENTS_MAX 128u
/* Received messages that DOCA keeps for us between two calls of progress. */
#define RECV_QUEUE 256u

/* How long to sleep though nothing signals: an eighth of the silence so far, so that who polls is
 * hardly ever late by more than that, and an idle one wakes a thousand times a second. A descriptor
 * that told of so many sleeps' events in a row, and missed none, is relied on: who waits for long
 * copies then leaves the processor to them. */
#define SLEEP_PART     8u
#define SLEEP_LEAST_NS (UINT64_C(20) * BC_NS_PER_US)
#define SLEEP_BUSY_NS  (UINT64_C(200) * BC_NS_PER_US)
#define SLEEP_IDLE_NS  BC_NS_PER_MS
#define IDLE_AFTER_NS  BC_NS_PER_S
#define TOLD_ENOUGH    16u

/* A server's context that fell is started again this often. */
#define RESTART_NS (UINT64_C(100) * BC_NS_PER_MS)

static uint64_t now(void)
{
    return bc_clock_now_ns(bc_clock_monotonic());
}

/* ---- life ---------------------------------------------------------------------------------- */

static void close_devices(struct doca_dev *dev, struct doca_dev_rep *rep)
{
    if (rep != NULL) {
        (void)doca_dev_rep_close(rep);
    }
    (void)doca_dev_close(dev);
}

int bc_comch_engine_create(struct doca_dev *dev, struct doca_dev_rep *rep, const char *name,
                           struct bc_engine **engine_out)
{
    struct bc_engine *engine = calloc(1, sizeof(*engine));
    doca_error_t error;

    if (engine == NULL) {
        close_devices(dev, rep);
        return -ENOMEM;
    }
    engine->dev = dev;
    engine->rep = rep;
    bc_list_init(&engine->free_slots);
    bc_list_init(&engine->conns);
    bc_list_init(&engine->waiting);
    bc_list_init(&engine->blocked);
    bc_list_init(&engine->work);
    bc_list_init(&engine->touched);
    engine->traffic_ns = now();
    (void)snprintf(engine->name, sizeof(engine->name), "%s", name);
    error = doca_pe_create(&engine->pe);
    if (error == DOCA_SUCCESS) {
        error = bc_doca_progress_all(engine->pe);
    }
    if (error == DOCA_SUCCESS) {
        error = doca_pe_get_notification_handle(engine->pe, &engine->fd);
    }
    if (error != DOCA_SUCCESS) {
        BC_ERROR("comch", "cannot make a progress engine for %s: %s", name,
                 doca_error_get_descr(error));
        bc_comch_engine_destroy(engine);
        return bc_comch_errno(error);
    }
    *engine_out = engine;
    return 0;
}

static void state_changed_cb(const union doca_data user_data, struct doca_ctx *ctx,
                             enum doca_ctx_states before, enum doca_ctx_states after)
{
    struct bc_engine *engine = user_data.ptr;

    (void)ctx;
    (void)before;
    engine->state = after;
    if (after == DOCA_CTX_STATE_RUNNING || after == DOCA_CTX_STATE_STARTING) {
        return;
    }
    /* The peer is lost, or the context fell: whoever is on it hears of it. */
    for (struct bc_list_node *node = bc_list_first(&engine->conns); node != NULL;
         node = bc_list_next(&engine->conns, node)) {
        struct bc_conn *conn = BC_CONTAINER_OF(node, struct bc_conn, node);

        conn->doca = NULL;
        bc_comch_conn_lost(conn, -ECONNRESET);
    }
}

int bc_comch_engine_connect(struct bc_engine *engine, struct doca_ctx *ctx)
{
    union doca_data user_data = {.ptr = engine};
    doca_error_t error = doca_pe_connect_ctx(engine->pe, ctx);

    engine->ctx = ctx;
    if (error == DOCA_SUCCESS) {
        error = doca_ctx_set_user_data(ctx, user_data);
    }
    if (error == DOCA_SUCCESS) {
        error = doca_ctx_set_state_changed_cb(ctx, state_changed_cb);
    }
    return bc_comch_errno(error);
}

static int create_slots(struct bc_engine *engine, uint32_t count)
{
    engine->slots = calloc(count, sizeof(*engine->slots));
    engine->messages = malloc((size_t)count * engine->message_max);
    if (engine->slots == NULL || engine->messages == NULL) {
        return -ENOMEM;
    }
    engine->slot_count = count;
    for (uint32_t i = 0; i < count; i++) {
        engine->slots[i].message = engine->messages + (size_t)i * engine->message_max;
        bc_list_push_back(&engine->free_slots, &engine->slots[i].node);
    }
    return 0;
}

int bc_comch_engine_size(struct bc_engine *engine, uint32_t tasks_wanted, uint32_t *tasks_out,
                         uint32_t *recv_queue_out)
{
    const struct doca_devinfo *info = doca_dev_as_devinfo(engine->dev);
    uint32_t message_max = 0;
    uint32_t tasks = 0;
    uint32_t recv_queue = 0;

    if (doca_comch_cap_get_max_msg_size(info, &message_max) != DOCA_SUCCESS ||
        doca_comch_cap_get_max_send_tasks(info, &tasks) != DOCA_SUCCESS ||
        doca_comch_cap_get_max_recv_queue_size(info, &recv_queue) != DOCA_SUCCESS ||
        message_max < BC_COMCH_MESSAGE_LEAST || tasks == 0 || recv_queue == 0) {
        BC_ERROR("comch",
                 "the limits of Comch on %s are of no use (messages of %u bytes, %u at once); "
                 "update the BlueField's firmware",
                 engine->name, message_max, tasks);
        return -EOPNOTSUPP;
    }
    engine->message_max = (uint32_t)bc_min_u64(message_max, BC_COMCH_MESSAGE_MAX);
    *tasks_out = (uint32_t)bc_min_u64(tasks, tasks_wanted);
    *recv_queue_out = (uint32_t)bc_min_u64(recv_queue, RECV_QUEUE);
    return create_slots(engine, *tasks_out);
}

/* True: the context is idle, so that it can be destroyed. */
static bool stop_context(struct bc_engine *engine, uint64_t until_ns)
{
    enum doca_ctx_states state = DOCA_CTX_STATE_IDLE;

    if (engine->ctx == NULL || doca_ctx_get_state(engine->ctx, &state) != DOCA_SUCCESS ||
        state == DOCA_CTX_STATE_IDLE) {
        return true;
    }
    if (state != DOCA_CTX_STATE_STOPPING) {
        (void)doca_ctx_stop(engine->ctx); /* what it says is told by the state as well */
    }
    for (;;) {
        while (doca_pe_progress(engine->pe) != 0) {}
        if (doca_ctx_get_state(engine->ctx, &state) != DOCA_SUCCESS ||
            state == DOCA_CTX_STATE_IDLE) {
            return true;
        }
        if (now() >= until_ns) {
            return false;
        }
        bc_comch_engine_wait(engine, -1, until_ns);
    }
}

/* Connections that the user still has go on without their engine; the others end with it. */
static void drop_conns(struct bc_engine *engine)
{
    struct bc_list_node *node;

    while ((node = bc_list_first(&engine->conns)) != NULL) {
        struct bc_conn *conn = BC_CONTAINER_OF(node, struct bc_conn, node);

        bc_comch_conn_lost(conn, -ECONNRESET);
        bc_comch_conn_detach(conn);
    }
}

void bc_comch_engine_destroy(struct bc_engine *engine)
{
    uint64_t until_ns = now() + BC_TRANSPORT_LINGER_MS * BC_NS_PER_MS;
    doca_error_t error = DOCA_SUCCESS;

    engine->ending = true;
    if (!stop_context(engine, until_ns)) {
        BC_WARN("comch", "the context of %s does not stop; what it uses is not freed",
                engine->name);
        drop_conns(engine);
        return;
    }
    drop_conns(engine);
    if (engine->server != NULL) {
        error = doca_comch_server_destroy(engine->server);
    } else if (engine->client != NULL) {
        error = doca_comch_client_destroy(engine->client);
    }
    if (error == DOCA_SUCCESS && engine->pe != NULL) {
        error = doca_pe_destroy(engine->pe);
    }
    if (error != DOCA_SUCCESS) {
        BC_WARN("comch", "the context of %s cannot be destroyed (%s); what it uses is not freed",
                engine->name, doca_error_get_name(error));
        return;
    }
    close_devices(engine->dev, engine->rep);
    free(engine->slots);
    free(engine->messages);
    free(engine);
}

/* ---- what DOCA calls ----------------------------------------------------------------------- */

/* The task came back: its slot is free, and its connection, if it still has one, is told. */
static void task_ended(struct doca_comch_task_send *task, struct bc_comch_slot *slot,
                       struct bc_engine *engine, int error)
{
    struct bc_conn *conn = slot->conn;

    doca_task_free(doca_comch_task_send_as_task(task));
    slot->conn = NULL;
    bc_list_push_front(&engine->free_slots, &slot->node);
    engine->full = false;
    if (conn == NULL) {
        return;
    }
    conn->in_flight--;
    if (error != 0) {
        bc_comch_conn_lost(conn, error);
    }
    if (conn->phase != BC_COMCH_OPEN) {
        bc_comch_conn_work(conn);
    }
}

void bc_comch_sent_cb(struct doca_comch_task_send *task, union doca_data task_user_data,
                      union doca_data ctx_user_data)
{
    task_ended(task, task_user_data.ptr, ctx_user_data.ptr, 0);
}

void bc_comch_send_failed_cb(struct doca_comch_task_send *task, union doca_data task_user_data,
                             union doca_data ctx_user_data)
{
    task_ended(task, task_user_data.ptr, ctx_user_data.ptr, -ECONNRESET);
}

/* Of a connection that its user closed nothing is read but that the peer closed, too. */
static void arrived_late(struct bc_conn *conn, const uint8_t *message, size_t len)
{
    struct bc_comch_header header;

    if (bc_comch_header_decode(message, len, &header) == 0 && header.kind == BC_COMCH_CLOSE) {
        conn->stream.peer_closed = true;
        bc_comch_conn_work(conn);
    }
}

void bc_comch_arrived(struct bc_conn *conn, const uint8_t *message, size_t len)
{
    size_t waited;
    int rc;

    if (conn == NULL || conn->error != 0) {
        return;
    }
    if (conn->phase != BC_COMCH_OPEN) {
        arrived_late(conn, message, len);
        return;
    }
    waited = conn->stream.len;
    rc = bc_comch_stream_arrive(&conn->stream, message, len);
    if (rc != 0) {
        BC_WARN_LIMITED("comch", "%s: dropped: %s", conn->peer,
                        rc == -ENOMEM            ? "out of memory"
                        : rc == -EPROTONOSUPPORT ? "it speaks another version"
                                                 : "it breaks the rules of messages");
        bc_comch_conn_lost(conn, rc);
        conn->leave = true;
        bc_comch_conn_work(conn);
        return;
    }
    if (conn->stream.peer_closed) {
        bc_comch_conn_hang_up(conn);
    } else if (conn->stream.len > waited) {
        bc_comch_conn_touch(conn, POLLIN);
    }
}

/* ---- progress ------------------------------------------------------------------------------ */

static uint32_t drain(struct bc_engine *engine)
{
    bool slept = engine->armed;
    bool told = slept && bc_comch_readable(engine->fd);
    uint32_t events = 0;

    if (slept) {
        engine->armed = false;
        (void)doca_pe_clear_notification(engine->pe, engine->fd);
    }
    while (events < EVENTS_MAX && doca_pe_progress(engine->pe) != 0) {
        events++;
    }
    if (events > 0) {
        engine->traffic_ns = now();
    }
    if (slept && events > 0) {
        engine->told = told ? (uint32_t)bc_min_u64(engine->told + 1, TOLD_ENOUGH) : 0;
    }
    return events;
}

/* A server whose context fell by itself begins anew; its connections are lost already. */
static void restart(struct bc_engine *engine)
{
    uint64_t now_ns = now();
    doca_error_t error;

    if (engine->server == NULL || engine->ending || engine->state != DOCA_CTX_STATE_IDLE ||
        now_ns < engine->restart_ns) {
        return;
    }
    engine->restart_ns = now_ns + RESTART_NS;
    error = doca_ctx_start(engine->ctx);
    if (error == DOCA_SUCCESS || error == DOCA_ERROR_IN_PROGRESS) {
        engine->state = DOCA_CTX_STATE_STARTING; /* until its callback comes */
    }
    BC_WARN_LIMITED("comch", "the service %s stopped by itself; starting it again: %s",
                    engine->name, doca_error_get_name(error));
}

static void run_work(struct bc_engine *engine)
{
    size_t count = engine->work.count;
    uint64_t now_ns = count > 0 ? now() : 0;
    struct bc_list_node *node;

    for (size_t i = 0; i < count && (node = bc_list_pop_front(&engine->work)) != NULL; i++) {
        bc_comch_conn_run(BC_CONTAINER_OF(node, struct bc_conn, work_node), now_ns);
    }
}

static bool unblocks(const struct bc_engine *engine)
{
    for (struct bc_list_node *node = bc_list_first(&engine->blocked); node != NULL;
         node = bc_list_next(&engine->blocked, node)) {
        if (bc_comch_conn_can_send(BC_CONTAINER_OF(node, struct bc_conn, blocked_node))) {
            return true;
        }
    }
    return false;
}

static void unblock(struct bc_engine *engine)
{
    struct bc_list_node *node = bc_list_first(&engine->blocked);

    if (engine->free_slots.count == engine->slot_count) {
        engine->full = false; /* nothing is under way whose end would say so */
    }
    while (node != NULL) {
        struct bc_conn *conn = BC_CONTAINER_OF(node, struct bc_conn, blocked_node);

        node = bc_list_next(&engine->blocked, node);
        if (bc_comch_conn_can_send(conn)) {
            bc_list_remove(&engine->blocked, &conn->blocked_node);
            bc_comch_conn_touch(conn, POLLOUT);
        }
    }
}

/* Connections may be closed by those that are told, also others than theirs. */
static uint32_t report(struct bc_engine *engine)
{
    size_t count = engine->touched.count;
    struct bc_list_node *node;
    uint32_t reported = 0;

    while (reported < count && (node = bc_list_pop_front(&engine->touched)) != NULL) {
        struct bc_conn *conn = BC_CONTAINER_OF(node, struct bc_conn, touched_node);
        uint32_t events = conn->events;

        conn->events = 0;
        reported++;
        conn->ready(conn->ready_arg, events);
    }
    return reported;
}

uint32_t bc_comch_progress(struct bc_engine *engine)
{
    uint32_t done = drain(engine);

    restart(engine);
    run_work(engine);
    unblock(engine);
    return done + report(engine);
}

/* ---- sleeping ------------------------------------------------------------------------------ */

/* What comes while arming is handled here, but reported by the next progress. */
bool bc_comch_arm(struct bc_engine *engine)
{
    uint32_t events = 0;

    if (engine->touched.count > 0 || unblocks(engine)) {
        return false;
    }
    if (doca_pe_request_notification(engine->pe) != DOCA_SUCCESS) {
        return false;
    }
    engine->armed = true;
    while (events < EVENTS_MAX && doca_pe_progress(engine->pe) != 0) {
        events++;
    }
    if (events > 0) {
        engine->traffic_ns = now();
    }
    return events == 0;
}

int bc_comch_engine_fd(const struct bc_engine *engine)
{
    return engine->fd;
}

uint64_t bc_comch_sleep_max_ns(const struct bc_engine *engine)
{
    uint64_t silence_ns = now() - engine->traffic_ns;

    if (silence_ns >= IDLE_AFTER_NS || engine->told == TOLD_ENOUGH) {
        return SLEEP_IDLE_NS;
    }
    return bc_min_u64(bc_max_u64(silence_ns / SLEEP_PART, SLEEP_LEAST_NS), SLEEP_BUSY_NS);
}

bool bc_comch_readable(int fd)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};

    return poll(&pollfd, 1, 0) == 1;
}

void bc_comch_engine_wait(struct bc_engine *engine, int fd, uint64_t until_ns)
{
    struct pollfd fds[2] = {{.fd = engine->fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    uint64_t now_ns = now();
    uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec timeout = {.tv_nsec = (long)bc_min_u64(left_ns, bc_comch_sleep_max_ns(engine))};

    if (bc_comch_arm(engine)) {
        (void)ppoll(fds, BC_ARRAY_LEN(fds), &timeout, NULL);
    }
}
