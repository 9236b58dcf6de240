/* SPDX-License-Identifier: Apache-2.0 */
/* test_emulation.c - the library over the emulation of DOCA, which is strict about the order of
 * calls; the agent still copies nothing. */
#include "fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int start(void **state)
{
    (void)state;
    start_agent(NULL);
    open_client(0);
    return 0;
}

static void the_default_device_is_the_host_function(void **state)
{
    struct bc_client_info info;

    (void)state;
    bc_client_get_info(client, &info);
    assert_string_equal(info.pci_addr, "0000:ba:00.0");
}

static void every_kind_of_host_memory_can_be_exported(void **state)
{
    uint8_t *anonymous = map_pages(300);
    uint8_t *heap = malloc(100000);
    void *shared = NULL;
    struct bc_memory *memories[3];
    struct bc_entry entries[3];

    (void)state;
    assert_non_null(heap);
    assert_int_equal(bc_memory_alloc(5u << 20, &shared), 0);
    memories[0] = register_range(anonymous, PAGES(300));
    memories[1] = register_range(heap, 100000);
    memories[2] = register_range(shared, 5u << 20);
    for (size_t i = 0; i < 3; i++) {
        entries[i] = entry_of(memories[i], 1000, 90000, "key");
        entries[i].object_offset = i * 90000;
    }
    assert_int_equal(finish(submit(BC_PUSH, entries, 3, 0)), BC_STATUS_OK);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(bc_memory_unregister(client, memories[i]), 0);
    }
    bc_memory_free(shared);
    free(heap);
    unmap_pages(anonymous, 300);
}

static void pages_are_merged_and_come_back(void **state)
{
    uint8_t *addr = map_pages(64);
    struct bc_memory *memories[64];
    struct bc_entry entry;

    (void)state;
    for (size_t i = 0; i < 64; i++) {
        memories[i] = register_range(addr + PAGES(i), PAGE_LEN);
    }
    assert_true(trace_wait("unregister", 63));
    fake_agent_drop(agent, false);
    await_reconnect(1);
    for (size_t i = 0; i < 64; i++) {
        entry = entry_of(memories[i], 0, PAGE_LEN, "key");
        assert_int_equal(finish(submit(BC_PULL, &entry, 1, 0)), BC_STATUS_OK);
        assert_int_equal(bc_memory_unregister(client, memories[i]), 0);
    }
    unmap_pages(addr, 64);
}

static void memory_of_a_gpu_is_refused_with_reason(void **state)
{
    uint8_t *addr = map_pages(1);
    struct bc_memory *memory = NULL;
    int rc = bc_memory_register(client, addr, PAGE_LEN, BC_MEMORY_CUDA, 0, &memory);

    (void)state;
    /* -ENODEV without a driver; with one, the address is not the GPU's. */
    assert_true(rc == -ENODEV || rc == -EFAULT);
    assert_null(memory);
    unmap_pages(addr, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_default_device_is_the_host_function, start, close_all),
        cmocka_unit_test_setup_teardown(every_kind_of_host_memory_can_be_exported, start,
                                        close_all),
        cmocka_unit_test_setup_teardown(pages_are_merged_and_come_back, start, close_all),
        cmocka_unit_test_setup_teardown(memory_of_a_gpu_is_refused_with_reason, start, close_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
