/* SPDX-License-Identifier: Apache-2.0 */
/* test_cuda.c - GPU memory by way of a stand-in for libcuda (fake_cuda.c), found as the real one
 * is. */
#include "fake_doca.h"
#include "fixture.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static struct {
    void *(*alloc)(size_t len, int device);
    void (*free)(void *addr);
    void (*dmabuf)(int supported);
    unsigned int (*sync_memops)(const void *addr);
    int (*contexts)(void);
} gpu;

static int find_gpu(void **state)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);

    (void)state;
    assert_non_null(library);
    *(void **)&gpu.alloc = dlsym(library, "fake_cuda_alloc");
    *(void **)&gpu.free = dlsym(library, "fake_cuda_free");
    *(void **)&gpu.dmabuf = dlsym(library, "fake_cuda_dmabuf");
    *(void **)&gpu.sync_memops = dlsym(library, "fake_cuda_sync_memops");
    *(void **)&gpu.contexts = dlsym(library, "fake_cuda_contexts");
    assert_non_null(*(void **)&gpu.contexts);
    return 0;
}

static int start(void **state)
{
    (void)state;
    fake_doca_reset();
    gpu.dmabuf(1);
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

static struct bc_memory *register_gpu(void *addr, size_t len, uint32_t device)
{
    struct bc_memory *memory = NULL;

    assert_int_equal(bc_memory_register(client, addr, len, BC_MEMORY_CUDA, device, &memory), 0);
    return memory;
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
    struct bc_memory *memory;
    int fds = open_fds();

    (void)state;
    fake_doca_dmabuf(false); /* DOCA refuses the descriptor */
    memory = register_gpu(addr, PAGES(4), 1);
    assert_false(fake_doca_last_by_dmabuf());
    assert_int_equal(open_fds(), fds);
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    fake_doca_dmabuf(true);
    gpu.dmabuf(0); /* the driver has none */
    memory = register_gpu(addr, PAGES(4), 1);
    assert_false(fake_doca_last_by_dmabuf());
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    gpu.free(addr);
}

static void memory_that_cannot_be_exported_says_so(void **state)
{
    uint8_t *addr = gpu.alloc(PAGES(4), 0);
    struct bc_memory *memory = NULL;

    (void)state;
    fake_doca_dmabuf(false);
    fake_doca_start_limit(1);
    assert_int_equal(bc_memory_register(client, addr, PAGES(4), BC_MEMORY_CUDA, 0, &memory),
                     -ENOTSUP);
    assert_null(memory);
    gpu.free(addr);
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
        cmocka_unit_test_setup_teardown(blocks_of_one_allocation_share_one_export, start,
                                        close_all),
        cmocka_unit_test_setup_teardown(without_dmabuf_the_plain_address_is_tried, start,
                                        close_all),
        cmocka_unit_test_setup_teardown(memory_that_cannot_be_exported_says_so, start, close_all),
        cmocka_unit_test_setup_teardown(ranges_are_checked, start, close_all),
        cmocka_unit_test_setup_teardown(a_new_allocation_at_an_old_address_is_exported_anew, start,
                                        close_all),
    };

    return cmocka_run_group_tests(tests, find_gpu, NULL);
}
