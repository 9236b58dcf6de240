/* SPDX-License-Identifier: Apache-2.0 */
/* test_dma.c - copies within one process: sizes, windows, lists, rights, flags. */
#include "fixture.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define LEN  ((size_t)8 << 20)
#define HALF (LEN / 2)

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    rig_init(rig, DPU_PCI, LEN, 64);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    rig_fini(*state);
    free(*state);
    return 0;
}

static struct doca_buf *source(struct rig *rig, size_t offset, size_t len)
{
    struct doca_buf *buf = NULL;
    assert_ok(doca_buf_inventory_buf_get_by_data(rig->inventory, rig->local, rig->mem + offset, len,
                                                 &buf));
    return buf;
}

static struct doca_buf *target(struct rig *rig, size_t offset, size_t len)
{
    struct doca_buf *buf = NULL;
    assert_ok(doca_buf_inventory_buf_get_by_addr(rig->inventory, rig->local, rig->mem + offset, len,
                                                 &buf));
    return buf;
}

static void put(struct doca_buf *buf)
{
    assert_ok(doca_buf_dec_refcount(buf, NULL));
}

static doca_error_t copy(struct rig *rig, struct doca_buf *src, struct doca_buf *dst)
{
    rig_submit(rig_task(rig, src, dst, 0));
    rig_wait(rig, rig->completed + 1);
    return rig->last_status;
}

static void every_size_and_alignment_is_copied_exactly(void **state)
{
    struct rig *rig = *state;
    static const size_t sizes[] = {1,      2,      63,      64,      65,     511,    4095,
                                   4096,   65535,  65536,   65537,   66000,  262143, 262144,
                                   262145, 300001, 1048576, 2097151, 2097152};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t len = sizes[i];
        size_t from = (i * 7) % 67;
        size_t to = HALF + 64 + (i * 13) % 71;
        fill_pattern(rig->mem + from, len, (uint32_t)i);
        memset(rig->mem + to - 64, 0xaa, len + 128);
        assert_ok(rig_copy(rig, rig->local, rig->mem + from, rig->local, rig->mem + to, len));
        assert_true(check_pattern(rig->mem + to, len, (uint32_t)i));
        for (size_t edge = 1; edge <= 64; edge++) {
            assert_int_equal(rig->mem[to - edge], 0xaa);
            assert_int_equal(rig->mem[to + len + edge - 1], 0xaa);
        }
    }
}

static void copy_appends_after_the_data_window(void **state)
{
    struct rig *rig = *state;
    struct doca_buf *src = source(rig, 0, 100);
    struct doca_buf *dst = target(rig, HALF, 250);
    size_t len = 0;
    fill_pattern(rig->mem, 100, 1);
    assert_ok(copy(rig, src, dst));
    assert_ok(copy(rig, src, dst));
    assert_ok(doca_buf_get_data_len(dst, &len));
    assert_int_equal(len, 200);
    assert_true(check_pattern(rig->mem + HALF, 100, 1));
    assert_true(check_pattern(rig->mem + HALF + 100, 100, 1));
    /* A third one has no room: nothing is copied, the window stays. */
    assert_doca(copy(rig, src, dst), DOCA_ERROR_IO_FAILED);
    assert_ok(doca_buf_get_data_len(dst, &len));
    assert_int_equal(len, 200);
    assert_int_equal(rig->mem[HALF + 200], 0);
    assert_ok(doca_buf_reset_data_len(dst));
    assert_ok(copy(rig, src, dst));
    put(src);
    put(dst);
}

static void empty_source_succeeds_and_copies_nothing(void **state)
{
    struct rig *rig = *state;
    struct doca_buf *src = target(rig, 0, 100);
    struct doca_buf *dst = target(rig, HALF, 100);
    size_t len = 9;
    assert_ok(copy(rig, src, dst));
    assert_ok(doca_buf_get_data_len(dst, &len));
    assert_int_equal(len, 0);
    put(src);
    put(dst);
}

static void empty_source_can_be_made_to_fail(void **state)
{
    struct rig rig;
    (void)state;
    setenv("DOCA_EMU_EMPTY_SOURCE_FAILS", "1", 1);
    rig_init(&rig, HOST_PCI, 4096, 1);
    unsetenv("DOCA_EMU_EMPTY_SOURCE_FAILS");
    struct doca_buf *src = target(&rig, 0, 100);
    struct doca_buf *dst = target(&rig, 2048, 100);
    assert_doca(copy(&rig, src, dst), DOCA_ERROR_IO_FAILED);
    rig_wait_state(&rig, DOCA_CTX_STATE_IDLE); /* the failure stops the context */
    put(src);
    put(dst);
    rig_fini(&rig);
}

