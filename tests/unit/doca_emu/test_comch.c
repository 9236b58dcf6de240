/* SPDX-License-Identifier: Apache-2.0 */
/* test_comch.c - Comch: capabilities, configuration, life cycle and connections. Both sides are in
 * this process, each with a progress engine of its own, so that every step is the test's. */
#include "comch_side.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void no_recv(struct doca_comch_event_msg_recv *event, uint8_t *recv_buffer, uint32_t msg_len,
                    struct doca_comch_connection *conn)
{
    (void)event;
    (void)recv_buffer;
    (void)msg_len;
    (void)conn;
}

static void no_change(struct doca_comch_event_connection_status_changed *event,
                      struct doca_comch_connection *conn, uint8_t change_successful)
{
    (void)event;
    (void)conn;
    (void)change_successful;
}

static void no_consumer(struct doca_comch_event_consumer *event, struct doca_comch_connection *conn,
                        uint32_t id)
{
    (void)event;
    (void)conn;
    (void)id;
}

static void no_send(struct doca_comch_task_send *task, union doca_data task_user_data,
                    union doca_data ctx_user_data)
{
    (void)task;
    (void)task_user_data;
    (void)ctx_user_data;
}

/* --- capabilities and configuration ------------------------------------------------------------ */

static void capabilities_are_told_and_can_be_set(void **state)
{
    uint32_t value = 0;
    (void)state;
    struct doca_dev *dpu = open_device(DPU_PCI);
    struct doca_dev *host = open_device(HOST_PCI);
    const struct doca_devinfo *info = doca_dev_as_devinfo(dpu);
    assert_ok(doca_comch_cap_server_is_supported(info));
    assert_doca(doca_comch_cap_client_is_supported(info), DOCA_ERROR_NOT_SUPPORTED);
    assert_doca(doca_comch_cap_server_is_supported(doca_dev_as_devinfo(host)),
                DOCA_ERROR_NOT_SUPPORTED);
    assert_ok(doca_comch_cap_client_is_supported(doca_dev_as_devinfo(host)));
    assert_ok(doca_comch_cap_get_max_msg_size(info, &value));
    assert_int_equal(value, 4080);
    assert_int_equal(setenv("DOCA_EMU_COMCH_MAX_MSG", "256", 1), 0);
    assert_int_equal(setenv("DOCA_EMU_COMCH_RECV_QUEUE", "5", 1), 0);
    assert_int_equal(setenv("DOCA_EMU_COMCH_MAX_CLIENTS", "6", 1), 0);
    assert_int_equal(setenv("DOCA_EMU_COMCH_SEND_TASKS", "7", 1), 0);
    assert_ok(doca_comch_cap_get_max_msg_size(info, &value));
    assert_int_equal(value, 256);
    assert_ok(doca_comch_cap_get_max_recv_queue_size(info, &value));
    assert_int_equal(value, 5);
    assert_ok(doca_comch_cap_get_max_clients(info, &value));
    assert_int_equal(value, 6);
    assert_ok(doca_comch_cap_get_max_send_tasks(info, &value));
    assert_int_equal(value, 7);
    assert_int_equal(unsetenv("DOCA_EMU_COMCH_MAX_MSG"), 0);
    assert_int_equal(unsetenv("DOCA_EMU_COMCH_RECV_QUEUE"), 0);
    assert_int_equal(unsetenv("DOCA_EMU_COMCH_MAX_CLIENTS"), 0);
    assert_int_equal(unsetenv("DOCA_EMU_COMCH_SEND_TASKS"), 0);
    assert_doca(doca_comch_cap_get_max_msg_size(NULL, &value), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_comch_cap_get_max_clients(info, NULL), DOCA_ERROR_INVALID_VALUE);
    assert_ok(doca_dev_close(dpu));
    assert_ok(doca_dev_close(host));
}

