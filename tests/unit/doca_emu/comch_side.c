/* SPDX-License-Identifier: Apache-2.0 */
/* comch_side.c - see comch_side.h. */
#include "comch_side.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS 20000u

static char world_dir[64];

static void remove_world(void)
{
    DIR *dir = opendir(world_dir);
    for (const struct dirent *entry = dir == NULL ? NULL : readdir(dir); entry != NULL;
         entry = readdir(dir)) {
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    }
    if (dir != NULL) {
        closedir(dir);
    }
    (void)rmdir(world_dir);
}

void side_world(void)
{
    char world[32];
    snprintf(world_dir, sizeof(world_dir), "/tmp/comch-test-XXXXXX");
    assert_non_null(mkdtemp(world_dir));
    snprintf(world, sizeof(world), "comch-test-%d", (int)getpid());
    assert_int_equal(setenv("DOCA_EMU_RUNTIME_DIR", world_dir, 1), 0);
    assert_int_equal(setenv("DOCA_EMU_WORLD", world, 1), 0);
    assert_int_equal(atexit(remove_world), 0);
}

/* --- callbacks --------------------------------------------------------------------------------- */

static struct side *side_of(const struct doca_ctx *ctx)
{
    union doca_data data = {.ptr = NULL};
    assert_ok(doca_ctx_get_user_data(ctx, &data));
    return data.ptr;
}

static struct side *side_of_conn(const struct doca_comch_connection *conn)
{
    struct doca_comch_server *server = doca_comch_server_get_server_ctx(conn);
    struct doca_comch_client *client = doca_comch_client_get_client_ctx(conn);
    assert_true((server == NULL) != (client == NULL));
    return side_of(server != NULL ? doca_comch_server_as_ctx(server)
                                  : doca_comch_client_as_ctx(client));
}

static void state_cb(const union doca_data user_data, struct doca_ctx *ctx,
                     enum doca_ctx_states prev, enum doca_ctx_states next)
{
    struct side *side = user_data.ptr;
    (void)ctx;
    assert_true(prev != next);
    assert_in_range(side->num_states, 0, SIDE_STATES - 1);
    side->states[side->num_states++] = next;
    side->events++;
}

static void count_send(struct doca_comch_task_send *send, union doca_data ctx_user_data,
                       unsigned *counter)
{
    struct side *side = ctx_user_data.ptr;
    struct doca_task *task = doca_comch_task_send_as_task(send);
    side->last_status = doca_task_get_status(task);
    side->events++;
    (*counter)++;
    if (side->hooks.done != NULL) {
        side->hooks.done(side, task);
    } else {
        doca_task_free(task);
    }
}

static void done_cb(struct doca_comch_task_send *task, union doca_data task_user_data,
                    union doca_data ctx_user_data)
{
    (void)task_user_data;
    count_send(task, ctx_user_data, &((struct side *)ctx_user_data.ptr)->done);
}

static void error_cb(struct doca_comch_task_send *task, union doca_data task_user_data,
                     union doca_data ctx_user_data)
{
    (void)task_user_data;
    count_send(task, ctx_user_data, &((struct side *)ctx_user_data.ptr)->failed);
}

static void recv_cb(struct doca_comch_event_msg_recv *event, uint8_t *recv_buffer, uint32_t msg_len,
                    struct doca_comch_connection *conn)
{
    struct side *side = side_of_conn(conn);
    assert_non_null(event);
    side->events++;
    side->mismatches += !check_pattern(recv_buffer, msg_len, side->messages);
    side->messages++;
    side->last_len = msg_len;
    side->last_buffer = recv_buffer;
    if (side->hooks.message != NULL) {
        side->hooks.message(side, conn, recv_buffer, msg_len);
    }
}

static void connect_cb(struct doca_comch_event_connection_status_changed *event,
                       struct doca_comch_connection *conn, uint8_t change_successful)
{
    struct side *side = side_of_conn(conn);
    assert_non_null(event);
    side->events++;
    if (!change_successful) {
        side->refused++;
        return;
    }
    assert_in_range(side->connects, 0, SIDE_CONNS - 1);
    side->conns[side->connects++] = conn;
    assert_ok(doca_comch_connection_set_user_data(conn, (union doca_data){.u64 = side->connects}));
}

static void disconnect_cb(struct doca_comch_event_connection_status_changed *event,
                          struct doca_comch_connection *conn, uint8_t change_successful)
{
    struct side *side = side_of_conn(conn);
    assert_non_null(event);
    assert_true(change_successful);
    uint64_t number = doca_comch_connection_get_user_data(conn).u64;
    assert_in_range(number, 1, SIDE_CONNS);
    side->conns[number - 1] = NULL;
    side->events++;
    side->disconnects++;
}

/* --- making ------------------------------------------------------------------------------------ */

static void make_engine(struct side *side, struct doca_ctx *ctx)
{
    side->ctx = ctx;
    assert_ok(doca_pe_create(&side->pe));
    assert_ok(doca_pe_connect_ctx(side->pe, ctx));
    assert_ok(doca_ctx_set_user_data(ctx, (union doca_data){.ptr = side}));
    assert_ok(doca_ctx_set_state_changed_cb(ctx, state_cb));
}

