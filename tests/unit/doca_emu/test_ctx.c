/* SPDX-License-Identifier: Apache-2.0 */
/* test_ctx.c - life cycle of contexts, progress engines and tasks, and what misuse leads to. */
#include "fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEN ((size_t)64 << 10)

static void ignore_cb(struct doca_dma_task_memcpy *task, union doca_data task_user_data,
                      union doca_data ctx_user_data)
{
    (void)task;
    (void)task_user_data;
    (void)ctx_user_data;
}

struct changes {
    unsigned count;
    enum doca_ctx_states prev[8];
    enum doca_ctx_states next[8];
};

static void record_change(const union doca_data user_data, struct doca_ctx *ctx,
                          enum doca_ctx_states prev, enum doca_ctx_states next)
{
    struct changes *changes = user_data.ptr;
    (void)ctx;
    assert_in_range(changes->count, 0, 7);
    changes->prev[changes->count] = prev;
    changes->next[changes->count++] = next;
}

static void start_and_connect_follow_their_order(void **state)
{
    (void)state;
    struct doca_dev *dev = open_device(DPU_PCI);
    struct doca_pe *pe = NULL;
    struct doca_pe *other = NULL;
    struct doca_dma *dma = NULL;
    enum doca_ctx_states now;
    union doca_data word = {.u64 = 3};
    assert_ok(doca_pe_create(&pe));
    assert_ok(doca_pe_create(&other));
    assert_ok(doca_dma_create(dev, &dma));
    struct doca_ctx *ctx = doca_dma_as_ctx(dma);
    assert_doca(doca_ctx_start(ctx), DOCA_ERROR_NOT_CONNECTED);
    assert_ok(doca_pe_connect_ctx(pe, ctx));
    assert_doca(doca_pe_connect_ctx(other, ctx), DOCA_ERROR_NOT_PERMITTED);
    assert_doca(doca_pe_connect_ctx(pe, ctx), DOCA_ERROR_NOT_PERMITTED);
    assert_doca(doca_ctx_start(ctx), DOCA_ERROR_INITIALIZATION);
    assert_doca(doca_dma_task_memcpy_set_conf(dma, ignore_cb, ignore_cb, 0),
                DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_dma_task_memcpy_set_conf(dma, NULL, ignore_cb, 4), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_dma_task_memcpy_set_conf(dma, ignore_cb, ignore_cb, 1u << 30),
                DOCA_ERROR_INVALID_VALUE);
    assert_ok(doca_dma_task_memcpy_set_conf(dma, ignore_cb, ignore_cb, 4));
    assert_ok(doca_ctx_stop(ctx)); /* idle already */
    assert_ok(doca_ctx_start(ctx));
    assert_ok(doca_ctx_get_state(ctx, &now));
    assert_int_equal(now, DOCA_CTX_STATE_RUNNING);
    assert_doca(doca_ctx_start(ctx), DOCA_ERROR_BAD_STATE);
    assert_doca(doca_dma_task_memcpy_set_conf(dma, ignore_cb, ignore_cb, 4), DOCA_ERROR_BAD_STATE);
    assert_doca(doca_ctx_set_user_data(ctx, word), DOCA_ERROR_BAD_STATE);
    assert_doca(doca_ctx_set_state_changed_cb(ctx, record_change), DOCA_ERROR_BAD_STATE);
    assert_doca(doca_pe_connect_ctx(other, ctx), DOCA_ERROR_BAD_STATE);
    assert_doca(doca_dma_destroy(dma), DOCA_ERROR_IN_USE);
    assert_ok(doca_ctx_stop(ctx));
    assert_doca(doca_pe_destroy(pe), DOCA_ERROR_IN_USE);
    assert_ok(doca_dma_destroy(dma));
    assert_ok(doca_pe_destroy(pe));
    assert_ok(doca_pe_destroy(other));
    assert_ok(doca_dev_close(dev));
}

