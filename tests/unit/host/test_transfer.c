/* SPDX-License-Identifier: Apache-2.0 */
/* test_transfer.c - requests against an agent that answers: statuses, credits, splitting,
 * cancels. */
#include "fake_doca.h"
#include "fixture.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

static uint8_t *buffer;
static struct bc_memory *memory;

static void start(const struct fake_agent_options *options)
{
    start_agent(options);
    open_client(0);
    buffer = map_pages(16);
    memory = register_range(buffer, PAGES(16));
}

static int tear_down(void **state)
{
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    unmap_pages(buffer, 16);
    assert_int_equal(close_all(state), 0);
    assert_int_equal(fake_doca_open_count(), 0);
    return 0;
}

static void push_and_pull_complete(void **state)
{
    struct bc_entry entries[2];
    struct bc_request *request;

    (void)state;
    start(NULL);
    entries[0] = entry_of(memory, 0, PAGE_LEN, "a");
    entries[1] = entry_of(memory, PAGE_LEN, 100, "b");
    request = submit(BC_PUSH, entries, 2, 0);
    assert_int_equal(bc_request_wait(request, WAIT_MS), BC_STATUS_OK);
    assert_int_equal(bc_request_entry_status(request, 0), BC_STATUS_OK);
    assert_int_equal(bc_request_entry_status(request, 1), BC_STATUS_OK);
    assert_int_equal(bc_request_entry_status(request, 2), BC_STATUS_INVALID);
    assert_int_equal(bc_request_bytes(request), PAGE_LEN + 100);
    assert_int_equal(bc_request_free(request), 0);
    assert_int_equal(finish(submit(BC_PULL, entries, 2, 0)), BC_STATUS_OK);
    assert_int_equal(trace_count("transfer 2"), 2);
}

static void each_entry_has_its_status(void **state)
{
    struct bc_entry entries[4];
    struct bc_request *request;

    (void)state;
    start(NULL);
    for (int piecemeal = 0; piecemeal < 2; piecemeal++) {
        fake_agent_piecemeal(agent, piecemeal != 0);
        entries[0] = entry_of(memory, 0, 10, "good");
        entries[1] = entry_of(memory, 10, 10, "missing");
        entries[2] = entry_of(memory, 20, 10, "bad");
        entries[3] = entry_of(memory, 30, 10, "good too");
        request = submit(BC_PULL, entries, 4, 0);
        assert_int_equal(bc_request_wait(request, WAIT_MS), BC_STATUS_NOT_FOUND);
        assert_int_equal(bc_request_entry_status(request, 0), BC_STATUS_OK);
        assert_int_equal(bc_request_entry_status(request, 1), BC_STATUS_NOT_FOUND);
        assert_int_equal(bc_request_entry_status(request, 2), BC_STATUS_CHECKSUM);
        assert_int_equal(bc_request_entry_status(request, 3), BC_STATUS_OK);
        assert_int_equal(bc_request_free(request), 0);
    }
}

static void a_long_key_fails_alone(void **state)
{
    char key[BC_CLIENT_KEY_LEN_MAX + 1];
    struct bc_entry entries[2];
    struct bc_request *request;

    (void)state;
    start(NULL);
    memset(key, 'k', sizeof(key));
    entries[0] = entry_of(memory, 0, 10, "good");
    entries[1] = (struct bc_entry){.memory = memory, .key = key, .key_len = sizeof(key)};
    request = submit(BC_PUSH, entries, 2, 0);
    assert_int_equal(bc_request_wait(request, WAIT_MS), BC_STATUS_KEY_TOO_LONG);
    assert_int_equal(bc_request_entry_status(request, 0), BC_STATUS_OK);
    assert_int_equal(bc_request_free(request), 0);
    request = submit(BC_PUSH, &entries[1], 1, 0);
    assert_int_equal(bc_request_test(request), BC_STATUS_KEY_TOO_LONG);
    assert_int_equal(bc_request_free(request), 0);
    entries[1].key_len = BC_CLIENT_KEY_LEN_MAX;
    assert_int_equal(finish(submit(BC_PUSH, entries, 2, 0)), BC_STATUS_OK);
}

