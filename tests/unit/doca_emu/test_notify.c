/* SPDX-License-Identifier: Apache-2.0 */
/* test_notify.c - the notification handle: readable only when armed and something is pending, and
 * no wake-up is lost in the documented order. */
#include "fixture.h"

#include <poll.h>
#include <stdlib.h>

#define LEN ((size_t)64 << 10)

struct parts {
    struct rig rig;
    struct doca_buf *src;
    struct doca_buf *dst;
    doca_notification_handle_t fd;
};

static int set_up(void **state)
{
    struct parts *parts = calloc(1, sizeof(*parts));
    rig_init(&parts->rig, DPU_PCI, LEN, 16);
    assert_ok(doca_buf_inventory_buf_get_by_data(parts->rig.inventory, parts->rig.local,
                                                 parts->rig.mem, 64, &parts->src));
    assert_ok(doca_buf_inventory_buf_get_by_addr(parts->rig.inventory, parts->rig.local,
                                                 parts->rig.mem + 64, 64, &parts->dst));
    assert_ok(doca_pe_get_notification_handle(parts->rig.pe, &parts->fd));
    *state = parts;
    return 0;
}

static int tear_down(void **state)
{
    struct parts *parts = *state;
    assert_ok(doca_buf_dec_refcount(parts->src, NULL));
    assert_ok(doca_buf_dec_refcount(parts->dst, NULL));
    rig_fini(&parts->rig);
    free(parts);
    return 0;
}

static void submit(struct parts *parts)
{
    assert_ok(doca_buf_reset_data_len(parts->dst));
    rig_submit(rig_task(&parts->rig, parts->src, parts->dst, 0));
}

static bool readable(struct parts *parts, int timeout_ms)
{
    struct pollfd entry = {.fd = parts->fd, .events = POLLIN};
    return poll(&entry, 1, timeout_ms) == 1;
}

static void unarmed_handle_is_never_readable(void **state)
{
    struct parts *parts = *state;
    submit(parts);
    rig_wait(&parts->rig, 1);
    submit(parts);
    assert_false(readable(parts, 20));
    rig_wait(&parts->rig, 2);
}

static void armed_handle_wakes_at_a_completion(void **state)
{
    struct parts *parts = *state;
    assert_ok(doca_pe_request_notification(parts->rig.pe));
    assert_false(readable(parts, 0));
    submit(parts);
    assert_true(readable(parts, 10000));
    assert_ok(doca_pe_clear_notification(parts->rig.pe, parts->fd));
    assert_false(readable(parts, 0));
    assert_int_equal(doca_pe_progress(parts->rig.pe), 1);
    assert_int_equal(doca_pe_progress(parts->rig.pe), 0);
}

static void arming_with_something_pending_signals_at_once(void **state)
{
    struct parts *parts = *state;
    assert_ok(doca_pe_request_notification(parts->rig.pe));
    submit(parts);
    assert_true(readable(parts, 10000));
    assert_ok(doca_pe_clear_notification(parts->rig.pe, parts->fd));
    assert_ok(doca_pe_request_notification(parts->rig.pe));
    assert_true(readable(parts, 0));
    rig_wait(&parts->rig, 1);
}

static void draining_takes_the_signal_back_and_stays_armed(void **state)
{
    struct parts *parts = *state;
    assert_ok(doca_pe_request_notification(parts->rig.pe));
    submit(parts);
    assert_true(readable(parts, 10000));
    assert_int_equal(doca_pe_progress(parts->rig.pe), 1);
    assert_int_equal(doca_pe_progress(parts->rig.pe), 0);
    assert_false(readable(parts, 0));
    submit(parts);
    assert_true(readable(parts, 10000));
    rig_wait(&parts->rig, 2);
}

static void handle_of_clear_says_nothing(void **state)
{
    struct parts *parts = *state;
    assert_ok(doca_pe_clear_notification(parts->rig.pe, 0));
    assert_doca(doca_pe_clear_notification(NULL, parts->fd), DOCA_ERROR_INVALID_VALUE);
    assert_ok(doca_pe_set_event_mode(parts->rig.pe, DOCA_PE_EVENT_MODE_PROGRESS_ALL));
    assert_doca(doca_pe_set_event_mode(parts->rig.pe, (enum doca_pe_event_mode)7),
                DOCA_ERROR_INVALID_VALUE);
}

static void stopping_context_wakes_when_it_can_be_idle(void **state)
{
    struct parts *parts = *state;
    struct doca_dma_task_memcpy *task = rig_task(&parts->rig, parts->src, parts->dst, 0);
    assert_doca(doca_ctx_stop(parts->rig.ctx), DOCA_ERROR_IN_PROGRESS);
    assert_int_equal(doca_pe_progress(parts->rig.pe), 0);
    assert_ok(doca_pe_request_notification(parts->rig.pe));
    assert_false(readable(parts, 0));
    doca_task_free(doca_dma_task_memcpy_as_task(task));
    assert_true(readable(parts, 0));
    rig_wait_state(&parts->rig, DOCA_CTX_STATE_IDLE);
}

/* Arm, drain, sleep, clear, drain: many rounds, several tasks each; a lost wake-up is a poll that
 * times out. */
static void documented_order_loses_no_wake_up(void **state)
{
    struct parts *parts = *state;
    const unsigned total = 3000;
    unsigned submitted = 0;
    while (parts->rig.completed < total) {
        unsigned burst = 1 + submitted % 5;
        for (unsigned i = 0; i < burst && submitted < total; i++) {
            struct doca_dma_task_memcpy *task = NULL;
            union doca_data none = {.u64 = 0};
            if (doca_dma_task_memcpy_alloc_init(parts->rig.dma, parts->src, parts->dst, none,
                                                &task) != DOCA_SUCCESS) {
                break;
            }
            rig_submit(task);
            submitted++;
        }
        assert_ok(doca_pe_request_notification(parts->rig.pe));
        while (doca_pe_progress(parts->rig.pe) != 0) {}
        if (parts->rig.completed < submitted) {
            assert_true(readable(parts, 10000));
        }
        assert_ok(doca_pe_clear_notification(parts->rig.pe, parts->fd));
        while (doca_pe_progress(parts->rig.pe) != 0) {}
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(unarmed_handle_is_never_readable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(armed_handle_wakes_at_a_completion, set_up, tear_down),
        cmocka_unit_test_setup_teardown(arming_with_something_pending_signals_at_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(draining_takes_the_signal_back_and_stays_armed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(handle_of_clear_says_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stopping_context_wakes_when_it_can_be_idle, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(documented_order_loses_no_wake_up, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
