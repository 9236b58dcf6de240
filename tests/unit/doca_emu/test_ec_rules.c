/* SPDX-License-Identifier: Apache-2.0 */
/* test_ec_rules.c - what erasure coding refuses, and the order of its calls. */
#include "ec_rig.h"

#include <stdlib.h>

static void sizes_that_no_device_takes_fail(void **state)
{
    (void)state;
    uint64_t cap = 0;
    const struct doca_devinfo *info = doca_dev_as_devinfo(ec_rig.rig.dev);
    assert_ok(doca_ec_cap_get_max_block_size(info, &cap));
    assert_int_equal(cap, 64 << 10); /* main() sets it */
    struct doca_ec_matrix *coding = ec_matrix(DOCA_EC_MATRIX_TYPE_CAUCHY, 2, 1);
    uint8_t *in = ec_rig.rig.mem;
    uint8_t *out = ec_rig.rig.mem + EC_MEM / 2;
    assert_ok(ec_apply(ec_create, coding, in, 2 * cap, out, cap));
    const size_t wrong[] = {0, 64, 127, 2 * 32, 2 * 96, 2 * (cap + 64)};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_doca(ec_apply(ec_create, coding, in, wrong[i], out, EC_MEM / 4),
                    DOCA_ERROR_IO_FAILED);
    }
    assert_doca(ec_apply(ec_create, coding, in, 2 * 128, out, 127), DOCA_ERROR_IO_FAILED);
    assert_int_equal(ec_rig.failed, sizeof(wrong) / sizeof(wrong[0]) + 1);

    struct doca_ec_task_create *task = NULL;
    union doca_data none = {.u64 = 0};
    struct doca_buf *src = ec_source(in, 65);
    struct doca_buf *dst = ec_target(out, 64);
    assert_ok(doca_ec_task_create_allocate_init(ec_rig.ec, coding, src, dst, none, &task));
    assert_doca(doca_task_try_submit(doca_ec_task_create_as_task(task)), DOCA_ERROR_INVALID_VALUE);
    doca_task_free(doca_ec_task_create_as_task(task));
    ec_put(src);
    ec_put(dst);
    assert_ok(doca_ec_matrix_destroy(coding));
}

static void matrices_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct doca_ec_matrix *coding = ec_matrix(DOCA_EC_MATRIX_TYPE_CAUCHY, 4, 2);
    struct doca_ec_matrix *matrix = NULL;
    uint8_t raw[4 * 2] = {0};
    struct doca_ec *ec = ec_rig.ec;
#define REFUSED(call) assert_doca(call, DOCA_ERROR_INVALID_VALUE)
    REFUSED(doca_ec_matrix_create(NULL, DOCA_EC_MATRIX_TYPE_CAUCHY, 4, 2, &matrix));
    REFUSED(doca_ec_matrix_create(ec, DOCA_EC_MATRIX_TYPE_CAUCHY, 0, 2, &matrix));
    REFUSED(doca_ec_matrix_create(ec, DOCA_EC_MATRIX_TYPE_CAUCHY, 4, 0, &matrix));
    REFUSED(doca_ec_matrix_create(ec, DOCA_EC_MATRIX_TYPE_CAUCHY, 129, 2, &matrix));
    REFUSED(doca_ec_matrix_create(ec, DOCA_EC_MATRIX_TYPE_CAUCHY, 4, 33, &matrix));
    REFUSED(doca_ec_matrix_create(ec, (enum doca_ec_matrix_type)0, 4, 2, &matrix));
    REFUSED(doca_ec_matrix_create(ec, DOCA_EC_MATRIX_TYPE_CAUCHY, 4, 2, NULL));
    REFUSED(doca_ec_matrix_create_from_raw(ec, NULL, 4, 2, &matrix));
    REFUSED(doca_ec_matrix_create_update(ec, NULL, (uint32_t[]){0}, 1, &matrix));
    REFUSED(doca_ec_matrix_create_update(ec, coding, (uint32_t[]){4}, 1, &matrix));
    REFUSED(doca_ec_matrix_create_update(ec, coding, (uint32_t[]){0}, 0, &matrix));
    REFUSED(doca_ec_matrix_create_update(ec, coding, (uint32_t[]){2, 1}, 2, &matrix));
    REFUSED(doca_ec_matrix_create_recover(ec, coding, NULL, 1, &matrix));
    REFUSED(doca_ec_matrix_create_recover(ec, coding, (uint32_t[]){0, 0}, 2, &matrix));
    REFUSED(doca_ec_matrix_create_recover(ec, coding, (uint32_t[]){1, 0}, 2, &matrix));
    REFUSED(doca_ec_matrix_create_recover(ec, coding, (uint32_t[]){6}, 1, &matrix));
    REFUSED(doca_ec_matrix_create_recover(ec, coding, (uint32_t[]){0, 1, 2}, 3, &matrix));
    REFUSED(doca_ec_matrix_destroy(NULL));
    /* A matrix of zeros gives nothing back. */
    assert_ok(doca_ec_matrix_create_from_raw(ec, raw, 4, 2, &matrix));
    struct doca_ec_matrix *none = NULL;
    REFUSED(doca_ec_matrix_create_recover(ec, matrix, (uint32_t[]){1}, 1, &none));
    assert_null(none);