static void arguments_are_checked(void **state)
{
    struct bc_request *request = NULL;
    struct bc_entry entry;

    (void)state;
    start(NULL);
    entry = entry_of(memory, 0, 10, "a");
    assert_int_equal(bc_submit(client, BC_PUSH, &entry, 0, NULL, &request), -EINVAL);
    assert_int_equal(bc_submit(client, (enum bc_op)7, &entry, 1, NULL, &request), -EINVAL);
    entry.memory_offset = PAGES(16) - 9;
    assert_int_equal(bc_submit(client, BC_PUSH, &entry, 1, NULL, &request), -EINVAL);
    entry.memory_offset = UINT64_MAX - 4;
    assert_int_equal(bc_submit(client, BC_PUSH, &entry, 1, NULL, &request), -EINVAL);
    entry = entry_of(memory, 0, 10, "a");
    entry.object_offset = UINT64_MAX - 4;
    assert_int_equal(bc_submit(client, BC_PUSH, &entry, 1, NULL, &request), -EINVAL);
    entry = entry_of(NULL, 0, 10, "a");
    assert_int_equal(bc_submit(client, BC_PUSH, &entry, 1, NULL, &request), -EINVAL);
    assert_null(request);
    assert_int_equal(trace_count("transfer"), 0);
}

static void large_requests_are_split_between_keys(void **state)
{
    struct fake_agent_options options = {.entries_max = 10, .requests_max = 3};
    static struct bc_entry entries[96];
    static char keys[96][16];
    struct bc_request *request;

    (void)state;
    start(&options);
    for (uint32_t i = 0; i < 96; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "%s %u", i / 4 == 7 ? "miss" : "k", i / 4);
        entries[i] = entry_of(memory, i * 10, 10, keys[i]);
        entries[i].object_offset = (i % 4) * 10;
    }
    request = submit(BC_PUSH, entries, 96, 0);
    assert_int_equal(bc_request_wait(request, WAIT_MS), BC_STATUS_NOT_FOUND);
    for (uint32_t i = 0; i < 96; i++) {
        assert_int_equal(bc_request_entry_status(request, i),
                         i / 4 == 7 ? BC_STATUS_NOT_FOUND : BC_STATUS_OK);
    }
    assert_int_equal(bc_request_bytes(request), 960);
    assert_int_equal(bc_request_free(request), 0);
    assert_int_equal(trace_count("transfer 8"), 12);
    assert_true(fake_agent_transfers_peak(agent) <= 3);
}

static void groups_go_with_pushes_to_agents_that_know_them(void **state)
{
    struct fake_agent_options options = {.no_groups = true};
    struct bc_entry entries[3];

    (void)state;
    start(NULL);
    entries[0] = entry_of(memory, 0, 10, "a");
    entries[1] = entry_of(memory, 0, 10, "a");
    entries[2] = entry_of(memory, 20, 10, "b");
    entries[1].object_offset = 10;
    assert_int_equal(finish(submit(BC_PUSH, entries, 3, 0)), BC_STATUS_OK);
    assert_int_equal(trace_count("groups"), 0);
    entries[0].group = 5;
    entries[1].group = 6; /* the first entry of a key counts */
    entries[2].group = UINT64_MAX;
    assert_int_equal(finish(submit(BC_PUSH, entries, 3, 0)), BC_STATUS_OK);
    assert_int_equal(trace_count("groups 5 18446744073709551615"), 1);
    assert_int_equal(finish(submit(BC_PULL, entries, 3, 0)), BC_STATUS_OK);
    assert_int_equal(trace_count("groups"), 1);
    assert_int_equal(tear_down(state), 0);

    start(&options);
    entries[0].memory = entries[1].memory = entries[2].memory = memory;
    assert_int_equal(finish(submit(BC_PUSH, entries, 3, 0)), BC_STATUS_OK);
    assert_int_equal(trace_count("groups"), 0);
}

static void an_object_of_too_many_pieces_is_refused(void **state)
{
    struct fake_agent_options options = {.entries_max = 10};
    struct bc_entry entries[11];
    struct bc_request *request;

    (void)state;
    start(&options);
    for (uint32_t i = 0; i < 11; i++) {
        entries[i] = entry_of(memory, i * 10, 10, "one object");
    }
    assert_int_equal(bc_submit(client, BC_PUSH, entries, 11, NULL, &request), -EINVAL);
    assert_int_equal(finish(submit(BC_PUSH, entries, 10, 0)), BC_STATUS_OK);
}

