/* SPDX-License-Identifier: Apache-2.0 */
/* ec_rig.c - erasure coding as its tests need it. */
#include "ec_rig.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

struct ec_rig ec_rig;

/* --- GF(2^8), one bit at a time --------------------------------------------------------------- */

static uint8_t mul(uint8_t a, uint8_t b)
{
    unsigned product = 0;
    for (unsigned bit = 0; bit < 8; bit++) {
        product ^= (b >> bit & 1) != 0 ? (unsigned)a << bit : 0;
    }
    for (unsigned bit = 15; bit >= 8; bit--) {
        product ^= (product >> bit & 1) != 0 ? 0x11du << (bit - 8) : 0;
    }
    return (uint8_t)product;
}

static uint8_t inverse(uint8_t a)
{
    for (unsigned b = 1; b < 256; b++) {
        if (mul(a, (uint8_t)b) == 1) {
            return (uint8_t)b;
        }
    }
    return 0;
}

uint8_t ec_cauchy(size_t i, size_t j, size_t data)
{
    return inverse((uint8_t)(i ^ (j + data)));
}

uint8_t ec_vandermonde(size_t i, size_t j, size_t data)
{
    (void)data;
    uint8_t power = 1;
    while (j-- > 0) {
        power = mul(power, (uint8_t)(i + 1));
    }
    return power;
}

bool ec_redundancy_is(ec_coefficient_fn coefficient, const uint8_t *data, const uint8_t *rdnc,
                      size_t num_data, size_t num_rdnc, size_t block)
{
    for (size_t j = 0; j < num_rdnc; j++) {
        uint8_t factors[256];
        for (size_t i = 0; i < num_data; i++) {
            factors[i] = coefficient(i, j, num_data);
        }
        for (size_t at = 0; at < block; at++) {
            uint8_t sum = 0;
            for (size_t i = 0; i < num_data; i++) {
                sum ^= mul(factors[i], data[i * block + at]);
            }
            if (sum != rdnc[j * block + at]) {
                return false;
            }
        }
    }
    return true;
}

/* --- tasks ------------------------------------------------------------------------------------ */

static void record(struct doca_task *task)
{
    ec_rig.completed++;
    ec_rig.status = doca_task_get_status(task);
    doca_task_free(task);
}

doca_error_t ec_run(struct doca_task *task)
{
    unsigned before = ec_rig.completed;
    assert_ok(doca_task_submit(task));
    assert_int_equal(ec_rig.completed, before); /* callbacks come from progress alone */
    uint64_t deadline = now_ms() + 20000;
    while (ec_rig.completed == before) {
        if (doca_pe_progress(ec_rig.pe) == 0) {
            assert_true(now_ms() < deadline);
            sched_yield();
        }
    }
    return ec_rig.status;
}

#define CALLBACKS(KIND)                                                                       \
    void ec_##KIND##_done(struct doca_ec_task_##KIND *task, union doca_data task_data,        \
                          union doca_data ctx_data)                                           \
    {                                                                                         \
        (void)task_data;                                                                      \
        (void)ctx_data;                                                                       \
        record(doca_ec_task_##KIND##_as_task(task));                                          \
    }                                                                                         \
    void ec_##KIND##_error(struct doca_ec_task_##KIND *task, union doca_data task_data,       \
                           union doca_data ctx_data)                                          \
    {                                                                                         \
        ec_rig.failed++;                                                                      \
        ec_##KIND##_done(task, task_data, ctx_data);                                          \
    }                                                                                         \
    doca_error_t ec_##KIND(const struct doca_ec_matrix *matrix, struct doca_buf *src,         \
                           struct doca_buf *dst)                                              \
    {                                                                                         \
        struct doca_ec_task_##KIND *task = NULL;                                              \
        union doca_data none = {.u64 = 0};                                                    \
        doca_error_t result =                                                                 \
            doca_ec_task_##KIND##_allocate_init(ec_rig.ec, matrix, src, dst, none, &task);    \
        return result != DOCA_SUCCESS ? result : ec_run(doca_ec_task_##KIND##_as_task(task)); \
    }

CALLBACKS(create)
CALLBACKS(recover)
CALLBACKS(update)
CALLBACKS(galois_mul)

int ec_set_up(void **state)
{
    memset(&ec_rig, 0, sizeof(ec_rig));
    rig_init(&ec_rig.rig, DPU_PCI, EC_MEM, 1);
    assert_ok(doca_pe_create(&ec_rig.pe));
    assert_ok(doca_ec_create(ec_rig.rig.dev, &ec_rig.ec));
    ec_rig.ctx = doca_ec_as_ctx(ec_rig.ec);
    assert_ok(doca_pe_connect_ctx(ec_rig.pe, ec_rig.ctx));
    assert_ok(doca_ec_task_create_set_conf(ec_rig.ec, ec_create_done, ec_create_error, 4));
    assert_ok(doca_ec_task_recover_set_conf(ec_rig.ec, ec_recover_done, ec_recover_error, 4));
    assert_ok(doca_ec_task_update_set_conf(ec_rig.ec, ec_update_done, ec_update_error, 4));
    assert_ok(
        doca_ec_task_galois_mul_set_conf(ec_rig.ec, ec_galois_mul_done, ec_galois_mul_error, 4));
    assert_ok(doca_ctx_start(ec_rig.ctx));
    *state = NULL;
    return 0;
}

int ec_tear_down(void **state)
{
    (void)state;
    doca_emu_fault_clear_all();
    enum doca_ctx_states now;
    uint64_t deadline = now_ms() + 20000;
    (void)doca_ctx_stop(ec_rig.ctx);
    do {
        (void)doca_pe_progress(ec_rig.pe);
        assert_ok(doca_ctx_get_state(ec_rig.ctx, &now));
        assert_true(now_ms() < deadline);
    } while (now != DOCA_CTX_STATE_IDLE);
    assert_ok(doca_ec_destroy(ec_rig.ec));
    assert_ok(doca_pe_destroy(ec_rig.pe));
    rig_fini(&ec_rig.rig);
    return 0;
}

struct doca_buf *ec_source(const uint8_t *bytes, size_t len)
{
    struct doca_buf *buf = NULL;
    assert_ok(doca_buf_inventory_buf_get_by_data(ec_rig.rig.inventory, ec_rig.rig.local,
                                                 (void *)(uintptr_t)bytes, len, &buf));
    return buf;
}

struct doca_buf *ec_target(uint8_t *bytes, size_t len)
{
    struct doca_buf *buf = NULL;
    assert_ok(doca_buf_inventory_buf_get_by_addr(ec_rig.rig.inventory, ec_rig.rig.local, bytes, len,
                                                 &buf));
    return buf;
}

void ec_put(struct doca_buf *buf)
{
    assert_ok(doca_buf_dec_refcount(buf, NULL));
}

struct doca_ec_matrix *ec_matrix(enum doca_ec_matrix_type type, size_t data, size_t rdnc)
{
    struct doca_ec_matrix *matrix = NULL;
    assert_ok(doca_ec_matrix_create(ec_rig.ec, type, data, rdnc, &matrix));
    return matrix;
}

doca_error_t ec_apply(doca_error_t (*task)(const struct doca_ec_matrix *, struct doca_buf *,
                                           struct doca_buf *),
                      const struct doca_ec_matrix *matrix, const uint8_t *from, size_t from_len,
                      uint8_t *to, size_t to_len)
{
    struct doca_buf *src = ec_source(from, from_len);
    struct doca_buf *dst = ec_target(to, to_len);
    doca_error_t result = task(matrix, src, dst);
    ec_put(src);
    ec_put(dst);
    return result;
}