#undef REFUSED
    assert_ok(doca_ec_matrix_destroy(matrix));
    assert_ok(doca_ec_matrix_destroy(coding));
}

static void task_takes_only_its_own_kind_of_matrix(void **state)
{
    (void)state;
    struct doca_ec_matrix *coding = ec_matrix(DOCA_EC_MATRIX_TYPE_CAUCHY, 2, 1);
    struct doca_ec_matrix *rebuild = NULL;
    assert_ok(doca_ec_matrix_create_recover(ec_rig.ec, coding, (uint32_t[]){1}, 1, &rebuild));
    struct doca_buf *src = ec_source(ec_rig.rig.mem, 128);
    struct doca_buf *dst = ec_target(ec_rig.rig.mem + EC_MEM / 2, 128);
    assert_doca(ec_recover(coding, src, dst), DOCA_ERROR_INVALID_VALUE);
    assert_doca(ec_update(rebuild, src, dst), DOCA_ERROR_INVALID_VALUE);
    assert_doca(ec_create(rebuild, src, dst), DOCA_ERROR_INVALID_VALUE);
    assert_doca(ec_galois_mul(rebuild, src, dst), DOCA_ERROR_INVALID_VALUE);
    assert_doca(ec_create(NULL, src, dst), DOCA_ERROR_INVALID_VALUE);
    assert_doca(ec_create(coding, NULL, dst), DOCA_ERROR_INVALID_VALUE);
    assert_doca(ec_create(coding, src, NULL), DOCA_ERROR_INVALID_VALUE);
    ec_put(src);
    ec_put(dst);
    assert_ok(doca_ec_matrix_destroy(rebuild));
    assert_ok(doca_ec_matrix_destroy(coding));
}

static void task_can_be_changed_and_reused(void **state)
{
    (void)state;
    struct doca_ec_matrix *first = ec_matrix(DOCA_EC_MATRIX_TYPE_CAUCHY, 2, 1);
    struct doca_ec_matrix *second = ec_matrix(DOCA_EC_MATRIX_TYPE_VANDERMONDE, 2, 1);
    struct doca_buf *src = ec_source(ec_rig.rig.mem, 128);
    struct doca_buf *dst = ec_target(ec_rig.rig.mem + EC_MEM / 2, 64);
    struct doca_ec_task_create *task = NULL;
    union doca_data none = {.u64 = 0};
    assert_ok(doca_ec_task_create_allocate_init(ec_rig.ec, first, dst, src, none, &task));
    doca_ec_task_create_set_coding_matrix(task, second);
    doca_ec_task_create_set_original_data_blocks(task, src);
    doca_ec_task_create_set_rdnc_blocks(task, dst);
    assert_ptr_equal(doca_ec_task_create_get_coding_matrix(task), second);
    assert_ptr_equal(doca_ec_task_create_get_original_data_blocks(task), src);
    assert_ptr_equal(doca_ec_task_create_get_rdnc_blocks(task), dst);
    fill_pattern(ec_rig.rig.mem, 128, 11);
    assert_ok(ec_run(doca_ec_task_create_as_task(task)));
    assert_true(
        ec_redundancy_is(ec_vandermonde, ec_rig.rig.mem, ec_rig.rig.mem + EC_MEM / 2, 2, 1, 64));
    ec_put(src);
    ec_put(dst);
    assert_ok(doca_ec_matrix_destroy(first));
    assert_ok(doca_ec_matrix_destroy(second));
}

