/* SPDX-License-Identifier: Apache-2.0 */
/* test_ec.c - erasure coding, against slow arithmetic of the test's own. */
#include "peer.h"

#include <doca_erasure_coding.h>

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define MEM ((size_t)1 << 20)

struct parts {
    struct rig rig; /* device, memory, bufs; its DMA context is not used */
    struct doca_pe *pe;
    struct doca_ec *ec;
    struct doca_ctx *ctx;
    unsigned completed;
    unsigned failed;
    doca_error_t status;
};

static struct parts parts;

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

static uint8_t cauchy(size_t i, size_t j, size_t data)
{
    return inverse((uint8_t)(i ^ (j + data)));
}

static uint8_t vandermonde(size_t i, size_t j, size_t data)
{
    (void)data;
    uint8_t power = 1;
    while (j-- > 0) {
        power = mul(power, (uint8_t)(i + 1));
    }
    return power;
}

typedef uint8_t (*coefficient_fn)(size_t i, size_t j, size_t data);

/* Whether rdnc is what the coefficients make of data. */
static bool redundancy_is(coefficient_fn coefficient, const uint8_t *data, const uint8_t *rdnc,
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
    parts.completed++;
    parts.status = doca_task_get_status(task);
    doca_task_free(task);
}

#define CALLBACKS(KIND)                                                                    \
    static void KIND##_done(struct doca_ec_task_##KIND *task, union doca_data task_data,   \
                            union doca_data ctx_data)                                      \
    {                                                                                      \
        (void)task_data;                                                                   \
        (void)ctx_data;                                                                    \
        record(doca_ec_task_##KIND##_as_task(task));                                       \
    }                                                                                      \
    static void KIND##_error(struct doca_ec_task_##KIND *task, union doca_data task_data,  \
                             union doca_data ctx_data)                                     \
    {                                                                                      \
        parts.failed++;                                                                    \
        KIND##_done(task, task_data, ctx_data);                                            \
    }                                                                                      \
    static doca_error_t KIND(const struct doca_ec_matrix *matrix, struct doca_buf *src,    \
                             struct doca_buf *dst)                                         \
    {                                                                                      \
        struct doca_ec_task_##KIND *task = NULL;                                           \
        union doca_data none = {.u64 = 0};                                                 \
        doca_error_t result =                                                              \
            doca_ec_task_##KIND##_allocate_init(parts.ec, matrix, src, dst, none, &task);  \
        return result != DOCA_SUCCESS ? result : run(doca_ec_task_##KIND##_as_task(task)); \
    }

static doca_error_t run(struct doca_task *task)
{
    unsigned before = parts.completed;
    assert_ok(doca_task_submit(task));
    assert_int_equal(parts.completed, before); /* callbacks come from progress alone */
    uint64_t deadline = now_ms() + 20000;
    while (parts.completed == before) {
        if (doca_pe_progress(parts.pe) == 0) {
            assert_true(now_ms() < deadline);
            sched_yield();
        }
    }
    return parts.status;
}

CALLBACKS(create)
CALLBACKS(recover)
CALLBACKS(update)
CALLBACKS(galois_mul)

static int set_up(void **state)
{
    memset(&parts, 0, sizeof(parts));
    rig_init(&parts.rig, DPU_PCI, MEM, 1);
    assert_ok(doca_pe_create(&parts.pe));
    assert_ok(doca_ec_create(parts.rig.dev, &parts.ec));
    parts.ctx = doca_ec_as_ctx(parts.ec);
    assert_ok(doca_pe_connect_ctx(parts.pe, parts.ctx));
    assert_ok(doca_ec_task_create_set_conf(parts.ec, create_done, create_error, 4));
    assert_ok(doca_ec_task_recover_set_conf(parts.ec, recover_done, recover_error, 4));
    assert_ok(doca_ec_task_update_set_conf(parts.ec, update_done, update_error, 4));
    assert_ok(doca_ec_task_galois_mul_set_conf(parts.ec, galois_mul_done, galois_mul_error, 4));
    assert_ok(doca_ctx_start(parts.ctx));
    *state = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    doca_emu_fault_clear_all();
    enum doca_ctx_states now;
    uint64_t deadline = now_ms() + 20000;
    (void)doca_ctx_stop(parts.ctx);
    do {
        (void)doca_pe_progress(parts.pe);
        assert_ok(doca_ctx_get_state(parts.ctx, &now));
        assert_true(now_ms() < deadline);
    } while (now != DOCA_CTX_STATE_IDLE);
    assert_ok(doca_ec_destroy(parts.ec));
    assert_ok(doca_pe_destroy(parts.pe));
    rig_fini(&parts.rig);
    return 0;
}

static struct doca_buf *source(const uint8_t *bytes, size_t len)
{
    struct doca_buf *buf = NULL;
    assert_ok(doca_buf_inventory_buf_get_by_data(parts.rig.inventory, parts.rig.local,
                                                 (void *)(uintptr_t)bytes, len, &buf));
    return buf;
}

static struct doca_buf *target(uint8_t *bytes, size_t len)
{
    struct doca_buf *buf = NULL;
    assert_ok(
        doca_buf_inventory_buf_get_by_addr(parts.rig.inventory, parts.rig.local, bytes, len, &buf));
    return buf;
}

/* The same bytes in a list of elements whose lengths are random. */
static struct doca_buf *list_of(uint8_t *bytes, size_t len, bool is_source)
{
    struct doca_buf *head = NULL;
    size_t at = 0;
    for (unsigned n = 0; at < len; n++) {
        size_t part = n == 7 ? len - at : 1 + (size_t)rand() % (len - at);
        struct doca_buf *buf = is_source ? source(bytes + at, part) : target(bytes + at, part);
        if (head == NULL) {
            head = buf;
        } else {
            assert_ok(doca_buf_chain_list(head, buf));
        }
        at += part;
    }
    return head;
}

static void put(struct doca_buf *buf)
{
    assert_ok(doca_buf_dec_refcount(buf, NULL));
}

static struct doca_ec_matrix *matrix_of(enum doca_ec_matrix_type type, size_t data, size_t rdnc)
{
    struct doca_ec_matrix *matrix = NULL;
    assert_ok(doca_ec_matrix_create(parts.ec, type, data, rdnc, &matrix));
    return matrix;
}

/* One task, from bytes to bytes. */
static doca_error_t apply(doca_error_t (*task)(const struct doca_ec_matrix *, struct doca_buf *,
                                               struct doca_buf *),
                          const struct doca_ec_matrix *matrix, const uint8_t *from, size_t from_len,
                          uint8_t *to, size_t to_len)
{
    struct doca_buf *src = source(from, from_len);
    struct doca_buf *dst = target(to, to_len);
    doca_error_t result = task(matrix, src, dst);
    put(src);
    put(dst);
    return result;
}

/* --- the tests -------------------------------------------------------------------------------- */

static void create_agrees_with_slow_arithmetic(void **state)
{
    (void)state;
    const struct {
        enum doca_ec_matrix_type type;
        coefficient_fn coefficient;
    } types[] = {{DOCA_EC_MATRIX_TYPE_CAUCHY, cauchy},
                 {DOCA_EC_MATRIX_TYPE_VANDERMONDE, vandermonde}};
    const struct {
        size_t data;
        size_t rdnc;
        size_t block;
    } shapes[] = {{1, 1, 64}, {2, 1, 128}, {10, 4, 4096}, {3, 2, 16448}, {128, 32, 64}};
    for (size_t t = 0; t < 2; t++) {
        for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
            size_t data = shapes[s].data;
            size_t rdnc = shapes[s].rdnc;
            size_t block = shapes[s].block;
            uint8_t *out = parts.rig.mem + MEM / 2;
            struct doca_ec_matrix *matrix = matrix_of(types[t].type, data, rdnc);
            fill_pattern(parts.rig.mem, data * block, (uint32_t)s);
            assert_ok(apply(create, matrix, parts.rig.mem, data * block, out, rdnc * block));
            assert_true(redundancy_is(types[t].coefficient, parts.rig.mem, out, data, rdnc, block));
            memset(out, 0, rdnc * block);
            assert_ok(apply(galois_mul, matrix, parts.rig.mem, data * block, out, rdnc * block));
            assert_true(redundancy_is(types[t].coefficient, parts.rig.mem, out, data, rdnc, block));
            assert_ok(doca_ec_matrix_destroy(matrix));
        }
    }
}

