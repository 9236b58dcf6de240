/* SPDX-License-Identifier: Apache-2.0 */
/* test_cuda.c - how GPU memory is exported: by dma-buf, else by its address. libcuda is a stand-in
 * (fake_cuda.h), found as the real one is. What is copied by way of host memory: test_bounce.c. */
#include "fake_doca.h"
#include "fake_gpu.h"
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static int start(void **state)
{
    (void)state;
    fake_doca_reset();
    gpu.reset();
    assert_int_equal(setenv("BLUECACHE_BOUNCE_BYTES", "0", 1), 0);
    start_agent(NULL);
    open_client(0);
    return 0;
}

static int open_fds(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++) {
        count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    }
    return count;
}

static void blocks_of_one_allocation_share_one_export(void **state)
{
    uint8_t *addr = gpu.alloc(PAGES(64), 0);
    struct bc_memory *memories[64];
    struct bc_entry entry;
    int fds;

    (void)state;
    assert_non_null(addr);
    fds = open_fds();
    fake_doca_dmabuf(true);
    for (size_t i = 0; i < 64; i++) {
        memories[i] = register_gpu(addr + PAGES(i), PAGE_LEN, 0);
    }
    assert_int_equal(trace_count("open 262144"), 1);
    assert_int_equal(trace_count("open"), 1);
    assert_true(fake_doca_last_by_dmabuf());
    assert_int_equal(gpu.sync_memops(addr), 1);
    assert_int_equal(gpu.contexts(), 0); /* as many popped as pushed */
    entry = entry_of(memories[63], 0, PAGE_LEN, "a");
    assert_int_equal(finish(submit(BC_PUSH, &entry, 1, 0)), BC_STATUS_OK);
    for (size_t i = 0; i < 64; i++) {
        assert_int_equal(bc_memory_unregister(client, memories[i]), 0);
    }
    assert_int_equal(open_fds(), fds);
    gpu.free(addr);
}

static void without_dmabuf_the_plain_address_is_tried(void **state)
{
    uint8_t *addr = gpu.alloc(PAGES(4), 1);
    int fds = open_fds();

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct bc_memory *memory;

        gpu.reset();
        fake_doca_dmabuf(i != 0); /* DOCA refuses the descriptor */
        gpu.dmabuf(i == 1 ? 0 : i == 2 ? -1 : 1);
        gpu.refuse_handles(i == 3);
        memory = register_gpu(addr, PAGES(4), 1);
        assert_false(fake_doca_last_by_dmabuf());
        assert_int_equal(open_fds(), fds);
        assert_int_equal(bc_memory_unregister(client, memory), 0);
    }
    gpu.free(addr);
}

static void a_dmabuf_is_of_whole_pages(void **state)
{
    uint8_t *addr = gpu.alloc_at(5000, 0, 512);
    struct bc_memory *memory;

    (void)state;
    fake_doca_dmabuf(true);
    memory = register_gpu(addr, 5000, 0);
    assert_true(fake_doca_last_by_dmabuf());
    assert_int_equal(fake_doca_last_dmabuf_offset(), 512);
    assert_int_equal(trace_count("open 5000"), 1);
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    gpu.free(addr);
}

static void a_gpu_not_made_for_it_is_not_exported_by_address(void **state)
{
    uint8_t *addr = gpu.alloc(PAGES(4), 0);
    struct bc_memory *memory = NULL;

    (void)state;
    gpu.dmabuf(0);
    gpu.peer(0);
    assert_int_equal(bc_memory_register(client, addr, PAGES(4), BC_MEMORY_CUDA, 0, &memory),
                     -ENOTSUP);
    assert_int_equal(trace_count("open"), 0);
    gpu.peer(1);
    memory = register_gpu(addr, PAGES(4), 0);
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    gpu.free(addr);
}