static void create_refuses_names_and_devices(void **state)
{
    struct side side;
    struct doca_comch_server *server = NULL;
    struct doca_comch_client *client = NULL;
    char name[256];
    uint32_t max = 0;
    (void)state;
    side_make_server(&side, "create");
    assert_ok(doca_comch_cap_get_max_name_len(doca_dev_as_devinfo(side.dev), &max));
    assert_in_range(max, 2, sizeof(name));
    memset(name, 'x', sizeof(name));
    name[max] = '\0';
    assert_doca(doca_comch_server_create(side.dev, side.rep, name, &server),
                DOCA_ERROR_INVALID_VALUE);
    name[max - 1] = '\0';
    assert_ok(doca_comch_server_create(side.dev, side.rep, name, &server));
    assert_ok(doca_comch_server_destroy(server));
    assert_doca(doca_comch_server_create(side.dev, side.rep, "", &server),
                DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_comch_server_create(side.dev, NULL, "a", &server), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_comch_server_create(side.dev, side.rep, NULL, &server),
                DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_comch_client_create(side.dev, "a", &client), DOCA_ERROR_INITIALIZATION);
    assert_doca(doca_comch_client_create(NULL, "a", &client), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_dev_rep_close(side.rep), DOCA_ERROR_IN_USE);
    side_end(&side, NULL);
}

static void configuration_has_limits_and_a_time(void **state)
{
    struct side server;
    struct side client;
    uint32_t value = 0;
    struct doca_dev *dev = NULL;
    struct doca_dev_rep *rep = NULL;
    (void)state;
    side_make_server(&server, "configure");
    side_make_client(&client, "configure");
    assert_doca(doca_comch_server_set_max_msg_size(server.server, 0), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_comch_server_set_max_msg_size(server.server, 4081), DOCA_ERROR_INVALID_VALUE);
    assert_ok(doca_comch_server_set_max_msg_size(server.server, 100));
    assert_ok(doca_comch_server_get_max_msg_size(server.server, &value));
    assert_int_equal(value, 100);
    assert_ok(doca_comch_client_set_recv_queue_size(client.client, 9));
    assert_ok(doca_comch_client_get_recv_queue_size(client.client, &value));
    assert_int_equal(value, 9);
    assert_doca(doca_comch_client_task_send_set_conf(client.client, no_send, no_send, 0),
                DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_comch_client_task_send_set_conf(client.client, no_send, NULL, 1),
                DOCA_ERROR_INVALID_VALUE);
    assert_ok(doca_comch_server_get_device(server.server, &dev));
    assert_ptr_equal(dev, server.dev);
    assert_ok(doca_comch_server_get_device_rep(server.server, &rep));
    assert_ptr_equal(rep, server.rep);
    assert_ok(doca_ctx_start(server.ctx));
    assert_doca(doca_comch_server_set_max_msg_size(server.server, 100), DOCA_ERROR_BAD_STATE);
    assert_doca(doca_comch_server_set_recv_queue_size(server.server, 1), DOCA_ERROR_BAD_STATE);
    assert_doca(doca_comch_server_task_send_set_conf(server.server, no_send, no_send, 1),
                DOCA_ERROR_BAD_STATE);
    assert_doca(doca_comch_server_event_msg_recv_register(server.server, no_recv),
                DOCA_ERROR_BAD_STATE);
    assert_doca(doca_comch_server_event_connection_status_changed_register(server.server, no_change,
                                                                           no_change),
                DOCA_ERROR_BAD_STATE);
    assert_doca(doca_comch_server_event_consumer_register(server.server, no_consumer, no_consumer),
                DOCA_ERROR_BAD_STATE);
    assert_doca(doca_comch_server_destroy(server.server), DOCA_ERROR_IN_USE);
    assert_ok(doca_comch_client_event_consumer_register(client.client, no_consumer, no_consumer));
    side_end(&server, NULL);
    side_end(&client, NULL);
}