static void oversize_is_accepted_fails_and_stops_the_context(void **state)
{
    struct rig *rig = *state;
    struct doca_buf *src = source(rig, 0, 2097153);
    struct doca_buf *dst = target(rig, HALF, 2097153);
    enum doca_ctx_states now;
    assert_doca(copy(rig, src, dst), DOCA_ERROR_IO_FAILED);
    assert_ok(doca_ctx_get_state(rig->ctx, &now));
    assert_int_not_equal(now, DOCA_CTX_STATE_RUNNING);
    rig_wait_state(rig, DOCA_CTX_STATE_IDLE);
    assert_ok(doca_ctx_start(rig->ctx));
    assert_ok(doca_buf_set_data(src, rig->mem, 2097152));
    assert_ok(copy(rig, src, dst));
    put(src);
    put(dst);
}

static void window_outside_of_the_buf_fails(void **state)
{
    struct rig *rig = *state;
    struct doca_buf *src = source(rig, 4096, 100);
    struct doca_buf *dst = target(rig, HALF, 100);
    assert_ok(doca_buf_set_data(src, rig->mem + 4096, 101));
    assert_doca(copy(rig, src, dst), DOCA_ERROR_IO_FAILED);
    assert_ok(doca_buf_set_data(src, rig->mem + 4095, 10));
    assert_doca(copy(rig, src, dst), DOCA_ERROR_IO_FAILED);
    assert_ok(doca_buf_set_data(src, (void *)8, 10));
    assert_doca(copy(rig, src, dst), DOCA_ERROR_IO_FAILED);
    assert_ok(doca_buf_set_data(src, rig->mem + 4096, 10));
    assert_ok(doca_buf_set_data(dst, rig->mem + HALF + 200, 0));
    assert_doca(copy(rig, src, dst), DOCA_ERROR_IO_FAILED);
    assert_ok(doca_buf_set_data(dst, NULL, 0));
    assert_doca(copy(rig, src, dst), DOCA_ERROR_IO_FAILED);
    assert_ok(doca_buf_set_data(dst, rig->mem + HALF, 0));
    assert_ok(copy(rig, src, dst));
    put(src);
    put(dst);
}

static void missing_buf_fails(void **state)
{
    struct rig *rig = *state;
    struct doca_buf *src = source(rig, 0, 10);
    assert_doca(copy(rig, src, NULL), DOCA_ERROR_IO_FAILED);
    assert_doca(copy(rig, NULL, src), DOCA_ERROR_IO_FAILED);
    put(src);
}

static void try_submit_checks_arguments(void **state)
{
    struct rig *rig = *state;
    struct doca_buf *src = source(rig, 0, 100);
    struct doca_buf *dst = target(rig, HALF, 99);
    struct doca_dma_task_memcpy *task = rig_task(rig, src, dst, 0);
    assert_ptr_equal(doca_dma_task_memcpy_get_src(task), src);
    assert_ptr_equal(doca_dma_task_memcpy_get_dst(task), dst);
    assert_doca(doca_task_try_submit(doca_dma_task_memcpy_as_task(task)), DOCA_ERROR_INVALID_VALUE);
    put(dst);
    dst = target(rig, HALF, 100);
    doca_dma_task_memcpy_set_dst(task, dst);
    assert_ok(doca_task_try_submit(doca_dma_task_memcpy_as_task(task)));
    rig_wait(rig, 1);
    assert_int_equal(rig->failed, 0);
    put(src);
    put(dst);
}

static void write_needs_local_right(void **state)
{
    struct rig *rig = *state;
    uint8_t *mem = calloc(1, 4096);
    struct doca_mmap *read_only = make_mmap(rig->dev, mem, 4096, DOCA_ACCESS_FLAG_LOCAL_READ_ONLY);
    assert_doca(rig_copy(rig, rig->local, rig->mem, read_only, mem, 64), DOCA_ERROR_IO_FAILED);
    assert_ok(rig_copy(rig, read_only, mem, rig->local, rig->mem, 64));
    assert_ok(doca_mmap_destroy(read_only));
    free(mem);
}

