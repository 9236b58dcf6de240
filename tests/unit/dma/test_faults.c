/* SPDX-License-Identifier: Apache-2.0 */
/* What goes wrong under the copy engine: hosts that die, contexts that stop, an SDK that is
 * busy. */
#include "exporter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <doca_emu.h>

#include "testlib/quiet_log.h"

#define MIB ((size_t)1 << 20)

static struct exporter exporter;
static struct bed bed;
static struct bc_dma_import *import;

static int setup(void **state)
{
    (void)state;
    bc_log_set_sink(bc_quiet_log, NULL);
    exporter_start(&exporter, 4 * MIB, true);
    exporter_fill(&exporter, 1);
    bed_create(&bed, 4);
    import = bed_import(&bed, &exporter, 4 * MIB);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    doca_emu_fault_clear_all();
    bed_destroy(&bed);
    exporter_stop(&exporter);
    bc_log_set_sink(NULL, NULL);
    return 0;
}

static int copy_some(struct bc_dma_import *from, uint32_t len)
{
    struct copy copy;

    memset(bed.local, 0, len);
    copy_init(&copy, BC_DMA_FROM_HOST, from, 0, bed.local, len);
    return copy_perform(&bed, &copy);
}

static void killed_host_fails_its_copies_only(void **state)
{
    struct exporter other;
    struct bc_dma_import *other_import;
    struct copy copy;
    uint32_t i;

    (void)state;
    exporter_start(&other, MIB, false);
    exporter_fill(&other, 5);
    other_import = bed_import(&bed, &other, MIB);
    exporter_kill(&exporter);
    for (i = 0; i < 6; i++) {
        assert_int_equal(copy_some(import, 4096), -EREMOTEIO);
    }
    /* By now it is refused at once, and the engine is left in peace. */
    copy_init(&copy, BC_DMA_FROM_HOST, import, 0, bed.local, 4096);
    assert_int_equal(bc_dma_submit(bed.dma, &copy.task), -EREMOTEIO);
    assert_int_equal(bed_metric(&bed, "bluecache_dma_errors_total"), 4);
    assert_int_equal(copy_some(other_import, MIB), 0);
    assert_true(pattern_check(bed.local, 0, MIB, 5));
    assert_int_equal(bc_dma_release(bed.dma, import), 0);
    exporter_kill(&other);
    assert_int_equal(copy_some(other_import, 4096), -EREMOTEIO);
}

static void revoked_memory_is_not_touched(void **state)
{
    (void)state;
    assert_int_equal(copy_some(import, MIB), 0);
    exporter_revoke(&exporter);
    assert_int_equal(copy_some(import, MIB), -EREMOTEIO);
    assert_int_equal(bc_dma_release(bed.dma, import), 0);
}

static void host_killed_under_a_running_copy(void **state)
{
    struct copy copies[4];
    uint32_t i;

    (void)state;
    assert_int_equal(doca_emu_fault_set(DOCA_EMU_FAULT_SLICE_DELAY, 2000, 0), DOCA_SUCCESS);
    for (i = 0; i < 4; i++) {
        copy_init(&copies[i], BC_DMA_TO_HOST, import, i * MIB, bed.local + i * MIB, MIB);
        assert_int_equal(bc_dma_submit(bed.dma, &copies[i].task), 0);
    }
    bed_turn(&bed);
    exporter_kill(&exporter);
    for (i = 0; i < 4; i++) {
        copy_wait(&bed, &copies[i]);
        assert_true(copies[i].result == 0 || copies[i].result == -EREMOTEIO);
    }
    assert_int_equal(copies[3].result, -EREMOTEIO);
}

static void stopped_context_is_built_anew(void **state)
{
    struct copy copies[4];
    struct copy late;
    uint32_t failed = 0;
    uint32_t i;

    (void)state;
    assert_int_equal(doca_emu_fault_set(DOCA_EMU_FAULT_CTX_DROP, 2, 0), DOCA_SUCCESS);
    for (i = 0; i < 4; i++) {
        copy_init(&copies[i], BC_DMA_FROM_HOST, import, i * MIB, bed.local + i * MIB, MIB);
        assert_int_equal(bc_dma_submit(bed.dma, &copies[i].task), 0);
    }
    for (i = 0; i < 4; i++) {
        copy_wait(&bed, &copies[i]);
        assert_true(copies[i].result == 0 || copies[i].result == -EREMOTEIO);
        failed += copies[i].result != 0;
    }
    assert_int_equal(copies[1].result, -EREMOTEIO);
    assert_true(failed >= 1);
    copy_init(&late, BC_DMA_FROM_HOST, import, 0, bed.local, 4096);
    assert_int_equal(copy_perform(&bed, &late), 0);
    for (i = 0; i < 20; i++) {
        assert_int_equal(copy_some(import, MIB), 0);
        assert_true(pattern_check(bed.local, 0, MIB, 1));
    }
    assert_int_equal(bed_metric(&bed, "bluecache_dma_rebuilds_total"), 1);
    assert_int_equal(bc_dma_slots_free(bed.dma), 4);
}

