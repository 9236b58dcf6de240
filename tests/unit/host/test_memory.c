/* SPDX-License-Identifier: Apache-2.0 */
/* test_memory.c - registering and unregistering, with an agent that answers, and one that does
 * not. */
#include "fake_doca.h"
#include "fixture.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static int reset(void **state)
{
    (void)state;
    fake_doca_reset();
    return 0;
}

static int tear_down(void **state)
{
    int rc = close_all(state);

    assert_int_equal(fake_doca_open_count(), 0);
    return rc;
}

static void pages_share_one_export(void **state)
{
    struct bc_memory *memories[256];
    uint8_t *addr = map_pages(256);
    struct bc_entry entries[2];

    (void)state;
    start_agent(NULL);
    open_client(0);
    for (size_t i = 0; i < 256; i++) {
        memories[i] = register_range(addr + PAGES(i), PAGE_LEN);
    }
    /* Those that were merged leave by themselves. */
    assert_true(trace_wait("unregister", 255));
    assert_true(trace_wait("destroy", 255));
    assert_int_equal(fake_agent_memories(agent), 1);
    assert_int_equal(fake_doca_open_count(), 1);
    entries[0] = entry_of(memories[3], 100, 1000, "a");
    entries[1] = entry_of(memories[255], 96, 4000, "b");
    assert_int_equal(finish(submit(BC_PUSH, entries, 2, 0)), BC_STATUS_OK);
    for (size_t i = 0; i < 255; i++) {
        assert_int_equal(bc_memory_unregister(client, memories[i]), 0);
    }
    assert_int_equal(finish(submit(BC_PULL, &entries[1], 1, 0)), BC_STATUS_OK);
    assert_int_equal(bc_memory_unregister(client, memories[255]), 0);
    assert_int_equal(fake_doca_open_count(), 0);
    assert_int_equal(fake_agent_memories(agent), 0);
    unmap_pages(addr, 256);
}

static void a_request_keeps_the_export_that_was_merged(void **state)
{
    uint8_t *addr = map_pages(2);
    struct bc_memory *first;
    struct bc_memory *second;
    struct bc_request *request;
    struct bc_entry entry;

    (void)state;
    start_agent(NULL);
    open_client(0);
    first = register_range(addr, PAGE_LEN);
    fake_agent_hold(agent, BC_MSG_TRANSFER, true);
    entry = entry_of(first, 0, PAGE_LEN, "a");
    request = submit(BC_PULL, &entry, 1, 0);
    second = register_range(addr + PAGE_LEN, PAGE_LEN);
    assert_int_equal(trace_count("open 8192"), 1);
    assert_int_equal(trace_count("unregister"), 0);
    assert_int_equal(fake_doca_open_count(), 2);
    fake_agent_hold(agent, BC_MSG_TRANSFER, false);
    assert_int_equal(finish(request), BC_STATUS_OK);
    assert_true(trace_wait("destroy 4096", 1));
    assert_true(trace_index("unregister", 1) < trace_index("destroy 4096", 1));
    assert_int_equal(bc_memory_unregister(client, first), 0);
    assert_int_equal(bc_memory_unregister(client, second), 0);
    unmap_pages(addr, 2);
}

static void unregister_is_a_barrier(void **state)
{
    uint8_t *addr = map_pages(4);
    struct bc_memory *memory;

    (void)state;
    start_agent(NULL);
    open_client(0);
    memory = register_range(addr + 100, PAGES(2));
    assert_int_equal(trace_count("open 12288"), 1); /* rounded to pages */
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    assert_true(trace_index("unregister", 1) >= 0);
    assert_true(trace_index("unregister", 1) < trace_index("destroy", 1));
    unmap_pages(addr, 4);
}

static void unregister_revokes_when_the_agent_is_stuck(void **state)
{
    uint8_t *addr = map_pages(1);
    struct bc_memory *memory;

    (void)state;
    start_agent(NULL);
    open_client(300);
    memory = register_range(addr, PAGE_LEN);
    fake_agent_hold(agent, BC_MSG_UNREGISTER, true);
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    assert_int_equal(trace_count("destroy"), 1);
    unmap_pages(addr, 1);
}

static void quarantine_is_told(void **state)
{
    uint8_t *addr = map_pages(1);
    struct bc_memory *memory;

    (void)state;
    start_agent(NULL);
    open_client(0);
    memory = register_range(addr, PAGE_LEN);
    fake_doca_hold_destroy(true);
    assert_int_equal(bc_memory_unregister(client, memory), -EINPROGRESS);
    assert_int_equal(bc_memory_unregister(client, memory), -EINPROGRESS);
    assert_true(trace_wait("busy", 3)); /* the library thread goes on trying */
    fake_doca_hold_destroy(false);
    assert_int_equal(bc_memory_unregister(client, memory), 0); /* each call tries */
    assert_int_equal(trace_count("destroy"), 1);
    unmap_pages(addr, 1);
}