static void memory_without_set_permissions_is_local_and_writable(void **state)
{
    struct rig *rig = *state;
    static const uint8_t constant[64] = {1, 2, 3};
    uint8_t *mem = calloc(1, 4096);
    struct doca_mmap *mmaps[2] = {NULL, NULL};
    void *ranges[2] = {mem, (void *)(uintptr_t)constant};
    for (size_t i = 0; i < 2; i++) {
        assert_ok(doca_mmap_create(&mmaps[i]));
        assert_ok(doca_mmap_add_dev(mmaps[i], rig->dev));
        assert_ok(doca_mmap_set_memrange(mmaps[i], ranges[i], 64));
        assert_ok(doca_mmap_start(mmaps[i]));
    }
    assert_ok(rig_copy(rig, mmaps[1], ranges[1], mmaps[0], mem, 64));
    assert_memory_equal(mem, constant, 64);
    /* Memory that cannot be written is no destination. */
    assert_doca(rig_copy(rig, mmaps[0], mem, mmaps[1], ranges[1], 64), DOCA_ERROR_IO_FAILED);
    assert_ok(doca_mmap_destroy(mmaps[0]));
    assert_ok(doca_mmap_destroy(mmaps[1]));
    free(mem);
}

static void mmap_of_another_device_is_refused(void **state)
{
    struct rig *rig = *state;
    struct doca_dev *other = open_device(HOST_PCI);
    uint8_t *mem = calloc(1, 4096);
    struct doca_mmap *foreign = make_mmap(other, mem, 4096, DOCA_ACCESS_FLAG_LOCAL_READ_WRITE);
    assert_doca(rig_copy(rig, foreign, mem, rig->local, rig->mem, 64), DOCA_ERROR_IO_FAILED);
    assert_doca(rig_copy(rig, rig->local, rig->mem, foreign, mem, 64), DOCA_ERROR_IO_FAILED);
    assert_ok(doca_mmap_destroy(foreign));
    assert_ok(doca_dev_close(other));
    free(mem);
}

static void lists_gather_and_scatter(void **state)
{
    struct rig *rig = *state;
    struct doca_buf *src = source(rig, 0, 1000);
    struct doca_buf *dst = target(rig, HALF, 300000);
    size_t len = 0;
    struct doca_buf *part = NULL;
    fill_pattern(rig->mem, 700000, 4);
    assert_ok(doca_buf_chain_list(src, source(rig, 1000, 1)));
    assert_ok(doca_buf_chain_list(src, target(rig, 1001, 50))); /* empty window */
    assert_ok(doca_buf_chain_list(src, source(rig, 1001, 400000)));
    assert_ok(doca_buf_chain_list(dst, target(rig, HALF + 400000, 1)));
    assert_ok(doca_buf_chain_list(dst, target(rig, HALF + 500000, 200000)));
    assert_ok(copy(rig, src, dst));
    memmove(rig->mem + HALF + 300000, rig->mem + HALF + 400000, 1);
    memmove(rig->mem + HALF + 300001, rig->mem + HALF + 500000, 101000);
    assert_true(check_pattern(rig->mem + HALF, 401001, 4));
    assert_ok(doca_buf_get_last_in_list(dst, &part));
    assert_ok(doca_buf_get_data_len(part, &len));
    assert_int_equal(len, 101000);
    put(src);
    put(dst);
}

static void too_long_a_list_fails(void **state)
{
    struct rig *rig = *state;
    struct doca_buf *src = source(rig, 0, 1);
    struct doca_buf *dst = target(rig, HALF, 100);
    for (size_t i = 1; i < 64; i++) {
        assert_ok(doca_buf_chain_list(src, source(rig, i, 1)));
    }
    assert_ok(copy(rig, src, dst));
    assert_ok(doca_buf_chain_list(src, source(rig, 64, 1)));
    assert_ok(doca_buf_reset_data_len(dst));
    assert_doca(copy(rig, src, dst), DOCA_ERROR_IO_FAILED);
    put(src);
    put(dst);
}