static void memory_that_cannot_be_exported_says_so(void **state)
{
    uint8_t *addr = gpu.alloc(PAGES(4), 0);
    struct bc_memory *memory = NULL;

    (void)state;
    log_begin();
    fake_doca_dmabuf(false);
    fake_doca_refuse_address(addr);
    assert_int_equal(bc_memory_register(client, addr, PAGES(4), BC_MEMORY_CUDA, 0, &memory),
                     -ENOTSUP);
    assert_null(memory);
    assert_int_equal(log_count("no dma-buf: DOCA does not take it"), 1);
    assert_int_equal(log_count("not by address: DOCA cannot pin it"), 1);
    assert_int_equal(log_count("nvidia-peermem"), 1);
    log_end();
    gpu.free(addr);
}

/* The first test, as lines are told once per process. */
static void each_way_is_told_once(void **state)
{
    (void)state;
    log_begin();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 2; i++) {
            uint8_t *addr = gpu.alloc(PAGES(4), 0);
            struct bc_memory *memory;

            fake_doca_dmabuf(i == 0);
            memory = register_gpu(addr, PAGES(4), 0);
            assert_int_equal(bc_memory_unregister(client, memory), 0);
            gpu.free(addr);
        }
    }
    assert_int_equal(log_count("exported by dma-buf"), 1);
    assert_int_equal(log_count("exported by its address (nvidia-peermem); no dma-buf: DOCA does"),
                     1);
    log_end();
}

static void ranges_are_checked(void **state)
{
    uint8_t *addr = gpu.alloc(PAGES(4), 0);
    uint8_t *host = map_pages(1);
    struct bc_memory *memory = NULL;

    (void)state;
    assert_int_equal(bc_memory_register(client, host, PAGE_LEN, BC_MEMORY_CUDA, 0, &memory),
                     -EFAULT);
    assert_int_equal(bc_memory_register(client, addr, PAGES(5), BC_MEMORY_CUDA, 0, &memory),
                     -EFAULT);
    assert_int_equal(bc_memory_register(client, addr, PAGES(4), BC_MEMORY_CUDA, 1, &memory),
                     -EINVAL);
    assert_int_equal(bc_memory_register(client, addr, PAGES(4), BC_MEMORY_CUDA, 7, &memory),
                     -ENODEV);
    assert_null(memory);
    unmap_pages(host, 1);
    gpu.free(addr);
}

static void a_new_allocation_at_an_old_address_is_exported_anew(void **state)
{
    uint8_t *first = gpu.alloc(PAGES(4), 0);
    struct bc_memory *stale = register_gpu(first, PAGES(4), 0);
    struct bc_memory *fresh;
    uint8_t *second;

    (void)state;
    gpu.free(first); /* against the rules: it is still registered */
    second = gpu.alloc(PAGES(4), 0);
    if (second == first) {
        fresh = register_gpu(second, PAGES(4), 0);
        assert_int_equal(trace_count("open"), 2);
        assert_int_equal(bc_memory_unregister(client, fresh), 0);
    }
    assert_int_equal(bc_memory_unregister(client, stale), 0);
    gpu.free(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_way_is_told_once, start, close_all),
        cmocka_unit_test_setup_teardown(blocks_of_one_allocation_share_one_export, start,
                                        close_all),
        cmocka_unit_test_setup_teardown(a_dmabuf_is_of_whole_pages, start, close_all),
        cmocka_unit_test_setup_teardown(a_gpu_not_made_for_it_is_not_exported_by_address, start,
                                        close_all),
        cmocka_unit_test_setup_teardown(without_dmabuf_the_plain_address_is_tried, start,
                                        close_all),
        cmocka_unit_test_setup_teardown(memory_that_cannot_be_exported_says_so, start, close_all),
        cmocka_unit_test_setup_teardown(ranges_are_checked, start, close_all),
        cmocka_unit_test_setup_teardown(a_new_allocation_at_an_old_address_is_exported_anew, start,
                                        close_all),
    };

    return cmocka_run_group_tests(tests, fake_gpu_find, NULL);
}
