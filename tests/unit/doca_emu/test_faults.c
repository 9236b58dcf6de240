/* SPDX-License-Identifier: Apache-2.0 */
/* test_faults.c - each injected fault does what it says, and several engine threads keep every
 * promise. */
#include "peer.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEN ((size_t)1 << 20)

struct parts {
    struct rig rig;
    struct doca_buf *src;
    struct doca_buf *dst;
};

static int set_up(void **state)
{
    struct parts *parts = calloc(1, sizeof(*parts));
    rig_init(&parts->rig, DPU_PCI, LEN, 64);
    assert_ok(doca_buf_inventory_buf_get_by_data(parts->rig.inventory, parts->rig.local,
                                                 parts->rig.mem, 64, &parts->src));
    assert_ok(doca_buf_inventory_buf_get_by_addr(parts->rig.inventory, parts->rig.local,
                                                 parts->rig.mem + 4096, LEN - 4096, &parts->dst));
    *state = parts;
    return 0;
}

static int tear_down(void **state)
{
    struct parts *parts = *state;
    doca_emu_fault_clear_all();
    assert_ok(doca_buf_dec_refcount(parts->src, NULL));
    assert_ok(doca_buf_dec_refcount(parts->dst, NULL));
    rig_fini(&parts->rig);
    free(parts);
    return 0;
}

static void submit_numbered(struct parts *parts, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        rig_submit(rig_task(&parts->rig, parts->src, parts->dst, i));
    }
}

static void nth_submit_is_refused(void **state)
{
    struct parts *parts = *state;
    struct doca_dma_task_memcpy *copy = rig_task(&parts->rig, parts->src, parts->dst, 0);
    struct doca_task *task = doca_dma_task_memcpy_as_task(copy);
    parts->rig.keep_tasks = true;
    assert_ok(doca_emu_fault_set(DOCA_EMU_FAULT_SUBMIT_AGAIN, 2, 2));
    for (unsigned i = 0; i < 3; i++) {
        assert_ok(doca_task_submit(task));
        rig_wait(&parts->rig, i + 1);
        assert_doca(doca_task_submit(task), DOCA_ERROR_AGAIN);
    }
    doca_task_free(task);
}

static void nth_completion_fails(void **state)
{
    struct parts *parts = *state;
    enum doca_ctx_states now;
    assert_ok(doca_emu_fault_set(DOCA_EMU_FAULT_IO_FAILED, 3, 0));
    submit_numbered(parts, 8);
    rig_wait(&parts->rig, 8);
    assert_int_equal(parts->rig.failed, 1);
    assert_ok(doca_ctx_get_state(parts->rig.ctx, &now));
    assert_int_equal(now, DOCA_CTX_STATE_RUNNING);
}

static void dropped_context_can_be_restarted(void **state)
{
    struct parts *parts = *state;
    assert_ok(doca_emu_fault_set(DOCA_EMU_FAULT_CTX_DROP, 1, 0));
    submit_numbered(parts, 4);
    rig_wait_state(&parts->rig, DOCA_CTX_STATE_IDLE);
    assert_int_equal(parts->rig.completed, 4);
    assert_in_range(parts->rig.failed, 1, 4);
    assert_ok(doca_ctx_start(parts->rig.ctx));
    submit_numbered(parts, 1);
    rig_wait(&parts->rig, 5);
    assert_ok(parts->rig.last_status);
}

static void nth_allocation_has_no_memory(void **state)
{
    struct parts *parts = *state;
    struct doca_dma_task_memcpy *task = NULL;
    union doca_data none = {.u64 = 0};
    assert_ok(doca_emu_fault_set(DOCA_EMU_FAULT_TASK_NO_MEMORY, 1, 0));
    assert_doca(
        doca_dma_task_memcpy_alloc_init(parts->rig.dma, parts->src, parts->dst, none, &task),
        DOCA_ERROR_NO_MEMORY);
    submit_numbered(parts, 1);
    rig_wait(&parts->rig, 1);
}

static void random_order_reports_each_once(void **state)
{
    struct parts *parts = *state;
    uint64_t seen = 0;
    assert_ok(doca_emu_fault_set(DOCA_EMU_FAULT_RANDOM_ORDER, 12345, 0));
    submit_numbered(parts, 64);
    rig_wait(&parts->rig, 64);
    for (unsigned i = 0; i < 64; i++) {
        seen |= UINT64_C(1) << parts->rig.order[i];
    }
    assert_int_equal(seen, UINT64_MAX);
    assert_int_equal(parts->rig.failed, 0);
}

static void delayed_completion_arrives(void **state)
{
    struct parts *parts = *state;
    uint64_t start = now_ms();
    assert_ok(doca_emu_fault_set(DOCA_EMU_FAULT_COMPLETE_DELAY, 20000, 0));
    submit_numbered(parts, 1);
    rig_wait(&parts->rig, 1);
    assert_true(now_ms() - start >= 19);
}

