/* SPDX-License-Identifier: Apache-2.0 */
/* client.c - see internal.h. A connection made by connect is alone on an engine whose context is a
 * client of Comch. */
#include "channel/comch/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TASKS_WANTED   72u /* what one connection may have under way, and some for the window */
#define CONNECT_MS_MAX UINT64_C(86400000)

static void received_cb(struct doca_comch_event_msg_recv *event, uint8_t *message, uint32_t len,
                        struct doca_comch_connection *connection)
{
    struct doca_comch_client *client = doca_comch_client_get_client_ctx(connection);
    union doca_data user_data = {.ptr = NULL};
    struct bc_engine *engine;
    struct bc_list_node *node;

    (void)event;
    if (client == NULL ||
        doca_ctx_get_user_data(doca_comch_client_as_ctx(client), &user_data) != DOCA_SUCCESS) {
        return;
    }
    engine = user_data.ptr;
    /* A server that refuses speaks at once, before connect sees that the context runs. */
    if (bc_list_empty(&engine->conns) && !engine->ending) {
        (void)bc_comch_conn_create(engine, connection);
    }
    node = bc_list_first(&engine->conns);
    bc_comch_arrived(node == NULL ? NULL : BC_CONTAINER_OF(node, struct bc_conn, node), message,
                     len);
}

static doca_error_t configure(struct bc_engine *engine, uint32_t tasks, uint32_t recv_queue)
{
    struct doca_comch_client *client = engine->client;
    doca_error_t error = doca_comch_client_set_max_msg_size(client, engine->message_max);

    if (error == DOCA_SUCCESS) {
        error = doca_comch_client_set_recv_queue_size(client, recv_queue);
    }
    if (error == DOCA_SUCCESS) {
        error = doca_comch_client_task_send_set_conf(client, bc_comch_sent_cb,
                                                     bc_comch_send_failed_cb, tasks);
    }
    if (error == DOCA_SUCCESS) {
        error = doca_comch_client_event_msg_recv_register(client, received_cb);
    }
    return error;
}

static int start_failed(const struct bc_engine *engine, doca_error_t error)
{
    int rc = bc_comch_errno(error);

    /* Repeated for every attempt to come back: errors that the caller tells are not logged twice. */
    if (rc == -EACCES) {
        BC_WARN_LIMITED("comch",
                        "no permission for %s: run as root or as a member of the group mlnx",
                        engine->name);
    } else if (rc != -ECONNREFUSED) {
        BC_WARN_LIMITED("comch",
                        "cannot connect to %s (%s): see that DPU and host run the same release of "
                        "DOCA, and dmesg",
                        engine->name, doca_error_get_descr(error));
    }
    return rc;
}

static int start(struct bc_engine *engine, const char *service)
{
    uint32_t tasks = 0;
    uint32_t recv_queue = 0;
    doca_error_t error;
    int rc = bc_comch_engine_size(engine, TASKS_WANTED, &tasks, &recv_queue);

    if (rc != 0) {
        return rc;
    }
    error = doca_comch_client_create(engine->dev, service, &engine->client);
    if (error != DOCA_SUCCESS) {
        engine->client = NULL;
        return start_failed(engine, error);
    }
    rc = bc_comch_engine_connect(engine, doca_comch_client_as_ctx(engine->client));
    if (rc != 0) {
        return rc;
    }
    error = configure(engine, tasks, recv_queue);
    if (error == DOCA_SUCCESS) {
        error = doca_ctx_start(engine->ctx);
    }
    if (error != DOCA_SUCCESS && error != DOCA_ERROR_IN_PROGRESS) {
        return start_failed(engine, error);
    }
    return 0;
}

/* Until the context runs: 0. It falls back to rest when nobody serves the name. */
static int wait_running(struct bc_engine *engine, int stop_fd, uint64_t until_ns)
{
    for (;;) {
        enum doca_ctx_states state = DOCA_CTX_STATE_IDLE;

        (void)bc_comch_progress(engine);
        if (doca_ctx_get_state(engine->ctx, &state) != DOCA_SUCCESS) {
            return -EIO;
        }
        if (state == DOCA_CTX_STATE_RUNNING || !bc_list_empty(&engine->conns)) {
            return 0;
        }
        if (state == DOCA_CTX_STATE_IDLE) {
            return -ECONNREFUSED;
        }
        if (bc_comch_readable(stop_fd)) {
            return -ECANCELED;
        }
        if (bc_clock_now_ns(bc_clock_monotonic()) >= until_ns) {
            return -ETIMEDOUT;
        }
        bc_comch_engine_wait(engine, stop_fd, until_ns);
    }
}

static int take_connection(struct bc_engine *engine, struct bc_conn **conn_out)
{
    struct doca_comch_connection *connection = NULL;
    struct bc_list_node *node = bc_list_first(&engine->conns);
    struct bc_conn *conn;
    doca_error_t error;

    if (node != NULL) {
        *conn_out = BC_CONTAINER_OF(node, struct bc_conn, node);
        return 0;
    }
    error = doca_comch_client_get_connection(engine->client, &connection);
    if (error != DOCA_SUCCESS) {
        return bc_comch_errno(error);
    }
    conn = bc_comch_conn_create(engine, connection);
    if (conn == NULL) {
        return -ENOMEM;
    }
    *conn_out = conn;
    return 0;
}

int bc_comch_connect(const char *text, uint64_t timeout_ms, int stop_fd, struct bc_conn **conn_out)
{
    uint64_t until_ns = bc_clock_now_ns(bc_clock_monotonic()) +
                        bc_min_u64(timeout_ms, CONNECT_MS_MAX) * BC_NS_PER_MS;
    char name[BC_COMCH_NAME_LEN];
    struct bc_comch_address address;
    struct bc_engine *engine;
    struct doca_dev *dev;
    int rc = bc_comch_address_parse(text, false, &address);

    if (rc != 0) {
        return rc;
    }
    rc = bc_comch_device_open(&address, false, &dev);
    if (rc != 0) {
        return rc;
    }
    (void)snprintf(name, sizeof(name), "comch:%s/%s", address.device, address.service);
    rc = bc_comch_engine_create(dev, NULL, name, &engine);
    if (rc != 0) {
        return rc;
    }
    rc = start(engine, address.service);
    if (rc == 0) {
        rc = wait_running(engine, stop_fd, until_ns);
    }
    if (rc == 0) {
        rc = take_connection(engine, conn_out);
    }
    if (rc != 0) {
        bc_comch_engine_destroy(engine);
    }
    return rc;
}
