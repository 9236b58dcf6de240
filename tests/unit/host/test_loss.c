/* SPDX-License-Identifier: Apache-2.0 */
/* test_loss.c - never a hang, never a late write: what becomes of requests when the agent is lost
 * or does not answer, in which order, and how the client comes back. */
#include "fake_doca.h"
#include "fixture.h"

#include <errno.h>
#include <string.h>

static uint8_t *buffer;
static struct bc_memory *memory;

static void start(const struct fake_agent_options *options, uint64_t timeout_ms)
{
    fake_doca_reset();
    start_agent(options);
    open_client(timeout_ms);
    buffer = map_pages(4);
    memory = register_range(buffer, PAGES(4));
}

static int tear_down(void **state)
{
    int rc = close_all(state);

    unmap_pages(buffer, 4);
    assert_int_equal(fake_doca_open_count(), 0);
    return rc;
}

/* A request that the agent has and does not answer. */
static struct bc_request *stuck_request(uint64_t timeout_ms)
{
    struct bc_entry entry = entry_of(memory, 0, PAGE_LEN, "a");
    struct bc_request *request;
    int before = trace_count("transfer");

    fake_agent_hold(agent, BC_MSG_TRANSFER, true);
    request = submit(BC_PULL, &entry, 1, timeout_ms);
    assert_true(trace_wait("transfer", before + 1));
    return request;
}

static void expect_that_requests_work(void)
{
    struct bc_entry entry = entry_of(memory, PAGE_LEN, PAGE_LEN, "b");

    fake_agent_hold(agent, BC_MSG_TRANSFER, false);
    assert_int_equal(finish(submit(BC_PULL, &entry, 1, 0)), BC_STATUS_OK);
    assert_int_equal(finish(submit(BC_PUSH, &entry, 1, 0)), BC_STATUS_OK);
}

static void a_lost_agent_fails_requests_after_revoking(void **state)
{
    struct bc_request *request;

    (void)state;
    start(NULL, 0);
    request = stuck_request(0);
    fake_doca_hold_destroy(true);
    fake_agent_drop(agent, false);
    assert_true(trace_wait("busy", 2));
    /* The export is revoked, but a copy is not over: not terminal, whatever else happens. */
    assert_int_equal(bc_request_wait(request, 1), BC_STATUS_IN_PROGRESS);
    assert_int_equal(bc_request_test(request), BC_STATUS_IN_PROGRESS);
    assert_int_equal(bc_request_free(request), -EBUSY);
    assert_int_equal(bc_memory_unregister(client, memory), -EBUSY);
    bc_request_cancel(request);
    await_reconnect(1);
    assert_int_equal(bc_request_test(request), BC_STATUS_IN_PROGRESS);
    expect_that_requests_work(); /* through an export of the new session */
    fake_doca_hold_destroy(false);
    assert_int_equal(bc_request_wait(request, WAIT_MS), BC_STATUS_DISCONNECTED);
    assert_int_equal(bc_request_entry_status(request, 0), BC_STATUS_DISCONNECTED);
    assert_int_equal(trace_count("destroy"), 1);
    assert_int_equal(bc_request_free(request), 0);
    assert_int_equal(bc_memory_unregister(client, memory), 0);
}

static void the_client_comes_back_by_itself(void **state)
{
    struct bc_client_info info;

    (void)state;
    start(NULL, 0);
    for (uint64_t i = 1; i <= 3; i++) {
        struct bc_request *request = stuck_request(0);

        fake_agent_drop(agent, false);
        assert_int_equal(finish(request), BC_STATUS_DISCONNECTED);
        expect_that_requests_work();
        bc_client_get_info(client, &info);
        assert_int_equal(info.reconnects, i);
        assert_true(info.connected);
    }
    assert_int_equal(trace_count("register 1"), 4);
    assert_int_equal(trace_count("hello"), 4);
}

static void an_agent_that_restarts_is_found_again(void **state)
{
    struct fake_agent_options options = {0};

    (void)state;
    start(NULL, 0);
    options.port = fake_agent_port(agent);
    expect_that_requests_work();
    fake_agent_stop(agent);
    assert_true(trace_wait("destroy", 1)); /* revoked at once, not when the agent is back */
    agent = fake_agent_start(&options);
    expect_that_requests_work();
    assert_int_equal(trace_count("hello"), 2);
}