static uint8_t raw_coefficient(size_t i, size_t j, size_t data)
{
    (void)data;
    return (uint8_t)(i * 3 + j * 5 + 1);
}

static void raw_matrix_has_a_row_for_each_data_block(void **state)
{
    (void)state;
    uint8_t raw[5 * 3];
    struct doca_ec_matrix *matrix = NULL;
    for (size_t i = 0; i < 5; i++) {
        for (size_t j = 0; j < 3; j++) {
            raw[i * 3 + j] = raw_coefficient(i, j, 5);
        }
    }
    assert_ok(doca_ec_matrix_create_from_raw(parts.ec, raw, 5, 3, &matrix));
    memset(raw, 0, sizeof(raw)); /* the matrix has a copy */
    uint8_t *out = parts.rig.mem + MEM / 2;
    fill_pattern(parts.rig.mem, 5 * 512, 1);
    assert_ok(apply(create, matrix, parts.rig.mem, 5 * 512, out, 3 * 512));
    assert_true(redundancy_is(raw_coefficient, parts.rig.mem, out, 5, 3, 512));
    assert_ok(doca_ec_matrix_destroy(matrix));
}

/* Loses the blocks, recovers them, and compares. `all` holds data and then redundancy. */
static void lose_and_recover(const struct doca_ec_matrix *coding, const uint8_t *all, size_t data,
                             size_t rdnc, size_t block, uint32_t *missing, size_t count)
{
    struct doca_ec_matrix *matrix = NULL;
    uint8_t *left = parts.rig.mem + MEM / 2;
    uint8_t *out = left + data * block;
    size_t kept = 0;
    size_t next = 0;
    for (size_t i = 0; i < data + rdnc && kept < data; i++) {
        if (next < count && missing[next] == i) {
            next++;
        } else {
            memcpy(left + kept++ * block, all + i * block, block);
        }
    }
    memset(out, 0xee, count * block);
    assert_ok(doca_ec_matrix_create_recover(parts.ec, coding, missing, count, &matrix));
    assert_ok(apply(recover, matrix, left, data * block, out, count * block));
    for (size_t n = 0; n < count; n++) {
        assert_memory_equal(out + n * block, all + missing[n] * block, block);
    }
    assert_ok(doca_ec_matrix_destroy(matrix));
}