static void start_needs_an_engine_and_callbacks(void **state)
{
    struct side side;
    struct doca_comch_client *client = NULL;
    struct doca_comch_server *server = NULL;
    (void)state;
    side_make_server(&side, "bare");
    struct doca_dev *host = open_device(HOST_PCI);
    assert_ok(doca_comch_client_create(host, "bare", &client));
    assert_doca(doca_ctx_start(doca_comch_client_as_ctx(client)), DOCA_ERROR_NOT_CONNECTED);
    assert_ok(doca_pe_connect_ctx(side.pe, doca_comch_client_as_ctx(client)));
    assert_doca(doca_ctx_start(doca_comch_client_as_ctx(client)), DOCA_ERROR_INITIALIZATION);
    assert_ok(doca_comch_client_task_send_set_conf(client, no_send, no_send, 1));
    assert_doca(doca_ctx_start(doca_comch_client_as_ctx(client)), DOCA_ERROR_INITIALIZATION);
    assert_ok(doca_comch_server_create(side.dev, side.rep, "bare", &server));
    assert_ok(doca_pe_connect_ctx(side.pe, doca_comch_server_as_ctx(server)));
    assert_ok(doca_comch_server_task_send_set_conf(server, no_send, no_send, 1));
    assert_ok(doca_comch_server_event_msg_recv_register(server, no_recv));
    assert_doca(doca_ctx_start(doca_comch_server_as_ctx(server)), DOCA_ERROR_INITIALIZATION);
    assert_ok(doca_comch_client_destroy(client));
    assert_ok(doca_comch_server_destroy(server));
    assert_ok(doca_dev_close(host));
    side_end(&side, NULL);
}

/* --- life cycle -------------------------------------------------------------------------------- */

static void client_becomes_running_in_progress_only(void **state)
{
    struct side server;
    struct side client;
    struct doca_comch_connection *conn = NULL;
    (void)state;
    side_make_server(&server, "start");
    side_make_client(&client, "start");
    assert_doca(doca_comch_client_get_connection(client.client, &conn), DOCA_ERROR_BAD_STATE);
    assert_ok(doca_ctx_start(server.ctx));
    assert_int_equal(side_state(&server), DOCA_CTX_STATE_RUNNING);
    assert_doca(doca_ctx_start(client.ctx), DOCA_ERROR_IN_PROGRESS);
    assert_doca(doca_ctx_start(client.ctx), DOCA_ERROR_BAD_STATE);
    side_run(&server);
    assert_int_equal(side_state(&client), DOCA_CTX_STATE_STARTING);
    assert_doca(doca_comch_client_get_connection(client.client, &conn), DOCA_ERROR_BAD_STATE);
    assert_int_equal(client.events, 0);
    sides_wait_state(&client, &server, DOCA_CTX_STATE_RUNNING);
    side_run(&client);
    assert_int_equal(client.num_states, 2);
    assert_int_equal(client.states[0], DOCA_CTX_STATE_STARTING);
    assert_int_equal(client.states[1], DOCA_CTX_STATE_RUNNING);
    assert_int_equal(server.connects, 1);
    assert_ok(doca_comch_client_get_connection(client.client, &conn));
    assert_ptr_equal(doca_comch_client_get_client_ctx(conn), client.client);
    assert_null(doca_comch_server_get_server_ctx(conn));
    side_end(&client, &server);
    side_end(&server, NULL);
}

static void client_without_a_server_falls_back_to_idle(void **state)
{
    struct side server;
    struct side client;
    (void)state;
    side_make_client(&client, "absent");
    assert_doca(doca_ctx_start(client.ctx), DOCA_ERROR_IN_PROGRESS);
    assert_int_equal(side_state(&client), DOCA_CTX_STATE_STARTING);
    sides_wait_state(&client, NULL, DOCA_CTX_STATE_IDLE);
    side_run(&client);
    assert_int_equal(client.num_states, 2);
    assert_int_equal(client.states[1], DOCA_CTX_STATE_IDLE);
    /* The same client can try again. */
    side_make_server(&server, "absent");
    sides_connect(&server, &client);
    side_end(&client, &server);
    side_end(&server, NULL);
}