static void refused_user_is_called_when_the_context_is_back(void **state)
{
    struct copy copy;
    uint64_t end_ns = bc_clock_now_ns(bc_clock_monotonic()) + BED_DEADLINE_NS;

    (void)state;
    assert_int_equal(doca_emu_fault_set(DOCA_EMU_FAULT_CTX_DROP, 1, 0), DOCA_SUCCESS);
    assert_int_equal(doca_emu_fault_set(DOCA_EMU_FAULT_TASK_NO_MEMORY, 1, 1), DOCA_SUCCESS);
    assert_int_equal(copy_some(import, 4096), -EREMOTEIO);
    assert_int_equal(bc_dma_slots_free(bed.dma), 0);
    copy_init(&copy, BC_DMA_FROM_HOST, import, MIB, bed.local + MIB, MIB);
    assert_int_equal(bc_dma_submit(bed.dma, &copy.task), -EAGAIN);
    assert_int_equal(bed.ready, 0);
    doca_emu_fault_clear_all();
    while (bed.ready == 0) {
        assert_true(bc_clock_now_ns(bc_clock_monotonic()) < end_ns);
        bed_turn(&bed);
    }
    assert_int_equal(bc_dma_submit(bed.dma, &copy.task), 0);
    copy_wait(&bed, &copy);
    assert_true(pattern_check(bed.local + MIB, MIB, MIB, 1));
}

static void contexts_that_do_not_start_are_tried_again(void **state)
{
    (void)state;
    assert_int_equal(doca_emu_fault_set(DOCA_EMU_FAULT_CTX_DROP, 1, 0), DOCA_SUCCESS);
    /* Each start makes 4 tasks: the second start fails at once, the third at its last task. */
    assert_int_equal(doca_emu_fault_set(DOCA_EMU_FAULT_TASK_NO_MEMORY, 1, 4), DOCA_SUCCESS);
    assert_int_equal(copy_some(import, 4096), -EREMOTEIO);
    bed_turn(&bed);
    assert_int_equal(doca_emu_fault_set(DOCA_EMU_FAULT_TASK_NO_MEMORY, 0, 0), DOCA_SUCCESS);
    assert_int_equal(copy_some(import, MIB), 0);
    assert_true(pattern_check(bed.local, 0, MIB, 1));
    assert_int_equal(bc_dma_slots_free(bed.dma), 4);
}

static void context_that_stays_down_is_an_error(void **state)
{
    struct copy copy;
    uint64_t end_ns = bc_clock_now_ns(bc_clock_monotonic()) + BED_DEADLINE_NS;
    int rc = -EAGAIN;

    (void)state;
    assert_int_equal(doca_emu_fault_set(DOCA_EMU_FAULT_CTX_DROP, 1, 0), DOCA_SUCCESS);
    assert_int_equal(doca_emu_fault_set(DOCA_EMU_FAULT_TASK_NO_MEMORY, 1, 1), DOCA_SUCCESS);
    assert_int_equal(copy_some(import, 4096), -EREMOTEIO);
    copy_init(&copy, BC_DMA_FROM_HOST, import, 0, bed.local, 4096);
    while (rc == -EAGAIN) {
        bed_turn(&bed);
        assert_true(bc_clock_now_ns(bc_clock_monotonic()) < end_ns);
        rc = bc_dma_submit(bed.dma, &copy.task);
    }
    assert_int_equal(rc, -EREMOTEIO);
    doca_emu_fault_clear_all();
    while (bc_dma_slots_free(bed.dma) == 0) {
        bed_turn(&bed);
        assert_true(bc_clock_now_ns(bc_clock_monotonic()) < end_ns);
    }
    assert_int_equal(copy_perform(&bed, &copy), 0);
}

static void busy_sdk_is_waited_for(void **state)
{
    struct copy copy;

    (void)state;
    assert_int_equal(doca_emu_fault_set(DOCA_EMU_FAULT_SUBMIT_AGAIN, 1, 0), DOCA_SUCCESS);
    copy_init(&copy, BC_DMA_FROM_HOST, import, 0, bed.local, 4096);
    assert_int_equal(bc_dma_submit(bed.dma, &copy.task), -EAGAIN);
    bed_turn(&bed);
    assert_int_equal(bed.ready, 1); /* with nothing in flight that could complete */
    assert_int_equal(copy_perform(&bed, &copy), 0);
}