static void without_an_agent_calls_fail_at_their_deadline(void **state)
{
    struct bc_submit_options soon = {.timeout_ms = 30};
    struct bc_entry entry;
    struct bc_request *request = NULL;
    struct bc_object_info info;
    struct bc_client_info client_info;
    struct bc_key key = {.data = "a", .len = 1};
    uint64_t ns;

    (void)state;
    start(NULL, 0);
    fake_agent_drop(agent, true);
    assert_true(trace_wait("destroy", 1));
    entry = entry_of(memory, 0, 10, "a");
    assert_int_equal(bc_submit(client, BC_PULL, &entry, 1, &soon, &request), -ENOTCONN);
    assert_int_equal(bc_submit_try(client, BC_PULL, &entry, 1, NULL, &request), -ENOTCONN);
    assert_int_equal(bc_query(client, &key, 1, 30, &info), -ENOTCONN);
    assert_int_equal(bc_ping(client, 30, &ns), -ENOTCONN);
    assert_null(request);
    bc_client_get_info(client, &client_info);
    assert_false(client_info.connected);
    fake_agent_drop(agent, false);
    expect_that_requests_work(); /* bc_submit waits for the session and the memory */
}

static void a_deadline_cancels_first(void **state)
{
    struct bc_request *request;

    (void)state;
    start(NULL, 0);
    request = stuck_request(20);
    assert_int_equal(bc_request_wait(request, WAIT_MS), BC_STATUS_TIMED_OUT);
    assert_int_equal(bc_request_entry_status(request, 0), BC_STATUS_TIMED_OUT);
    assert_int_equal(bc_request_free(request), 0);
    assert_int_equal(trace_count("cancel"), 1);
    assert_int_equal(trace_count("closed"), 0); /* it obeyed: the session goes on */
    expect_that_requests_work();
    assert_int_equal(trace_count("hello"), 1);
}

static void an_unanswered_deadline_costs_the_session(void **state)
{
    struct bc_request *late;
    struct bc_request *bystander;

    (void)state;
    start(NULL, 0);
    fake_agent_obey_cancel(agent, false);
    bystander = stuck_request(0);
    late = stuck_request(20);
    assert_int_equal(bc_request_wait(late, WAIT_MS), BC_STATUS_TIMED_OUT);
    assert_int_equal(bc_request_wait(bystander, WAIT_MS), BC_STATUS_DISCONNECTED);
    assert_true(trace_wait("closed", 1));
    assert_int_equal(trace_count("cancel"), 1);
    assert_true(trace_index("cancel", 1) < trace_index("destroy", 1));
    assert_int_equal(bc_request_free(late), 0);
    assert_int_equal(bc_request_free(bystander), 0);
    expect_that_requests_work();
}

static void a_silent_agent_is_noticed(void **state)
{
    struct fake_agent_options options = {.keepalive_ms = 150};
    struct bc_request *request;

    (void)state;
    start(&options, 0);
    assert_true(trace_wait("ping", 3)); /* it answers: the session lives */
    assert_int_equal(trace_count("closed"), 0);
    request = stuck_request(0);
    fake_agent_hold(agent, BC_MSG_PING, true);
    assert_int_equal(finish(request), BC_STATUS_DISCONNECTED);
    fake_agent_hold(agent, BC_MSG_PING, false);
    expect_that_requests_work();
}

static void a_draining_agent_finishes_what_it_has(void **state)
{
    struct bc_request *request;
    struct bc_request *none = NULL;
    struct bc_entry entry;

    (void)state;
    start(NULL, 0);
    entry = entry_of(memory, 0, 10, "a");
    request = stuck_request(0);
    fake_agent_send(agent, BC_MSG_GOODBYE, 0, NULL, 0);
    while (bc_submit_try(client, BC_PULL, &entry, 1, NULL, &none) == 0) {
        assert_int_equal(bc_request_test(none), BC_STATUS_IN_PROGRESS);
        bc_request_cancel(none);
        assert_int_equal(finish(none), BC_STATUS_CANCELLED); /* GOODBYE was not read yet */
    }
    assert_int_equal(trace_count("closed"), 0);
    fake_agent_hold(agent, BC_MSG_TRANSFER, false);
    assert_int_equal(finish(request), BC_STATUS_OK);
    expect_that_requests_work();
    assert_int_equal(trace_count("hello"), 2);
}

static void nonsense_from_the_agent_ends_the_session(void **state)
{
    static const struct {
        uint8_t type;
        size_t len;
    } nonsense[] = {{BC_MSG_HELLO, 48},     {BC_MSG_TRANSFER, 24}, {BC_MSG_HELLO_ACK, 80},
                    {BC_MSG_HELLO_ACK, 3},  {BC_MSG_ERROR, 1},     {BC_MSG_PING, 65},
                    {BC_MSG_TYPE_COUNT, 0}, {BC_MSG_ERROR, 20}};
    uint8_t body[128] = {0};

    (void)state;
    start(NULL, 0);
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        struct bc_request *request = stuck_request(0);

        fake_agent_send(agent, nonsense[i].type, 1, body, nonsense[i].len);
        assert_int_equal(finish(request), BC_STATUS_DISCONNECTED);
        expect_that_requests_work();
    }
}