static void client_can_be_stopped_while_it_starts(void **state)
{
    struct side server;
    struct side client;
    (void)state;
    side_make_server(&server, "hasty");
    side_make_client(&client, "hasty");
    assert_ok(doca_ctx_start(server.ctx));
    assert_doca(doca_ctx_start(client.ctx), DOCA_ERROR_IN_PROGRESS);
    assert_doca(doca_ctx_stop(client.ctx), DOCA_ERROR_IN_PROGRESS);
    sides_wait_state(&client, NULL, DOCA_CTX_STATE_IDLE);
    side_run(&server);
    assert_int_equal(server.disconnects, server.connects);
    side_end(&client, NULL);
    side_end(&server, NULL);
}

static void name_belongs_to_one_server(void **state)
{
    struct side first;
    struct side second;
    struct side other;
    (void)state;
    side_make_server(&first, "taken");
    side_make_server(&second, "taken");
    side_make_server(&other, "not taken");
    assert_ok(doca_ctx_start(first.ctx));
    assert_doca(doca_ctx_start(second.ctx), DOCA_ERROR_INITIALIZATION);
    assert_ok(doca_ctx_start(other.ctx));
    assert_ok(doca_ctx_stop(first.ctx));
    assert_ok(doca_ctx_start(second.ctx));
    side_end(&first, NULL);
    side_end(&second, NULL);
    side_end(&other, NULL);
}

/* --- connections ------------------------------------------------------------------------------- */

static void leaving_client_is_reported_once(void **state)
{
    struct side server;
    struct side client;
    (void)state;
    side_make_server(&server, "leave");
    side_make_client(&client, "leave");
    for (unsigned round = 1; round <= 3; round++) {
        sides_connect(&server, &client);
        assert_int_equal(doca_comch_connection_get_user_data(side_peer(&server)).u64, round);
        assert_ptr_equal(doca_comch_server_get_server_ctx(side_peer(&server)), server.server);
        assert_doca(doca_ctx_stop(client.ctx), DOCA_ERROR_IN_PROGRESS);
        sides_wait_state(&client, &server, DOCA_CTX_STATE_IDLE);
        sides_wait(&server, &client, &server.disconnects, round);
        side_run(&server);
        assert_int_equal(server.disconnects, round);
    }
    side_end(&client, NULL);
    side_end(&server, NULL);
}

static void disconnect_by_the_server_has_no_event_of_its_own(void **state)
{
    struct side server;
    struct side client;
    (void)state;
    side_make_server(&server, "throw out");
    side_make_client(&client, "throw out");
    sides_connect(&server, &client);
    struct doca_comch_connection *conn = side_peer(&server);
    assert_ok(doca_comch_server_disconnect(server.server, conn));
    assert_doca(doca_comch_server_disconnect(server.server, conn), DOCA_ERROR_INVALID_VALUE);
    server.conns[0] = NULL;
    sides_wait_state(&client, &server, DOCA_CTX_STATE_IDLE);
    side_run(&client);
    assert_int_equal(client.num_states, 4);
    assert_int_equal(client.states[2], DOCA_CTX_STATE_STOPPING);
    assert_int_equal(client.states[3], DOCA_CTX_STATE_IDLE);
    assert_int_equal(server.disconnects, 0);
    sides_connect(&server, &client);
    side_end(&client, &server);
    side_run(&server);
    assert_int_equal(server.disconnects, 1);
    side_end(&server, NULL);
}