static void credits_of_requests_hold_back(void **state)
{
    struct fake_agent_options options = {.requests_max = 2};
    struct bc_submit_options soon = {.timeout_ms = 30};
    struct bc_request *requests[2];
    struct bc_request *third = NULL;
    struct bc_entry entry;

    (void)state;
    start(&options);
    entry = entry_of(memory, 0, 10, "a");
    fake_agent_hold(agent, BC_MSG_TRANSFER, true);
    requests[0] = submit(BC_PULL, &entry, 1, 0);
    requests[1] = submit(BC_PULL, &entry, 1, 0);
    assert_int_equal(bc_submit_try(client, BC_PULL, &entry, 1, NULL, &third), -EAGAIN);
    assert_int_equal(bc_submit(client, BC_PULL, &entry, 1, &soon, &third), -ETIMEDOUT);
    assert_true(trace_wait("transfer", 2));
    fake_agent_hold(agent, BC_MSG_TRANSFER, false);
    third = submit(BC_PULL, &entry, 1, 0);
    assert_int_equal(finish(requests[0]), BC_STATUS_OK);
    assert_int_equal(finish(requests[1]), BC_STATUS_OK);
    assert_int_equal(finish(third), BC_STATUS_OK);
    assert_int_equal(bc_submit_try(client, BC_PULL, &entry, 1, NULL, &third), 0);
    assert_int_equal(finish(third), BC_STATUS_OK);
}

static void credits_of_bytes_hold_back(void **state)
{
    struct fake_agent_options options = {.bytes_max = PAGES(2)};
    struct bc_request *requests[3];
    struct bc_request *request = NULL;
    struct bc_entry entry;

    (void)state;
    start(&options);
    fake_agent_hold(agent, BC_MSG_TRANSFER, true);
    entry = entry_of(memory, 0, PAGE_LEN, "a");
    requests[0] = submit(BC_PUSH, &entry, 1, 0);
    requests[1] = submit(BC_PUSH, &entry, 1, 0);
    assert_int_equal(bc_submit_try(client, BC_PUSH, &entry, 1, NULL, &request), -EAGAIN);
    fake_agent_hold(agent, BC_MSG_TRANSFER, false);
    /* Larger than all credits: goes alone, when everything else is done. */
    entry = entry_of(memory, 0, PAGES(8), "big");
    requests[2] = submit(BC_PUSH, &entry, 1, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(finish(requests[i]), BC_STATUS_OK);
    }
    assert_int_equal(fake_agent_bytes_peak(agent), PAGES(8));
}

static void cancel_ends_it_soon(void **state)
{
    struct bc_request *request;
    struct bc_entry entry;

    (void)state;
    start(NULL);
    fake_agent_hold(agent, BC_MSG_TRANSFER, true);
    entry = entry_of(memory, 0, 10, "a");
    request = submit(BC_PULL, &entry, 1, 0);
    assert_int_equal(bc_request_free(request), -EBUSY);
    assert_int_equal(bc_memory_unregister(client, memory), -EBUSY);
    assert_int_equal(bc_request_test(request), BC_STATUS_IN_PROGRESS);
    assert_int_equal(bc_request_wait(request, 1), BC_STATUS_IN_PROGRESS);
    assert_int_equal(bc_request_entry_status(request, 0), BC_STATUS_IN_PROGRESS);
    assert_int_equal(bc_request_bytes(request), 0);
    bc_request_cancel(request);
    assert_int_equal(bc_request_wait(request, WAIT_MS), BC_STATUS_CANCELLED);
    bc_request_cancel(request);
    assert_int_equal(bc_request_free(request), 0);
    assert_int_equal(trace_count("cancel"), 1);
    assert_int_equal(trace_count("closed"), 0);
}