static void every_block_and_every_pair_is_recovered(void **state)
{
    (void)state;
    const size_t data = 7;
    const size_t rdnc = 3;
    const size_t block = 192;
    uint8_t *all = parts.rig.mem;
    struct doca_ec_matrix *coding = matrix_of(DOCA_EC_MATRIX_TYPE_CAUCHY, data, rdnc);
    fill_pattern(all, data * block, 5);
    assert_ok(apply(create, coding, all, data * block, all + data * block, rdnc * block));
    for (uint32_t a = 0; a < data + rdnc; a++) {
        lose_and_recover(coding, all, data, rdnc, block, (uint32_t[]){a}, 1);
        for (uint32_t b = a + 1; b < data + rdnc; b++) {
            lose_and_recover(coding, all, data, rdnc, block, (uint32_t[]){a, b}, 2);
        }
    }
    lose_and_recover(coding, all, data, rdnc, block, (uint32_t[]){0, 3, 6}, 3);
    assert_ok(doca_ec_matrix_destroy(coding));
}

static void update_equals_create_anew(void **state)
{
    (void)state;
    enum { DATA = 6, RDNC = 3, BLOCK = 320 };
    uint8_t *data = parts.rig.mem;
    uint8_t *old_rdnc = data + (size_t)DATA * BLOCK;
    uint8_t *source_bytes = parts.rig.mem + MEM / 2;
    uint8_t *expected = source_bytes + MEM / 8;
    uint8_t *updated = source_bytes + MEM / 4;
    struct doca_ec_matrix *coding = matrix_of(DOCA_EC_MATRIX_TYPE_VANDERMONDE, DATA, RDNC);
    for (uint32_t a = 0; a < DATA; a++) {
        for (uint32_t b = a; b < DATA; b++) {
            uint32_t indices[2] = {a, b};
            size_t count = a == b ? 1 : 2;
            struct doca_ec_matrix *matrix = NULL;
            size_t at = 0;
            fill_pattern(data, (size_t)DATA * BLOCK, a);
            assert_ok(apply(create, coding, data, (size_t)DATA * BLOCK, old_rdnc, RDNC * BLOCK));
            for (size_t u = 0; u < count; u++, at += 2 * BLOCK) {
                uint8_t *block = data + (size_t)indices[u] * BLOCK;
                memcpy(source_bytes + at, block, BLOCK);
                fill_pattern(block, BLOCK, 100 + a * DATA + b + (uint32_t)u);
                memcpy(source_bytes + at + BLOCK, block, BLOCK);
            }
            memcpy(source_bytes + at, old_rdnc, RDNC * BLOCK);
            assert_ok(doca_ec_matrix_create_update(parts.ec, coding, indices, count, &matrix));
            assert_ok(
                apply(update, matrix, source_bytes, at + RDNC * BLOCK, updated, RDNC * BLOCK));
            assert_ok(apply(create, coding, data, (size_t)DATA * BLOCK, expected, RDNC * BLOCK));
            assert_memory_equal(updated, expected, RDNC * BLOCK);
            assert_ok(doca_ec_matrix_destroy(matrix));
        }
    }
    assert_ok(doca_ec_matrix_destroy(coding));
}