static void what_cannot_be_registered(void **state)
{
    struct fake_agent_options options = {.regions_max = 2};
    struct bc_memory *memories[2];
    struct bc_memory *none = NULL;
    uint8_t *addr = map_pages(8);

    (void)state;
    start_agent(&options);
    open_client(0);
    assert_int_equal(bc_memory_register(client, addr, 0, BC_MEMORY_HOST, 0, &none), -EINVAL);
    assert_int_equal(bc_memory_register(client, NULL, 1, BC_MEMORY_HOST, 0, &none), -EINVAL);
    assert_int_equal(bc_memory_register(client, addr, SIZE_MAX, BC_MEMORY_HOST, 0, &none), -EINVAL);
    assert_int_equal(bc_memory_register(client, addr, 10, (enum bc_memory_type)9, 0, &none),
                     -EINVAL);
    unmap_pages(addr + PAGES(7), 1);
    assert_int_equal(
        bc_memory_register(client, addr + PAGES(6), PAGES(2), BC_MEMORY_HOST, 0, &none), -EFAULT);
    memories[0] = register_range(addr, PAGE_LEN);
    memories[1] = register_range(addr + PAGES(2), PAGE_LEN);
    assert_int_equal(
        bc_memory_register(client, addr + PAGES(4), PAGE_LEN, BC_MEMORY_HOST, 0, &none), -ENOSPC);
    assert_int_equal(bc_memory_unregister(client, memories[0]), 0);
    memories[0] = register_range(addr + PAGES(4), PAGE_LEN);
    assert_int_equal(bc_memory_unregister(client, memories[0]), 0);
    fake_agent_status(agent, BC_MSG_REGISTER, BC_STATUS_DMA_ERROR);
    assert_int_equal(
        bc_memory_register(client, addr + PAGES(4), PAGE_LEN, BC_MEMORY_HOST, 0, &none), -EIO);
    fake_agent_status(agent, BC_MSG_REGISTER, BC_STATUS_OK);
    assert_int_equal(bc_memory_unregister(client, memories[1]), 0);
    assert_null(none);
    unmap_pages(addr, 7);
}

static void an_export_that_cannot_be_merged_stays_apart(void **state)
{
    uint8_t *addr = map_pages(2);
    struct bc_memory *first;
    struct bc_memory *second;
    struct bc_entry entries[2];

    (void)state;
    fake_doca_start_limit(PAGE_LEN);
    start_agent(NULL);
    open_client(0);
    first = register_range(addr, PAGE_LEN);
    second = register_range(addr + PAGE_LEN, PAGE_LEN);
    assert_int_equal(trace_count("open 4096"), 2);
    entries[0] = entry_of(first, 0, 10, "a");
    entries[1] = entry_of(second, 0, 10, "b");
    assert_int_equal(finish(submit(BC_PUSH, entries, 2, 0)), BC_STATUS_OK);
    assert_int_equal(bc_memory_unregister(client, first), 0);
    assert_int_equal(bc_memory_unregister(client, second), 0);
    unmap_pages(addr, 2);
}

static void register_has_a_deadline(void **state)
{
    uint8_t *addr = map_pages(1);
    struct bc_memory *memory = NULL;

    (void)state;
    start_agent(NULL);
    open_client(300);
    fake_agent_hold(agent, BC_MSG_REGISTER, true);
    assert_int_equal(bc_memory_register(client, addr, PAGE_LEN, BC_MEMORY_HOST, 0, &memory),
                     -ETIMEDOUT);
    assert_int_equal(bc_memory_register(client, addr, PAGE_LEN, BC_MEMORY_HOST, 0, &memory),
                     -ETIMEDOUT);
    /* Answers that come too late are taken back. */
    fake_agent_hold(agent, BC_MSG_REGISTER, false);
    assert_true(trace_wait("unregister", 2));
    assert_true(trace_wait("destroy", 2));
    memory = register_range(addr, PAGE_LEN);
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    unmap_pages(addr, 1);
}

static void memory_is_registered_while_the_agent_is_away(void **state)
{
    uint8_t *addr = map_pages(4);
    struct bc_memory *memories[4];
    struct bc_entry entry;

    (void)state;
    start_agent(NULL);
    open_client(0);
    memories[0] = register_range(addr, PAGE_LEN);
    fake_agent_drop(agent, true);
    assert_true(trace_wait("destroy", 1));
    for (size_t i = 1; i < 4; i++) {
        memories[i] = register_range(addr + PAGES(i), PAGE_LEN);
    }
    assert_int_equal(bc_memory_unregister(client, memories[0]), 0);
    fake_agent_drop(agent, false);
    await_reconnect(1);
    for (size_t i = 1; i < 4; i++) {
        entry = entry_of(memories[i], 0, PAGE_LEN, "a");
        assert_int_equal(finish(submit(BC_PULL, &entry, 1, 0)), BC_STATUS_OK);
        assert_int_equal(bc_memory_unregister(client, memories[i]), 0);
    }
    unmap_pages(addr, 4);
}

