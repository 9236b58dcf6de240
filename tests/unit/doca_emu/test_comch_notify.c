/* SPDX-License-Identifier: Apache-2.0 */
/* test_comch_notify.c - Comch and the notification handle: readable only when armed and something is
 * pending, whatever it is, and no wake-up is lost. */
#include "comch_side.h"

#include <poll.h>
#include <stdlib.h>

static bool readable(const struct side *side, int timeout_ms)
{
    doca_notification_handle_t fd = -1;
    assert_ok(doca_pe_get_notification_handle(side->pe, &fd));
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    return poll(&entry, 1, timeout_ms) == 1;
}

static void arm(struct side *side)
{
    assert_ok(doca_pe_request_notification(side->pe));
}

static void clear(struct side *side)
{
    doca_notification_handle_t fd = -1;
    assert_ok(doca_pe_get_notification_handle(side->pe, &fd));
    assert_ok(doca_pe_clear_notification(side->pe, fd));
}

/* Nothing is pending any more; the side is armed and its handle silent. */
static void sleep_armed(struct side *side)
{
    side_run(side);
    arm(side);
    while (doca_pe_progress(side->pe) != 0) {}
    assert_false(readable(side, 0));
}

/* The handle wakes; what woke it is found by progress calls. */
static void wake(struct side *side, const unsigned *value, unsigned wanted)
{
    assert_true(readable(side, 10000));
    clear(side);
    sides_wait(side, NULL, value, wanted);
}

static void make_connected(struct side *server, struct side *client)
{
    side_make_server(server, "notify");
    side_make_client(client, "notify");
    assert_ok(doca_comch_server_set_recv_queue_size(server->server, 2));
    assert_ok(doca_comch_client_set_recv_queue_size(client->client, 2));
    sides_connect(server, client);
    side_run(server);
    side_run(client);
}

static void unarmed_handle_is_never_readable(void **state)
{
    struct side server;
    struct side client;
    (void)state;
    side_make_server(&server, "unarmed");
    side_make_client(&client, "unarmed");
    assert_ok(doca_ctx_start(server.ctx));
    assert_doca(doca_ctx_start(client.ctx), DOCA_ERROR_IN_PROGRESS);
    assert_false(readable(&server, 5)); /* somebody connects */
    sides_wait_state(&client, &server, DOCA_CTX_STATE_RUNNING);
    side_run(&server);
    arm(&server); /* and no longer */
    clear(&server);
    side_send(&client, 0, 8);
    assert_false(readable(&server, 5));
    assert_false(readable(&client, 0)); /* a completed send */
    arm(&server);
    assert_true(readable(&server, 0));
    clear(&server);
    side_end(&client, NULL);
    assert_false(readable(&server, 5)); /* the end of the connection */
    sides_wait(&server, NULL, &server.disconnects, 1);
    side_end(&server, NULL);
}

static void armed_handle_wakes_for_every_event(void **state)
{
    struct side server;
    struct side client;
    (void)state;
    side_make_server(&server, "armed");
    side_make_client(&client, "armed");
    assert_ok(doca_comch_server_set_recv_queue_size(server.server, 2));
    assert_ok(doca_ctx_start(server.ctx));
    sleep_armed(&server);
    assert_doca(doca_ctx_start(client.ctx), DOCA_ERROR_IN_PROGRESS);
    sleep_armed(&client);
    wake(&server, &server.connects, 1);
    wake(&client, &client.num_states, 2);
    assert_int_equal(side_state(&client), DOCA_CTX_STATE_RUNNING);

    sleep_armed(&server);
    sleep_armed(&client);
    side_send(&client, 0, 8);
    wake(&client, &client.done, 1);
    wake(&server, &server.messages, 1);

    /* A queue with room again. */
    for (uint32_t i = 1; i <= 3; i++) {
        side_send(&client, i, 8);
    }
    sides_wait(&client, NULL, &client.done, 3);
    sleep_armed(&client);
    sides_wait(&server, NULL, &server.messages, 2);
    wake(&client, &client.done, 4);
    sleep_armed(&client);
    side_send(&client, 4, 8); /* the queue is full, and the sender is armed already */
    assert_false(readable(&client, 0));
    sides_wait(&server, NULL, &server.messages, 3);
    wake(&client, &client.done, 5);
    sides_wait(&server, NULL, &server.messages, 5);

    /* The end of the connection, on either side. */
    sleep_armed(&server);
    sleep_armed(&client);
    assert_ok(doca_comch_server_disconnect(server.server, side_peer(&server)));
    server.conns[0] = NULL;
    wake(&client, &client.num_states, 4);
    assert_false(readable(&server, 0));
    clear(&server);
    sides_connect(&server, &client);
    sleep_armed(&server);
    side_end(&client, NULL);
    wake(&server, &server.disconnects, 1);
    side_end(&server, NULL);
}

static void arming_with_something_pending_signals_at_once(void **state)
{
    struct side server;
    struct side client;
    (void)state;
    make_connected(&server, &client);
    side_send(&client, 0, 8);
    arm(&server);
    assert_true(readable(&server, 0));
    clear(&server);
    assert_false(readable(&server, 0));
    arm(&server);
    assert_true(readable(&server, 0));
    clear(&server);
    sides_wait(&server, NULL, &server.messages, 1);
    arm(&server);
    assert_false(readable(&server, 5));
    clear(&server);
    side_end(&client, &server);
    side_end(&server, NULL);
}

static void handled_event_takes_its_signal_back_and_the_handle_stays_armed(void **state)
{
    struct side server;
    struct side client;
    (void)state;
    make_connected(&server, &client);
    sleep_armed(&server);
    for (uint32_t i = 0; i < 20; i++) {
        side_send(&client, i, 8);
        sides_wait(&client, NULL, &client.done, i + 1);
        assert_true(readable(&server, 10000));
        sides_wait(&server, NULL, &server.messages, i + 1);
        while (doca_pe_progress(server.pe) != 0) {}
        assert_false(readable(&server, 0));
    }
    clear(&server);
    side_end(&client, &server);
    side_end(&server, NULL);
}

static void without_events_the_handle_stays_silent(void **state)
{
    struct side server;
    struct side client;
    (void)state;
    assert_int_equal(setenv("DOCA_EMU_COMCH_NO_EVENTS", "1", 1), 0);
    make_connected(&server, &client);
    sleep_armed(&server);
    sleep_armed(&client);
    side_send(&client, 0, 8);
    assert_false(readable(&server, 5));
    assert_false(readable(&client, 0));
    sides_wait(&server, NULL, &server.messages, 1);
    side_end(&client, &server);
    side_end(&server, NULL);
    assert_int_equal(unsetenv("DOCA_EMU_COMCH_NO_EVENTS"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unarmed_handle_is_never_readable),
        cmocka_unit_test(armed_handle_wakes_for_every_event),
        cmocka_unit_test(arming_with_something_pending_signals_at_once),
        cmocka_unit_test(handled_event_takes_its_signal_back_and_the_handle_stays_armed),
        cmocka_unit_test(without_events_the_handle_stays_silent),
    };
    side_world();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