static void lists_may_cut_blocks_anywhere(void **state)
{
    (void)state;
    srand(7);
    for (unsigned round = 0; round < 40; round++) {
        size_t data = 1 + (size_t)rand() % 9;
        size_t rdnc = 1 + (size_t)rand() % 4;
        size_t block = 64 * (1 + (size_t)rand() % 400);
        uint8_t *out = parts.rig.mem + MEM / 2;
        struct doca_ec_matrix *coding = matrix_of(DOCA_EC_MATRIX_TYPE_CAUCHY, data, rdnc);
        fill_pattern(parts.rig.mem, data * block, round);
        struct doca_buf *src = list_of(parts.rig.mem, data * block, true);
        struct doca_buf *dst = list_of(out, rdnc * block, false);
        assert_ok(create(coding, src, dst));
        assert_true(redundancy_is(cauchy, parts.rig.mem, out, data, rdnc, block));
        size_t written = 0;
        for (struct doca_buf *buf = dst; buf != NULL;) {
            size_t len = 0;
            assert_ok(doca_buf_get_data_len(buf, &len));
            assert_ok(doca_buf_get_next_in_list(buf, &buf));
            written += len;
        }
        assert_int_equal(written, rdnc * block);
        put(src);
        put(dst);
        assert_ok(doca_ec_matrix_destroy(coding));
    }
}

static void result_goes_after_the_destinations_data(void **state)
{
    (void)state;
    struct doca_ec_matrix *coding = matrix_of(DOCA_EC_MATRIX_TYPE_CAUCHY, 2, 1);
    uint8_t *out = parts.rig.mem + MEM / 2;
    struct doca_buf *src = source(parts.rig.mem, 128);
    struct doca_buf *dst = target(out, 192);
    size_t len = 0;
    fill_pattern(parts.rig.mem, 128, 3);
    memset(out, 0xcc, 192);
    assert_ok(doca_buf_set_data(dst, out, 64));
    assert_ok(create(coding, src, dst));
    assert_int_equal(out[63], 0xcc);
    assert_true(redundancy_is(cauchy, parts.rig.mem, out + 64, 2, 1, 64));
    assert_ok(create(coding, src, dst));
    assert_ok(doca_buf_get_data_len(dst, &len));
    assert_int_equal(len, 192);
    assert_memory_equal(out + 64, out + 128, 64);
    assert_doca(create(coding, src, dst), DOCA_ERROR_IO_FAILED); /* no room is left */
    put(src);
    put(dst);
    assert_ok(doca_ec_matrix_destroy(coding));
}