static void holes_are_not_exported_again(void **state)
{
    uint8_t *addr = map_pages(8);
    struct bc_memory *memories[8];
    struct bc_entry entry;

    (void)state;
    start_agent(NULL);
    open_client(0);
    for (size_t i = 0; i < 8; i++) {
        memories[i] = register_range(addr + PAGES(i), PAGE_LEN);
    }
    assert_int_equal(bc_memory_unregister(client, memories[2]), 0);
    unmap_pages(addr + PAGES(2), 1);
    fake_agent_drop(agent, false);
    await_reconnect(1);
    /* Pages 0..1 and 3..7: what is left, and nothing that was unmapped. */
    assert_true(trace_wait("open 8192", 3)); /* two came from merging before */
    assert_true(trace_wait("open 20480", 1));
    entry = entry_of(memories[7], 0, PAGE_LEN, "a");
    assert_int_equal(finish(submit(BC_PULL, &entry, 1, 0)), BC_STATUS_OK);
    for (size_t i = 0; i < 8; i++) {
        if (i != 2) {
            assert_int_equal(bc_memory_unregister(client, memories[i]), 0);
        }
    }
    unmap_pages(addr, 2);
    unmap_pages(addr + PAGES(3), 5);
}

static void allocated_memory_is_one_export(void **state)
{
    struct bc_memory *memories[16];
    void *addr = NULL;
    void *large = NULL;

    (void)state;
    start_agent(NULL);
    open_client(0);
    assert_int_equal(bc_memory_alloc(0, &addr), -EINVAL);
    assert_int_equal(bc_memory_alloc((size_t)1 << 60, &addr), -ENOMEM);
    assert_int_equal(bc_memory_alloc(PAGES(16) - 5, &addr), 0);
    assert_int_equal(bc_memory_alloc((3u << 20) + 1, &large), 0);
    for (size_t i = 0; i < (3u << 20) + 1; i++) {
        assert_int_equal(((uint8_t *)large)[i], 0);
    }
    memset(large, 1, (3u << 20) + 1);
    for (size_t i = 0; i < 16; i++) {
        memories[i] = register_range((uint8_t *)addr + PAGES(i), PAGE_LEN);
    }
    assert_int_equal(trace_count("open"), 1);
    for (size_t i = 0; i < 16; i++) {
        assert_int_equal(bc_memory_unregister(client, memories[i]), 0);
    }
    assert_int_equal(trace_count("open 65536"), 1);
    assert_int_equal(trace_count("destroy 65536"), 1);
    bc_memory_free(addr);
    bc_memory_free(large);
    bc_memory_free(NULL);
}

static void close_unregisters_what_is_left(void **state)
{
    uint8_t *addr = map_pages(16);

    for (int round = 0; round < 2; round++) {
        start_agent(NULL);
        open_client(0);
        (void)register_range(addr, PAGES(4));
        (void)register_range(addr + PAGES(8), PAGES(4));
        assert_int_equal(bc_client_close(client), 0);
        client = NULL;
        assert_true(trace_wait("goodbye", 1));
        assert_int_equal(trace_count("unregister"), 2);
        assert_int_equal(tear_down(state), 0);
    }
    unmap_pages(addr, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pages_share_one_export, reset, tear_down),
        cmocka_unit_test_setup_teardown(a_request_keeps_the_export_that_was_merged, reset,
                                        tear_down),
        cmocka_unit_test_setup_teardown(unregister_is_a_barrier, reset, tear_down),
        cmocka_unit_test_setup_teardown(unregister_revokes_when_the_agent_is_stuck, reset,
                                        tear_down),
        cmocka_unit_test_setup_teardown(quarantine_is_told, reset, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_registered, reset, tear_down),
        cmocka_unit_test_setup_teardown(an_export_that_cannot_be_merged_stays_apart, reset,
                                        tear_down),
        cmocka_unit_test_setup_teardown(register_has_a_deadline, reset, tear_down),
        cmocka_unit_test_setup_teardown(memory_is_registered_while_the_agent_is_away, reset,
                                        tear_down),
        cmocka_unit_test_setup_teardown(holes_are_not_exported_again, reset, tear_down),
        cmocka_unit_test_setup_teardown(allocated_memory_is_one_export, reset, tear_down),
        cmocka_unit_test_setup(close_unregisters_what_is_left, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