static void unknown_fault_is_refused(void **state)
{
    (void)state;
    assert_doca(doca_emu_fault_set(DOCA_EMU_FAULT_COUNT, 1, 0), DOCA_ERROR_INVALID_VALUE);
    assert_int_equal(doca_emu_is_emulation(), 1);
}

static void crash_kills_the_process_in_the_copy(void **state)
{
    (void)state;
    struct peer host;
    struct peer dpu;
    int status = 0;
    peer_start(&host, HOST_PCI, NULL);
    peer_start(&dpu, DPU_PCI, "DOCA_EMU_FAULT_CRASH_IN_COPY=2");
    struct peer_reply exported =
        peer_ask(&host, (struct peer_request){.op = PEER_EXPORT,
                                              .kind = PEER_MEMFD,
                                              .permissions = DOCA_ACCESS_FLAG_PCI_READ_WRITE});
    struct peer_request import = {.op = PEER_IMPORT, .blob_len = exported.blob_len};
    memcpy(import.blob, exported.blob, exported.blob_len);
    assert_ok(peer_ask(&dpu, import).status);
    peer_send(&dpu, &(struct peer_request){.op = PEER_PUSH, .len = LEN});
    assert_int_equal(waitpid(dpu.pid, &status, 0), dpu.pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    close(dpu.fd);
    assert_ok(peer_ask(&host, (struct peer_request){.op = PEER_DESTROY}).status);
    peer_quit(&host);
}

/* Threads that poll for nothing fall asleep between any two tasks: none of 2000 submits may fail to
 * wake one. */
static void sleeping_engine_threads_are_always_woken(void **state)
{
    (void)state;
    static const char *const threads[] = {"1", "3"};
    for (size_t i = 0; i < 2; i++) {
        struct rig rig;
        struct doca_buf *src;
        struct doca_buf *dst;
        setenv("DOCA_EMU_ENGINE_THREADS", threads[i], 1);
        setenv("DOCA_EMU_SPIN_NS", "0", 1);
        rig_init(&rig, DPU_PCI, LEN, 2);
        unsetenv("DOCA_EMU_ENGINE_THREADS");
        unsetenv("DOCA_EMU_SPIN_NS");
        assert_ok(doca_buf_inventory_buf_get_by_data(rig.inventory, rig.local, rig.mem, 64, &src));
        assert_ok(
            doca_buf_inventory_buf_get_by_addr(rig.inventory, rig.local, rig.mem + 64, 64, &dst));
        for (unsigned round = 1; round <= 1000; round++) {
            assert_ok(doca_buf_reset_data_len(dst));
            rig_submit(rig_task(&rig, src, dst, round));
            rig_wait(&rig, round);
        }
        assert_int_equal(rig.failed, 0);
        assert_ok(doca_buf_dec_refcount(src, NULL));
        assert_ok(doca_buf_dec_refcount(dst, NULL));
        rig_fini(&rig);
    }
}

static void several_engine_threads_complete_everything(void **state)
{
    (void)state;
    struct rig rig;
    struct doca_buf *src[32];
    struct doca_buf *dst[32];
    setenv("DOCA_EMU_ENGINE_THREADS", "4", 1);
    rig_init(&rig, DPU_PCI, LEN, 32);
    unsetenv("DOCA_EMU_ENGINE_THREADS");
    fill_pattern(rig.mem, LEN / 2, 3);
    const size_t step = LEN / 64;
    for (size_t i = 0; i < 32; i++) {
        assert_ok(doca_buf_inventory_buf_get_by_data(rig.inventory, rig.local, rig.mem + i * step,
                                                     step, &src[i]));
        assert_ok(doca_buf_inventory_buf_get_by_addr(rig.inventory, rig.local,
                                                     rig.mem + LEN / 2 + i * step, step, &dst[i]));
    }
    for (unsigned round = 0; round < 20; round++) {
        memset(rig.mem + LEN / 2, 0, LEN / 2);
        for (size_t i = 0; i < 32; i++) {
            assert_ok(doca_buf_reset_data_len(dst[i]));
            rig_submit(rig_task(&rig, src[i], dst[i], i));
        }
        rig_wait(&rig, (round + 1) * 32);
        assert_true(check_pattern(rig.mem + LEN / 2, LEN / 2, 3));
    }
    assert_int_equal(rig.failed, 0);
    for (size_t i = 0; i < 32; i++) {
        assert_ok(doca_buf_dec_refcount(src[i], NULL));
        assert_ok(doca_buf_dec_refcount(dst[i], NULL));
    }
    rig_fini(&rig);
}

int main(int argc, char **argv)
{
    peer_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nth_submit_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nth_completion_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(dropped_context_can_be_restarted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nth_allocation_has_no_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(random_order_reports_each_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(delayed_completion_arrives, set_up, tear_down),
        cmocka_unit_test(unknown_fault_is_refused),
        cmocka_unit_test(crash_kills_the_process_in_the_copy),
        cmocka_unit_test(sleeping_engine_threads_are_always_woken),
        cmocka_unit_test(several_engine_threads_complete_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