static void single_failures_do_not_kill_an_import(void **state)
{
    uint32_t i;

    (void)state;
    assert_int_equal(doca_emu_fault_set(DOCA_EMU_FAULT_IO_FAILED, 2, 2), DOCA_SUCCESS);
    for (i = 1; i <= 20; i++) {
        assert_int_equal(copy_some(import, 4096), i % 2 == 0 ? -EREMOTEIO : 0);
    }
    assert_int_equal(bed_metric(&bed, "bluecache_dma_rebuilds_total"), 0);
}

static void completions_in_any_order(void **state)
{
    struct copy copies[4];
    uint32_t round;
    uint32_t i;

    (void)state;
    assert_int_equal(doca_emu_fault_set(DOCA_EMU_FAULT_RANDOM_ORDER, 99, 0), DOCA_SUCCESS);
    for (round = 0; round < 20; round++) {
        memset(bed.local, 0, 4 * MIB);
        for (i = 0; i < 4; i++) {
            copy_init(&copies[i], BC_DMA_FROM_HOST, import, i * MIB, bed.local + i * MIB, MIB);
            assert_int_equal(bc_dma_submit(bed.dma, &copies[i].task), 0);
        }
        for (i = 0; i < 4; i++) {
            copy_wait(&bed, &copies[i]);
            assert_int_equal(copies[i].result, 0);
        }
        assert_true(pattern_check(bed.local, 0, 4 * MIB, 1));
    }
}

static uint64_t cpu_ns(void)
{
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
    return (uint64_t)now.tv_sec * BC_NS_PER_S + (uint64_t)now.tv_nsec;
}

static void slow_copy_is_slept_through(void **state)
{
    struct copy copy;
    uint64_t start_ns;
    uint64_t cpu_start_ns;

    (void)state;
    /* A copy that takes 100 ms; the loop spins for 20 us and then waits for the notification. */
    assert_int_equal(doca_emu_fault_set(DOCA_EMU_FAULT_COMPLETE_DELAY, 100000, 0), DOCA_SUCCESS);
    copy_init(&copy, BC_DMA_FROM_HOST, import, 0, bed.local, 4096);
    start_ns = bc_clock_now_ns(bc_clock_monotonic());
    cpu_start_ns = cpu_ns();
    assert_int_equal(bc_dma_submit(bed.dma, &copy.task), 0);
    while (copy.done == 0) {
        (void)bc_loop_turn(bed.loop, BED_DEADLINE_NS); /* a lost notification is a late one */
    }
    assert_true(bc_clock_now_ns(bc_clock_monotonic()) - start_ns < BED_DEADLINE_NS / 2);
    assert_true(bc_clock_now_ns(bc_clock_monotonic()) - start_ns >= 100 * BC_NS_PER_MS);
    assert_true(cpu_ns() - cpu_start_ns < 50 * BC_NS_PER_MS);
    assert_true(bed_metric(&bed, "bluecache_loop_sleeps_total") >= 1);
    assert_int_equal(copy.result, 0);
}

static void destroy_completes_what_is_in_flight(void **state)
{
    struct copy copies[4];
    uint32_t i;

    (void)state;
    assert_int_equal(doca_emu_fault_set(DOCA_EMU_FAULT_SLICE_DELAY, 1000, 0), DOCA_SUCCESS);
    for (i = 0; i < 4; i++) {
        copy_init(&copies[i], BC_DMA_FROM_HOST, import, i * MIB, bed.local + i * MIB, MIB);
        assert_int_equal(bc_dma_submit(bed.dma, &copies[i].task), 0);
    }
    bc_metrics_destroy(bed.metrics);
    bc_dma_destroy(bed.dma);
    for (i = 0; i < 4; i++) {
        assert_int_equal(copies[i].done, 1);
        assert_true(copies[i].result == 0 || copies[i].result == -ECANCELED);
    }
    assert_int_equal(copies[3].result, -ECANCELED);
    bed.dma = NULL;
    assert_int_equal(bc_metrics_create(&bed.metrics), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(killed_host_fails_its_copies_only, setup, teardown),
        cmocka_unit_test_setup_teardown(revoked_memory_is_not_touched, setup, teardown),
        cmocka_unit_test_setup_teardown(host_killed_under_a_running_copy, setup, teardown),
        cmocka_unit_test_setup_teardown(stopped_context_is_built_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(refused_user_is_called_when_the_context_is_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(contexts_that_do_not_start_are_tried_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(context_that_stays_down_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(busy_sdk_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(single_failures_do_not_kill_an_import, setup, teardown),
        cmocka_unit_test_setup_teardown(completions_in_any_order, setup, teardown),
        cmocka_unit_test_setup_teardown(slow_copy_is_slept_through, setup, teardown),
        cmocka_unit_test_setup_teardown(destroy_completes_what_is_in_flight, setup, teardown),
    };

    exporter_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