static void answers_to_nobody_are_ignored(void **state)
{
    uint8_t body[32] = {0};
    uint64_t ns;

    (void)state;
    start(NULL, 0);
    fake_agent_send(agent, BC_MSG_COMPLETION, 77777777, body, sizeof(body));
    fake_agent_send(agent, BC_MSG_PONG, 0, body, 0);
    fake_agent_send(agent, BC_MSG_PING, 9, body, 8);
    assert_int_equal(bc_ping(client, 0, &ns), 0);
    assert_true(trace_wait("pong", 1));
    expect_that_requests_work();
    assert_int_equal(trace_count("hello"), 1);
}

static void a_wrong_answer_ends_the_session(void **state)
{
    struct bc_wire_completion completion = {.first_entry = 5, .entry_count = 1};
    struct bc_request *request;
    uint8_t body[sizeof(completion) + 4] = {0};

    (void)state;
    start(NULL, 0);
    request = stuck_request(0);
    memcpy(body, &completion, sizeof(completion));
    /* Ids are (serial, slot): the hello took none, the register the first, so this is the
     * second. */
    fake_agent_send(agent, BC_MSG_COMPLETION, UINT64_C(2) << 16, body, sizeof(body));
    assert_int_equal(finish(request), BC_STATUS_DISCONNECTED);
    expect_that_requests_work();
}

static void split_requests_end_with_the_session(void **state)
{
    struct fake_agent_options options = {.entries_max = 1, .requests_max = 1};
    struct bc_entry entries[3];
    struct bc_request *request;

    (void)state;
    start(&options, 0);
    entries[0] = entry_of(memory, 0, 10, "a");
    entries[1] = entry_of(memory, 0, 10, "b");
    entries[2] = entry_of(memory, 0, 10, "c");
    fake_agent_hold(agent, BC_MSG_TRANSFER, true);
    request = submit(BC_PULL, entries, 3, 0);
    fake_agent_drop(agent, false);
    assert_int_equal(bc_request_wait(request, WAIT_MS), BC_STATUS_DISCONNECTED);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(bc_request_entry_status(request, i), BC_STATUS_DISCONNECTED);
    }
    assert_int_equal(bc_request_free(request), 0);
    expect_that_requests_work();
}

static void close_waits_for_the_quarantine(void **state)
{
    struct bc_request *request;

    (void)state;
    start(NULL, 500);
    request = stuck_request(100);
    fake_agent_obey_cancel(agent, false);
    fake_doca_hold_destroy(true);
    assert_int_equal(bc_client_close(client), -EBUSY);
    assert_int_equal(bc_request_test(request), BC_STATUS_IN_PROGRESS);
    assert_int_equal(bc_request_free(request), -EBUSY);
    fake_doca_hold_destroy(false);
    /* The close of the teardown ends it. */
}

static void close_cancels_what_is_under_way(void **state)
{
    (void)state;
    start(NULL, 0);
    (void)stuck_request(0);
    (void)stuck_request(0);
    assert_int_equal(bc_client_close(client), 0);
    client = NULL;
    assert_true(trace_wait("goodbye", 1));
    assert_int_equal(trace_count("cancel"), 2);
    assert_true(trace_index("cancel", 2) < trace_index("unregister", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_lost_agent_fails_requests_after_revoking, tear_down),
        cmocka_unit_test_teardown(the_client_comes_back_by_itself, tear_down),
        cmocka_unit_test_teardown(an_agent_that_restarts_is_found_again, tear_down),
        cmocka_unit_test_teardown(without_an_agent_calls_fail_at_their_deadline, tear_down),
        cmocka_unit_test_teardown(a_deadline_cancels_first, tear_down),
        cmocka_unit_test_teardown(an_unanswered_deadline_costs_the_session, tear_down),
        cmocka_unit_test_teardown(a_silent_agent_is_noticed, tear_down),
        cmocka_unit_test_teardown(a_draining_agent_finishes_what_it_has, tear_down),
        cmocka_unit_test_teardown(nonsense_from_the_agent_ends_the_session, tear_down),
        cmocka_unit_test_teardown(answers_to_nobody_are_ignored, tear_down),
        cmocka_unit_test_teardown(a_wrong_answer_ends_the_session, tear_down),
        cmocka_unit_test_teardown(split_requests_end_with_the_session, tear_down),
        cmocka_unit_test_teardown(close_waits_for_the_quarantine, tear_down),
        cmocka_unit_test_teardown(close_cancels_what_is_under_way, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