static void stopping_server_waits_for_its_clients(void **state)
{
    struct side server;
    struct side client;
    struct side late;
    (void)state;
    side_make_server(&server, "closing");
    side_make_client(&client, "closing");
    side_make_client(&late, "closing");
    sides_connect(&server, &client);
    assert_doca(doca_ctx_stop(server.ctx), DOCA_ERROR_IN_PROGRESS);
    assert_doca(doca_ctx_start(late.ctx), DOCA_ERROR_IN_PROGRESS);
    sides_wait_state(&late, &server, DOCA_CTX_STATE_IDLE);
    assert_int_equal(side_state(&server), DOCA_CTX_STATE_STOPPING);
    assert_int_equal(side_state(&client), DOCA_CTX_STATE_RUNNING);
    assert_doca(doca_comch_server_destroy(server.server), DOCA_ERROR_IN_USE);
    assert_doca(doca_ctx_stop(client.ctx), DOCA_ERROR_IN_PROGRESS);
    sides_wait_state(&client, NULL, DOCA_CTX_STATE_IDLE);
    sides_wait_state(&server, NULL, DOCA_CTX_STATE_IDLE);
    assert_int_equal(server.disconnects, 1);
    side_end(&client, NULL);
    side_end(&late, NULL);
    side_end(&server, NULL);
}

static void clients_beyond_the_limit_are_turned_away(void **state)
{
    struct side server;
    struct side clients[3];
    (void)state;
    assert_int_equal(setenv("DOCA_EMU_COMCH_MAX_CLIENTS", "2", 1), 0);
    side_make_server(&server, "crowd");
    for (int i = 0; i < 3; i++) {
        side_make_client(&clients[i], "crowd");
    }
    sides_connect(&server, &clients[0]);
    sides_connect(&server, &clients[1]);
    assert_doca(doca_ctx_start(clients[2].ctx), DOCA_ERROR_IN_PROGRESS);
    sides_wait_state(&clients[2], &server, DOCA_CTX_STATE_IDLE);
    assert_int_equal(server.refused, 1);
    assert_int_equal(server.connects, 2);
    side_end(&clients[0], &server);
    sides_wait(&server, NULL, &server.disconnects, 1);
    sides_connect(&server, &clients[2]);
    side_end(&clients[1], &server);
    side_end(&clients[2], &server);
    side_end(&server, NULL);
    assert_int_equal(unsetenv("DOCA_EMU_COMCH_MAX_CLIENTS"), 0);
}

static void directory_open_to_others_is_refused(void **state)
{
    struct side side;
    char dir[] = "/tmp/comch-open-XXXXXX";
    char before[128];
    (void)state;
    snprintf(before, sizeof(before), "%s", getenv("DOCA_EMU_RUNTIME_DIR"));
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chmod(dir, 0755), 0);
    assert_int_equal(setenv("DOCA_EMU_RUNTIME_DIR", dir, 1), 0);
    side_make_server(&side, "open");
    assert_doca(doca_ctx_start(side.ctx), DOCA_ERROR_INITIALIZATION);
    assert_int_equal(chmod(dir, 0700), 0);
    assert_ok(doca_ctx_start(side.ctx));
    side_end(&side, NULL);
    assert_int_equal(rmdir(dir), 0); /* and nothing is left in it */
    assert_int_equal(setenv("DOCA_EMU_RUNTIME_DIR", before, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capabilities_are_told_and_can_be_set),
        cmocka_unit_test(create_refuses_names_and_devices),
        cmocka_unit_test(configuration_has_limits_and_a_time),
        cmocka_unit_test(start_needs_an_engine_and_callbacks),
        cmocka_unit_test(client_becomes_running_in_progress_only),
        cmocka_unit_test(client_without_a_server_falls_back_to_idle),
        cmocka_unit_test(client_can_be_stopped_while_it_starts),
        cmocka_unit_test(name_belongs_to_one_server),
        cmocka_unit_test(leaving_client_is_reported_once),
        cmocka_unit_test(disconnect_by_the_server_has_no_event_of_its_own),
        cmocka_unit_test(stopping_server_waits_for_its_clients),
        cmocka_unit_test(clients_beyond_the_limit_are_turned_away),
        cmocka_unit_test(directory_open_to_others_is_refused),
    };
    side_world();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