static void sizes_that_no_device_takes_fail(void **state)
{
    (void)state;
    uint64_t cap = 0;
    const struct doca_devinfo *info = doca_dev_as_devinfo(parts.rig.dev);
    assert_ok(doca_ec_cap_get_max_block_size(info, &cap));
    assert_int_equal(cap, 64 << 10); /* main() sets it */
    struct doca_ec_matrix *coding = matrix_of(DOCA_EC_MATRIX_TYPE_CAUCHY, 2, 1);
    uint8_t *in = parts.rig.mem;
    uint8_t *out = parts.rig.mem + MEM / 2;
    assert_ok(apply(create, coding, in, 2 * cap, out, cap));
    const size_t wrong[] = {0, 64, 127, 2 * 32, 2 * 96, 2 * (cap + 64)};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_doca(apply(create, coding, in, wrong[i], out, MEM / 4), DOCA_ERROR_IO_FAILED);
    }
    assert_doca(apply(create, coding, in, 2 * 128, out, 127), DOCA_ERROR_IO_FAILED);
    assert_int_equal(parts.failed, sizeof(wrong) / sizeof(wrong[0]) + 1);

    struct doca_ec_task_create *task = NULL;
    union doca_data none = {.u64 = 0};
    struct doca_buf *src = source(in, 65);
    struct doca_buf *dst = target(out, 64);
    assert_ok(doca_ec_task_create_allocate_init(parts.ec, coding, src, dst, none, &task));
    assert_doca(doca_task_try_submit(doca_ec_task_create_as_task(task)), DOCA_ERROR_INVALID_VALUE);
    doca_task_free(doca_ec_task_create_as_task(task));
    put(src);
    put(dst);
    assert_ok(doca_ec_matrix_destroy(coding));
}

static void matrices_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct doca_ec_matrix *coding = matrix_of(DOCA_EC_MATRIX_TYPE_CAUCHY, 4, 2);
    struct doca_ec_matrix *matrix = NULL;
    uint8_t raw[4 * 2] = {0};
    struct doca_ec *ec = parts.ec;
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
    struct doca_ec_matrix *coding = matrix_of(DOCA_EC_MATRIX_TYPE_CAUCHY, 2, 1);
    struct doca_ec_matrix *rebuild = NULL;
    assert_ok(doca_ec_matrix_create_recover(parts.ec, coding, (uint32_t[]){1}, 1, &rebuild));
    struct doca_buf *src = source(parts.rig.mem, 128);
    struct doca_buf *dst = target(parts.rig.mem + MEM / 2, 128);
    assert_doca(recover(coding, src, dst), DOCA_ERROR_INVALID_VALUE);
    assert_doca(update(rebuild, src, dst), DOCA_ERROR_INVALID_VALUE);
    assert_doca(create(rebuild, src, dst), DOCA_ERROR_INVALID_VALUE);
    assert_doca(galois_mul(rebuild, src, dst), DOCA_ERROR_INVALID_VALUE);
    assert_doca(create(NULL, src, dst), DOCA_ERROR_INVALID_VALUE);
    assert_doca(create(coding, NULL, dst), DOCA_ERROR_INVALID_VALUE);
    assert_doca(create(coding, src, NULL), DOCA_ERROR_INVALID_VALUE);
    put(src);
    put(dst);
    assert_ok(doca_ec_matrix_destroy(rebuild));
    assert_ok(doca_ec_matrix_destroy(coding));
}