static void context_obeys_the_order_of_calls(void **state)
{
    (void)state;
    struct doca_ec *ec = NULL;
    struct doca_pe *pe = NULL;
    struct doca_ec_task_create *task = NULL;
    union doca_data none = {.u64 = 0};
    struct doca_ec_matrix *coding = ec_matrix(DOCA_EC_MATRIX_TYPE_CAUCHY, 2, 1);
    struct doca_buf *src = ec_source(ec_rig.rig.mem, 128);
    struct doca_buf *dst = ec_target(ec_rig.rig.mem + EC_MEM / 2, 64);
    assert_doca(doca_ec_create(NULL, &ec), DOCA_ERROR_INVALID_VALUE);
    assert_ok(doca_ec_create(ec_rig.rig.dev, &ec));
    assert_doca(doca_ctx_start(doca_ec_as_ctx(ec)), DOCA_ERROR_NOT_CONNECTED);
    assert_ok(doca_pe_create(&pe));
    assert_ok(doca_pe_connect_ctx(pe, doca_ec_as_ctx(ec)));
    assert_doca(doca_ctx_start(doca_ec_as_ctx(ec)), DOCA_ERROR_INITIALIZATION);
    assert_doca(doca_ec_task_create_set_conf(ec, NULL, ec_create_error, 1),
                DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_ec_task_create_set_conf(ec, ec_create_done, ec_create_error, 0),
                DOCA_ERROR_INVALID_VALUE);
    assert_ok(doca_ec_task_create_set_conf(ec, ec_create_done, ec_create_error, 1));
    assert_ok(doca_ctx_start(doca_ec_as_ctx(ec)));
    assert_doca(doca_ec_task_create_set_conf(ec, ec_create_done, ec_create_error, 1),
                DOCA_ERROR_BAD_STATE);
    assert_doca(doca_ec_destroy(ec), DOCA_ERROR_BAD_STATE);
    assert_ok(doca_ec_task_create_allocate_init(ec, coding, src, dst, none, &task));
    struct doca_ec_task_create *second = NULL;
    assert_doca(doca_ec_task_create_allocate_init(ec, coding, src, dst, none, &second),
                DOCA_ERROR_NO_MEMORY);
    assert_doca(doca_ctx_stop(doca_ec_as_ctx(ec)), DOCA_ERROR_IN_PROGRESS);
    doca_task_free(doca_ec_task_create_as_task(task));
    enum doca_ctx_states now;
    do {
        (void)doca_pe_progress(pe);
        assert_ok(doca_ctx_get_state(doca_ec_as_ctx(ec), &now));
    } while (now != DOCA_CTX_STATE_IDLE);
    assert_ok(doca_ec_destroy(ec));
    assert_ok(doca_pe_destroy(pe));
    ec_put(src);
    ec_put(dst);
    assert_ok(doca_ec_matrix_destroy(coding));
}

static void faults_strike_as_with_dma(void **state)
{
    (void)state;
    struct doca_ec_matrix *coding = ec_matrix(DOCA_EC_MATRIX_TYPE_CAUCHY, 2, 1);
    uint8_t *out = ec_rig.rig.mem + EC_MEM / 2;
    assert_ok(doca_emu_fault_set(DOCA_EMU_FAULT_IO_FAILED, 1, 0));
    assert_doca(ec_apply(ec_create, coding, ec_rig.rig.mem, 128, out, 64), DOCA_ERROR_IO_FAILED);
    assert_ok(doca_emu_fault_set(DOCA_EMU_FAULT_TASK_NO_MEMORY, 1, 0));
    assert_doca(ec_apply(ec_create, coding, ec_rig.rig.mem, 128, out, 64), DOCA_ERROR_NO_MEMORY);
    assert_ok(ec_apply(ec_create, coding, ec_rig.rig.mem, 128, out, 64));
    assert_ok(doca_emu_fault_set(DOCA_EMU_FAULT_CTX_DROP, 1, 0));
    assert_doca(ec_apply(ec_create, coding, ec_rig.rig.mem, 128, out, 64), DOCA_ERROR_IO_FAILED);
    enum doca_ctx_states now;
    do {
        (void)doca_pe_progress(ec_rig.pe);
        assert_ok(doca_ctx_get_state(ec_rig.ctx, &now));
    } while (now != DOCA_CTX_STATE_IDLE);
    assert_doca(ec_apply(ec_create, coding, ec_rig.rig.mem, 128, out, 64), DOCA_ERROR_BAD_STATE);
    assert_ok(doca_ec_matrix_destroy(coding));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sizes_that_no_device_takes_fail, ec_set_up, ec_tear_down),
        cmocka_unit_test_setup_teardown(matrices_that_make_no_sense_are_refused, ec_set_up,
                                        ec_tear_down),
        cmocka_unit_test_setup_teardown(task_takes_only_its_own_kind_of_matrix, ec_set_up,
                                        ec_tear_down),
        cmocka_unit_test_setup_teardown(task_can_be_changed_and_reused, ec_set_up, ec_tear_down),
        cmocka_unit_test_setup_teardown(context_obeys_the_order_of_calls, ec_set_up, ec_tear_down),
        cmocka_unit_test_setup_teardown(faults_strike_as_with_dma, ec_set_up, ec_tear_down),
    };
    setenv("DOCA_EMU_MAX_EC_BLOCK", "64K", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