void side_make_server(struct side *side, const char *name)
{
    struct doca_devinfo_rep **list = NULL;
    uint32_t count = 0;
    memset(side, 0, sizeof(*side));
    side->dev = open_device(DPU_PCI);
    assert_non_null(side->dev);
    assert_ok(doca_devinfo_rep_create_list(side->dev, DOCA_DEVINFO_REP_FILTER_NET, &list, &count));
    assert_in_range(count, 1, 64);
    assert_ok(doca_dev_rep_open(list[0], &side->rep));
    assert_ok(doca_devinfo_rep_destroy_list(list));
    assert_ok(doca_comch_server_create(side->dev, side->rep, name, &side->server));
    make_engine(side, doca_comch_server_as_ctx(side->server));
    assert_ok(doca_comch_server_task_send_set_conf(side->server, done_cb, error_cb, 64));
    assert_ok(doca_comch_server_event_msg_recv_register(side->server, recv_cb));
    assert_ok(doca_comch_server_event_connection_status_changed_register(side->server, connect_cb,
                                                                         disconnect_cb));
}

void side_make_client(struct side *side, const char *name)
{
    const char *pci = getenv("COMCH_SIDE_CLIENT");
    memset(side, 0, sizeof(*side));
    side->dev = open_device(pci != NULL ? pci : HOST_PCI);
    assert_non_null(side->dev);
    assert_ok(doca_comch_client_create(side->dev, name, &side->client));
    make_engine(side, doca_comch_client_as_ctx(side->client));
    assert_ok(doca_comch_client_task_send_set_conf(side->client, done_cb, error_cb, 64));
    assert_ok(doca_comch_client_event_msg_recv_register(side->client, recv_cb));
}

void side_end(struct side *side, struct side *other)
{
    if (side_state(side) != DOCA_CTX_STATE_IDLE) {
        doca_error_t result = doca_ctx_stop(side->ctx);
        assert_true(result == DOCA_SUCCESS || result == DOCA_ERROR_IN_PROGRESS);
        sides_wait_state(side, other, DOCA_CTX_STATE_IDLE);
    }
    if (side->server != NULL) {
        assert_ok(doca_comch_server_destroy(side->server));
        assert_ok(doca_dev_rep_close(side->rep));
    } else {
        assert_ok(doca_comch_client_destroy(side->client));
    }
    assert_ok(doca_pe_destroy(side->pe));
    assert_ok(doca_dev_close(side->dev));
}

/* --- waiting ----------------------------------------------------------------------------------- */

enum doca_ctx_states side_state(const struct side *side)
{
    enum doca_ctx_states state = DOCA_CTX_STATE_IDLE;
    assert_ok(doca_ctx_get_state(side->ctx, &state));
    return state;
}

void side_run(struct side *side)
{
    /* Longer than a polling side takes to look at its sockets. */
    uint64_t end = now_ms() + 2;
    while (now_ms() < end) {
        (void)doca_pe_progress(side->pe);
    }
}

static void progress_both(struct side *a, struct side *b, uint64_t deadline)
{
    uint8_t handled = doca_pe_progress(a->pe);
    if (b != NULL) {
        handled |= doca_pe_progress(b->pe);
    }
    if (!handled) {
        assert_true(now_ms() < deadline);
        sched_yield();
    }
}

void sides_wait(struct side *a, struct side *b, const unsigned *value, unsigned wanted)
{
    uint64_t deadline = now_ms() + WAIT_MS;
    while (*value < wanted) {
        progress_both(a, b, deadline);
    }
}

void sides_wait_state(struct side *a, struct side *b, enum doca_ctx_states wanted_of_a)
{
    uint64_t deadline = now_ms() + WAIT_MS;
    while (side_state(a) != wanted_of_a) {
        progress_both(a, b, deadline);
    }
}

void sides_connect(struct side *server, struct side *client)
{
    unsigned connects = server->connects + 1;
    if (side_state(server) == DOCA_CTX_STATE_IDLE) {
        assert_ok(doca_ctx_start(server->ctx));
    }
    assert_doca(doca_ctx_start(client->ctx), DOCA_ERROR_IN_PROGRESS);
    sides_wait_state(client, server, DOCA_CTX_STATE_RUNNING);
    sides_wait(client, server, &server->connects, connects);
}

/* --- sending ----------------------------------------------------------------------------------- */

struct doca_comch_connection *side_peer(struct side *side)
{
    struct doca_comch_connection *conn = NULL;
    if (side->client != NULL) {
        assert_ok(doca_comch_client_get_connection(side->client, &conn));
        return conn;
    }
    for (unsigned i = 0; i < SIDE_CONNS && conn == NULL; i++) {
        conn = side->conns[i];
    }
    assert_non_null(conn);
    return conn;
}

doca_error_t side_alloc(struct side *side, struct doca_comch_connection *peer, const void *msg,
                        uint32_t len, struct doca_comch_task_send **task)
{
    return side->server != NULL
               ? doca_comch_server_task_send_alloc_init(side->server, peer, msg, len, task)
               : doca_comch_client_task_send_alloc_init(side->client, peer, msg, len, task);
}

doca_error_t side_try_send(struct side *side, struct doca_comch_connection *peer, const void *msg,
                           uint32_t len)
{
    struct doca_comch_task_send *send = NULL;
    doca_error_t result = side_alloc(side, peer, msg, len, &send);
    if (result == DOCA_SUCCESS) {
        struct doca_task *task = doca_comch_task_send_as_task(send);
        result = doca_task_submit(task);
        if (result != DOCA_SUCCESS) {
            doca_task_free(task);
        }
    }
    return result;
}

void side_send(struct side *side, uint32_t n, uint32_t len)
{
    static uint8_t messages[256][4096];
    uint8_t *message = messages[n % 256];
    assert_in_range(len, 1, sizeof(messages[0]));
    fill_pattern(message, len, n);
    assert_ok(side_try_send(side, side_peer(side), message, len));
}