static void task_can_be_changed_and_reused(void **state)
{
    (void)state;
    struct doca_ec_matrix *first = matrix_of(DOCA_EC_MATRIX_TYPE_CAUCHY, 2, 1);
    struct doca_ec_matrix *second = matrix_of(DOCA_EC_MATRIX_TYPE_VANDERMONDE, 2, 1);
    struct doca_buf *src = source(parts.rig.mem, 128);
    struct doca_buf *dst = target(parts.rig.mem + MEM / 2, 64);
    struct doca_ec_task_create *task = NULL;
    union doca_data none = {.u64 = 0};
    assert_ok(doca_ec_task_create_allocate_init(parts.ec, first, dst, src, none, &task));
    doca_ec_task_create_set_coding_matrix(task, second);
    doca_ec_task_create_set_original_data_blocks(task, src);
    doca_ec_task_create_set_rdnc_blocks(task, dst);
    assert_ptr_equal(doca_ec_task_create_get_coding_matrix(task), second);
    assert_ptr_equal(doca_ec_task_create_get_original_data_blocks(task), src);
    assert_ptr_equal(doca_ec_task_create_get_rdnc_blocks(task), dst);
    fill_pattern(parts.rig.mem, 128, 11);
    assert_ok(run(doca_ec_task_create_as_task(task)));
    assert_true(redundancy_is(vandermonde, parts.rig.mem, parts.rig.mem + MEM / 2, 2, 1, 64));
    put(src);
    put(dst);
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
    struct doca_ec_matrix *coding = matrix_of(DOCA_EC_MATRIX_TYPE_CAUCHY, 2, 1);
    struct doca_buf *src = source(parts.rig.mem, 128);
    struct doca_buf *dst = target(parts.rig.mem + MEM / 2, 64);
    assert_doca(doca_ec_create(NULL, &ec), DOCA_ERROR_INVALID_VALUE);
    assert_ok(doca_ec_create(parts.rig.dev, &ec));
    assert_doca(doca_ctx_start(doca_ec_as_ctx(ec)), DOCA_ERROR_NOT_CONNECTED);
    assert_ok(doca_pe_create(&pe));
    assert_ok(doca_pe_connect_ctx(pe, doca_ec_as_ctx(ec)));
    assert_doca(doca_ctx_start(doca_ec_as_ctx(ec)), DOCA_ERROR_INITIALIZATION);
    assert_doca(doca_ec_task_create_set_conf(ec, NULL, create_error, 1), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_ec_task_create_set_conf(ec, create_done, create_error, 0),
                DOCA_ERROR_INVALID_VALUE);
    assert_ok(doca_ec_task_create_set_conf(ec, create_done, create_error, 1));
    assert_ok(doca_ctx_start(doca_ec_as_ctx(ec)));
    assert_doca(doca_ec_task_create_set_conf(ec, create_done, create_error, 1),
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
    put(src);
    put(dst);
    assert_ok(doca_ec_matrix_destroy(coding));
}

static void faults_strike_as_with_dma(void **state)
{
    (void)state;
    struct doca_ec_matrix *coding = matrix_of(DOCA_EC_MATRIX_TYPE_CAUCHY, 2, 1);
    uint8_t *out = parts.rig.mem + MEM / 2;
    assert_ok(doca_emu_fault_set(DOCA_EMU_FAULT_IO_FAILED, 1, 0));
    assert_doca(apply(create, coding, parts.rig.mem, 128, out, 64), DOCA_ERROR_IO_FAILED);
    assert_ok(doca_emu_fault_set(DOCA_EMU_FAULT_TASK_NO_MEMORY, 1, 0));
    assert_doca(apply(create, coding, parts.rig.mem, 128, out, 64), DOCA_ERROR_NO_MEMORY);
    assert_ok(apply(create, coding, parts.rig.mem, 128, out, 64));
    assert_ok(doca_emu_fault_set(DOCA_EMU_FAULT_CTX_DROP, 1, 0));
    assert_doca(apply(create, coding, parts.rig.mem, 128, out, 64), DOCA_ERROR_IO_FAILED);
    enum doca_ctx_states now;
    do {
        (void)doca_pe_progress(parts.pe);
        assert_ok(doca_ctx_get_state(parts.ctx, &now));
    } while (now != DOCA_CTX_STATE_IDLE);
    assert_doca(apply(create, coding, parts.rig.mem, 128, out, 64), DOCA_ERROR_BAD_STATE);
    assert_ok(doca_ec_matrix_destroy(coding));
}

/* Data lies in the host's memory, redundancy goes back there. */
static void host_memory_is_coded_where_it_lies(enum peer_memory kind, bool dies)
{
    enum { DATA = 3, RDNC = 2 };
    const size_t block = (size_t)40 << 10;
    struct peer host;
    struct doca_mmap *import = NULL;
    struct doca_buf *src = NULL;
    struct doca_buf *dst = NULL;
    uint8_t *copy = parts.rig.mem;
    peer_start(&host, HOST_PCI, NULL);
    struct peer_reply exported =
        peer_ask(&host, (struct peer_request){.op = PEER_EXPORT,
                                              .kind = kind,
                                              .permissions = DOCA_ACCESS_FLAG_PCI_READ_WRITE,
                                              .seed = 1});
    assert_ok(exported.status);
    assert_ok(doca_mmap_create_from_export(NULL, exported.blob, exported.blob_len, parts.rig.dev,
                                           &import));
    uint8_t *theirs = (uint8_t *)(uintptr_t)exported.addr;
    struct doca_ec_matrix *coding = matrix_of(DOCA_EC_MATRIX_TYPE_CAUCHY, DATA, RDNC);
    assert_ok(doca_buf_inventory_buf_get_by_data(parts.rig.inventory, import, theirs, DATA * block,
                                                 &src));
    assert_ok(doca_buf_inventory_buf_get_by_addr(parts.rig.inventory, import, theirs + DATA * block,
                                                 RDNC * block, &dst));
    if (dies) {
        peer_kill(&host);
        assert_doca(create(coding, src, dst), DOCA_ERROR_IO_FAILED);
    } else {
        assert_ok(create(coding, src, dst));
        assert_ok(
            rig_copy(&parts.rig, import, theirs, parts.rig.local, copy, (DATA + RDNC) * block));
        assert_true(check_pattern(copy, DATA * block, 1));
        assert_true(redundancy_is(cauchy, copy, copy + DATA * block, DATA, RDNC, block));
    }
    put(src);
    put(dst);
    assert_ok(doca_ec_matrix_destroy(coding));
    assert_ok(doca_mmap_destroy(import));
    if (!dies) {
        assert_ok(peer_ask(&host, (struct peer_request){.op = PEER_DESTROY}).status);
        peer_quit(&host);
    }
}

static void private_memory_of_the_host_is_coded(void **state)
{
    (void)state;
    host_memory_is_coded_where_it_lies(PEER_MALLOC, false);
}

static void shared_memory_of_the_host_is_coded(void **state)
{
    (void)state;
    host_memory_is_coded_where_it_lies(PEER_MEMFD, false);
}

static void memory_of_a_dead_host_fails(void **state)
{
    (void)state;
    host_memory_is_coded_where_it_lies(PEER_MALLOC, true);
    host_memory_is_coded_where_it_lies(PEER_MEMFD, true);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(create_agrees_with_slow_arithmetic, set_up, tear_down),
        cmocka_unit_test_setup_teardown(raw_matrix_has_a_row_for_each_data_block, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(every_block_and_every_pair_is_recovered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(update_equals_create_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lists_may_cut_blocks_anywhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(result_goes_after_the_destinations_data, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sizes_that_no_device_takes_fail, set_up, tear_down),
        cmocka_unit_test_setup_teardown(matrices_that_make_no_sense_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(task_takes_only_its_own_kind_of_matrix, set_up, tear_down),
        cmocka_unit_test_setup_teardown(task_can_be_changed_and_reused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(context_obeys_the_order_of_calls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(faults_strike_as_with_dma, set_up, tear_down),
        cmocka_unit_test_setup_teardown(private_memory_of_the_host_is_coded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(shared_memory_of_the_host_is_coded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_of_a_dead_host_fails, set_up, tear_down),
    };
    peer_main(argc, argv);
    setenv("DOCA_EMU_MAX_EC_BLOCK", "64K", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