static void unflushed_tasks_wait_for_a_flush(void **state)
{
    struct rig *rig = *state;
    struct doca_buf *src = source(rig, 0, 8);
    struct doca_buf *dst = target(rig, HALF, 4096);
    for (unsigned i = 0; i < 3; i++) {
        assert_ok(doca_task_submit_ex(doca_dma_task_memcpy_as_task(rig_task(rig, src, dst, i)),
                                      DOCA_TASK_SUBMIT_FLAG_NONE));
    }
    assert_int_equal(doca_pe_progress(rig->pe), 0);
    doca_ctx_flush_tasks(rig->ctx);
    rig_wait(rig, 3);
    assert_ok(doca_task_submit_ex(doca_dma_task_memcpy_as_task(rig_task(rig, src, dst, 3)),
                                  DOCA_TASK_SUBMIT_FLAG_NONE));
    rig_submit(rig_task(rig, src, dst, 4));
    rig_wait(rig, 5);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(rig->order[i], i);
    }
    put(src);
    put(dst);
}

static void optimized_reports_come_with_a_later_task(void **state)
{
    struct rig *rig = *state;
    struct doca_buf *src = source(rig, 0, 8);
    struct doca_buf *dst = target(rig, HALF, 4096);
    const uint32_t flags = DOCA_TASK_SUBMIT_FLAG_FLUSH | DOCA_TASK_SUBMIT_FLAG_OPTIMIZE_REPORTS;
    for (unsigned i = 0; i < 3; i++) {
        assert_ok(
            doca_task_submit_ex(doca_dma_task_memcpy_as_task(rig_task(rig, src, dst, i)), flags));
    }
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(doca_pe_progress(rig->pe), 0);
    }
    rig_submit(rig_task(rig, src, dst, 3));
    rig_wait(rig, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(rig->order[i], i);
    }
    put(src);
    put(dst);
}

static void callbacks_come_from_progress_one_a_call(void **state)
{
    struct rig *rig = *state;
    struct doca_buf *src = source(rig, 0, 64);
    struct doca_buf *dst = target(rig, HALF, 8 * 64);
    uint64_t deadline = now_ms() + 20000;
    unsigned reported = 0;
    doca_notification_handle_t handle;
    while (doca_pe_progress(rig->pe) != 0) {} /* of the context's start */
    assert_ok(doca_pe_get_notification_handle(rig->pe, &handle));
    for (unsigned i = 0; i < 8; i++) {
        rig_submit(rig_task(rig, src, dst, i));
    }
    assert_ok(doca_pe_request_notification(rig->pe));
    struct pollfd ready = {.fd = handle, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 20000), 1); /* something has completed, and was not reported */
    assert_int_equal(rig->completed, 0);
    while (rig->completed < 8) {
        unsigned handled = doca_pe_progress(rig->pe);
        reported += handled;
        assert_int_equal(rig->completed, reported);
        assert_true(now_ms() < deadline);
    }
    put(src);
    put(dst);
}

static void tasks_are_reused_without_allocation(void **state)
{
    struct rig *rig = *state;
    struct doca_buf *src = source(rig, 0, 512);
    struct doca_buf *dst = target(rig, HALF, 512);
    struct doca_dma_task_memcpy *task = rig_task(rig, src, dst, 1);
    rig->keep_tasks = true;
    for (unsigned i = 0; i < 100; i++) {
        fill_pattern(rig->mem, 512, i);
        assert_ok(doca_buf_reset_data_len(dst));
        rig_submit(task);
        rig_wait(rig, i + 1);
        assert_ok(rig->last_status);
        assert_true(check_pattern(rig->mem + HALF, 512, i));
    }
    doca_task_free(doca_dma_task_memcpy_as_task(task));
    put(src);
    put(dst);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_size_and_alignment_is_copied_exactly, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(copy_appends_after_the_data_window, set_up, tear_down),
        cmocka_unit_test_setup_teardown(empty_source_succeeds_and_copies_nothing, set_up,
                                        tear_down),
        cmocka_unit_test(empty_source_can_be_made_to_fail),
        cmocka_unit_test_setup_teardown(oversize_is_accepted_fails_and_stops_the_context, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(window_outside_of_the_buf_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(missing_buf_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(try_submit_checks_arguments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(write_needs_local_right, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_without_set_permissions_is_local_and_writable,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(mmap_of_another_device_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lists_gather_and_scatter, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_long_a_list_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unflushed_tasks_wait_for_a_flush, set_up, tear_down),
        cmocka_unit_test_setup_teardown(optimized_reports_come_with_a_later_task, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(callbacks_come_from_progress_one_a_call, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tasks_are_reused_without_allocation, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