static void state_changes_are_reported_by_progress(void **state)
{
    (void)state;
    struct rig rig;
    struct changes changes = {0};
    union doca_data user_data = {.ptr = &changes};
    struct doca_dma_task_memcpy *task = NULL;
    rig_init(&rig, DPU_PCI, LEN, 4);
    assert_ok(doca_ctx_stop(rig.ctx));
    assert_ok(doca_ctx_set_user_data(rig.ctx, user_data));
    assert_ok(doca_ctx_set_state_changed_cb(rig.ctx, record_change));
    assert_ok(doca_ctx_start(rig.ctx));
    assert_int_equal(changes.count, 0);
    assert_int_equal(doca_pe_progress(rig.pe), 1);
    assert_int_equal(doca_pe_progress(rig.pe), 0);
    assert_int_equal(changes.count, 1);
    assert_int_equal(changes.prev[0], DOCA_CTX_STATE_IDLE);
    assert_int_equal(changes.next[0], DOCA_CTX_STATE_RUNNING);
    task = rig_task(&rig, NULL, NULL, 0);
    assert_doca(doca_ctx_stop(rig.ctx), DOCA_ERROR_IN_PROGRESS);
    assert_int_equal(doca_pe_progress(rig.pe), 1);
    assert_int_equal(doca_pe_progress(rig.pe), 0);
    assert_int_equal(changes.count, 2);
    assert_int_equal(changes.next[1], DOCA_CTX_STATE_STOPPING);
    assert_doca(doca_ctx_stop(rig.ctx), DOCA_ERROR_IN_PROGRESS);
    doca_task_free(doca_dma_task_memcpy_as_task(task));
    assert_int_equal(doca_pe_progress(rig.pe), 1);
    assert_int_equal(changes.count, 3);
    assert_int_equal(changes.prev[2], DOCA_CTX_STATE_STOPPING);
    assert_int_equal(changes.next[2], DOCA_CTX_STATE_IDLE);
    rig_fini(&rig);
}

static void tasks_come_from_a_fixed_pool(void **state)
{
    (void)state;
    struct rig rig;
    struct doca_dma_task_memcpy *tasks[4];
    struct doca_dma_task_memcpy *fifth = NULL;
    union doca_data word = {.u64 = 8};
    uint32_t max = 0;
    rig_init(&rig, DPU_PCI, LEN, 4);
    assert_ok(doca_dma_cap_get_max_num_tasks(rig.dma, &max));
    assert_true(max >= 4);
    for (size_t i = 0; i < 4; i++) {
        tasks[i] = rig_task(&rig, NULL, NULL, i);
    }
    assert_doca(doca_dma_task_memcpy_alloc_init(rig.dma, NULL, NULL, word, &fifth),
                DOCA_ERROR_NO_MEMORY);
    struct doca_task *task = doca_dma_task_memcpy_as_task(tasks[2]);
    assert_int_equal(doca_task_get_user_data(task).u64, 2);
    doca_task_set_user_data(task, word);
    assert_int_equal(doca_task_get_user_data(task).u64, 8);
    assert_ptr_equal(doca_task_get_ctx(task), rig.ctx);
    for (size_t i = 0; i < 4; i++) {
        doca_task_free(doca_dma_task_memcpy_as_task(tasks[i]));
    }
    assert_ok(doca_ctx_stop(rig.ctx));
    assert_doca(doca_dma_task_memcpy_alloc_init(rig.dma, NULL, NULL, word, &fifth),
                DOCA_ERROR_BAD_STATE);
    rig_fini(&rig);
}

static void stop_returns_tasks_in_flight_through_the_error_callback(void **state)
{
    (void)state;
    struct rig rig;
    struct doca_buf *src = NULL;
    struct doca_buf *dst = NULL;
    size_t in_flight = 0;
    rig_init(&rig, DPU_PCI, LEN, 8);
    assert_ok(doca_buf_inventory_buf_get_by_data(rig.inventory, rig.local, rig.mem, 64, &src));
    assert_ok(doca_buf_inventory_buf_get_by_addr(rig.inventory, rig.local, rig.mem + 4096,
                                                 LEN - 4096, &dst));
    /* Unflushed tasks are certainly not started yet. */
    for (unsigned i = 0; i < 8; i++) {
        struct doca_dma_task_memcpy *task = rig_task(&rig, src, dst, i);
        assert_ok(
            doca_task_submit_ex(doca_dma_task_memcpy_as_task(task), DOCA_TASK_SUBMIT_FLAG_NONE));
    }
    assert_ok(doca_ctx_get_num_inflight_tasks(rig.ctx, &in_flight));
    assert_int_equal(in_flight, 8);
    assert_doca(doca_ctx_stop(rig.ctx), DOCA_ERROR_IN_PROGRESS);
    assert_doca(doca_dma_destroy(rig.dma), DOCA_ERROR_IN_USE);
    rig_wait_state(&rig, DOCA_CTX_STATE_IDLE);
    assert_int_equal(rig.completed, 8);
    assert_int_equal(rig.failed, 8);
    assert_doca(rig.last_status, DOCA_ERROR_IO_FAILED);
    /* And the context can be started again. */
    assert_ok(doca_ctx_start(rig.ctx));
    rig_submit(rig_task(&rig, src, dst, 9));
    rig_wait(&rig, 9);
    assert_int_equal(rig.failed, 8);
    assert_ok(doca_buf_dec_refcount(src, NULL));
    assert_ok(doca_buf_dec_refcount(dst, NULL));
    rig_fini(&rig);
}