static void cancel_ends_parts_that_wait(void **state)
{
    struct fake_agent_options options = {.entries_max = 1, .requests_max = 1};
    struct bc_request *request;
    struct bc_entry entries[3];

    (void)state;
    start(&options);
    fake_agent_hold(agent, BC_MSG_TRANSFER, true);
    entries[0] = entry_of(memory, 0, 10, "a");
    entries[1] = entry_of(memory, 0, 10, "b");
    entries[2] = entry_of(memory, 0, 10, "c");
    request = submit(BC_PULL, entries, 3, 0);
    bc_request_cancel(request);
    assert_int_equal(bc_request_wait(request, WAIT_MS), BC_STATUS_CANCELLED);
    assert_int_equal(bc_request_entry_status(request, 2), BC_STATUS_CANCELLED);
    assert_int_equal(bc_request_free(request), 0);
    assert_int_equal(trace_count("transfer"), 1);
}

static void test_sees_completions_without_waiting(void **state)
{
    struct bc_request *request;
    struct bc_entry entry;

    (void)state;
    start(NULL);
    entry = entry_of(memory, 0, 10, "a");
    for (int i = 0; i < 200; i++) {
        long rounds = 0;

        request = submit(BC_PULL, &entry, 1, 0);
        while (bc_request_test(request) == BC_STATUS_IN_PROGRESS) {
            assert_true(++rounds < 50000000L);
        }
        assert_int_equal(bc_request_test(request), BC_STATUS_OK);
        assert_int_equal(bc_request_free(request), 0);
    }
}

static void the_descriptor_becomes_readable(void **state)
{
    struct pollfd fd = {.events = POLLIN};
    struct bc_request *request;
    struct bc_entry entry;

    (void)state;
    start(NULL);
    entry = entry_of(memory, 0, 10, "a");
    assert_int_equal(finish(submit(BC_PULL, &entry, 1, 0)), BC_STATUS_OK);
    fd.fd = bc_client_fd(client);
    assert_int_equal(poll(&fd, 1, 0), 1); /* one ended before anybody asked for the descriptor */
    bc_client_clear_fd(client);
    assert_int_equal(poll(&fd, 1, 0), 0);
    for (int i = 0; i < 20; i++) {
        request = submit(BC_PULL, &entry, 1, 0);
        assert_int_equal(poll(&fd, 1, WAIT_MS), 1); /* nobody waits or tests */
        assert_int_equal(bc_request_entry_status(request, 0), BC_STATUS_OK);
        bc_client_clear_fd(client);
        assert_int_equal(poll(&fd, 1, 0), 0);
        assert_int_equal(bc_request_free(request), 0);
    }
}

static void nobody_has_to_look(void **state)
{
    struct fake_agent_options options = {.requests_max = 1, .entries_max = 1};
    struct bc_request *request;
    struct bc_entry entries[3];

    (void)state;
    start(&options);
    for (int i = 0; i < 3; i++) {
        static const char *const keys[] = {"a", "b", "c"};

        entries[i] = entry_of(memory, 0, 10, keys[i]);
    }
    request = submit(BC_PULL, entries, 3, 0);
    /* The library thread takes the answers, and sends the other parts. */
    assert_true(trace_wait("transfer", 3));
    assert_int_equal(finish(request), BC_STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(push_and_pull_complete, tear_down),
        cmocka_unit_test_teardown(each_entry_has_its_status, tear_down),
        cmocka_unit_test_teardown(a_long_key_fails_alone, tear_down),
        cmocka_unit_test_teardown(arguments_are_checked, tear_down),
        cmocka_unit_test_teardown(large_requests_are_split_between_keys, tear_down),
        cmocka_unit_test_teardown(an_object_of_too_many_pieces_is_refused, tear_down),
        cmocka_unit_test_teardown(groups_go_with_pushes_to_agents_that_know_them, tear_down),
        cmocka_unit_test_teardown(credits_of_requests_hold_back, tear_down),
        cmocka_unit_test_teardown(credits_of_bytes_hold_back, tear_down),
        cmocka_unit_test_teardown(cancel_ends_it_soon, tear_down),
        cmocka_unit_test_teardown(cancel_ends_parts_that_wait, tear_down),
        cmocka_unit_test_teardown(test_sees_completions_without_waiting, tear_down),
        cmocka_unit_test_teardown(the_descriptor_becomes_readable, tear_down),
        cmocka_unit_test_teardown(nobody_has_to_look, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