static void submit_needs_a_running_context(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, DPU_PCI, LEN, 4);
    struct doca_task *task = doca_dma_task_memcpy_as_task(rig_task(&rig, NULL, NULL, 0));
    assert_doca(doca_task_submit_ex(task, 1u << 9), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_task_submit(NULL), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_task_try_submit(task), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_ctx_stop(rig.ctx), DOCA_ERROR_IN_PROGRESS);
    assert_doca(doca_task_submit(task), DOCA_ERROR_BAD_STATE);
    doca_task_free(task);
    rig_fini(&rig);
}

/* --- misuse ----------------------------------------------------------------------------------- */

static void submit_freed(struct rig *rig)
{
    struct doca_task *task = doca_dma_task_memcpy_as_task(rig_task(rig, NULL, NULL, 0));
    doca_task_free(task);
    (void)doca_task_submit(task);
}

static void submit_twice(struct rig *rig)
{
    struct doca_task *task = doca_dma_task_memcpy_as_task(rig_task(rig, NULL, NULL, 0));
    (void)doca_task_submit_ex(task, DOCA_TASK_SUBMIT_FLAG_NONE);
    (void)doca_task_submit_ex(task, DOCA_TASK_SUBMIT_FLAG_NONE);
}

static void free_in_flight(struct rig *rig)
{
    struct doca_task *task = doca_dma_task_memcpy_as_task(rig_task(rig, NULL, NULL, 0));
    (void)doca_task_submit_ex(task, DOCA_TASK_SUBMIT_FLAG_NONE);
    doca_task_free(task);
}

static void change_in_flight(struct rig *rig)
{
    struct doca_dma_task_memcpy *copy = rig_task(rig, NULL, NULL, 0);
    (void)doca_task_submit_ex(doca_dma_task_memcpy_as_task(copy), DOCA_TASK_SUBMIT_FLAG_NONE);
    doca_dma_task_memcpy_set_src(copy, NULL);
}

static struct doca_pe *nested_pe;

static void progress_in_callback(const union doca_data user_data, struct doca_ctx *ctx,
                                 enum doca_ctx_states prev, enum doca_ctx_states next)
{
    (void)user_data;
    (void)ctx;
    (void)prev;
    (void)next;
    assert_int_equal(doca_pe_progress(nested_pe), 0);
}

static void progress_nested(struct rig *rig)
{
    nested_pe = rig->pe;
    (void)doca_ctx_stop(rig->ctx);
    (void)doca_ctx_set_state_changed_cb(rig->ctx, progress_in_callback);
    (void)doca_ctx_stop(rig->ctx);
    (void)doca_ctx_start(rig->ctx);
    (void)doca_pe_progress(rig->pe);
}

static void (*const misuses[])(struct rig *) = {submit_freed, submit_twice, free_in_flight,
                                                change_in_flight, progress_nested};

/* Runs one misuse in a child; its wait status. */
static int run_misuse(size_t index, const char *strict)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        setenv("DOCA_EMU_STRICT", strict, 1);
        struct rig rig;
        rig_init(&rig, DPU_PCI, LEN, 4);
        misuses[index](&rig);
        _exit(7);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void misuse_aborts_in_strict_mode(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(misuses) / sizeof(misuses[0]); i++) {
        int status = run_misuse(i, "1");
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
    }
}

static void misuse_is_survived_otherwise(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(misuses) / sizeof(misuses[0]); i++) {
        int status = run_misuse(i, "0");
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(misuse_aborts_in_strict_mode),
        cmocka_unit_test(misuse_is_survived_otherwise),
        cmocka_unit_test(start_and_connect_follow_their_order),
        cmocka_unit_test(state_changes_are_reported_by_progress),
        cmocka_unit_test(tasks_come_from_a_fixed_pool),
        cmocka_unit_test(stop_returns_tasks_in_flight_through_the_error_callback),
        cmocka_unit_test(submit_needs_a_running_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
