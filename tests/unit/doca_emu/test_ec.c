/* SPDX-License-Identifier: Apache-2.0 */
/* test_ec.c - results of erasure coding, against slow arithmetic of the test's own. */
#include "ec_rig.h"
#include "peer.h"

#include <stdlib.h>
#include <string.h>

/* The same bytes in a list of elements whose lengths are random. */
static struct doca_buf *list_of(uint8_t *bytes, size_t len, bool is_source)
{
    struct doca_buf *head = NULL;
    size_t at = 0;
    for (unsigned n = 0; at < len; n++) {
        size_t part = n == 7 ? len - at : 1 + (size_t)rand() % (len - at);
        struct doca_buf *buf =
            is_source ? ec_source(bytes + at, part) : ec_target(bytes + at, part);
        if (head == NULL) {
            head = buf;
        } else {
            assert_ok(doca_buf_chain_list(head, buf));
        }
        at += part;
    }
    return head;
}

static void create_agrees_with_slow_arithmetic(void **state)
{
    (void)state;
    const struct {
        enum doca_ec_matrix_type type;
        ec_coefficient_fn coefficient;
    } types[] = {{DOCA_EC_MATRIX_TYPE_CAUCHY, ec_cauchy},
                 {DOCA_EC_MATRIX_TYPE_VANDERMONDE, ec_vandermonde}};
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
            uint8_t *out = ec_rig.rig.mem + EC_MEM / 2;
            struct doca_ec_matrix *matrix = ec_matrix(types[t].type, data, rdnc);
            fill_pattern(ec_rig.rig.mem, data * block, (uint32_t)s);
            assert_ok(ec_apply(ec_create, matrix, ec_rig.rig.mem, data * block, out, rdnc * block));
            assert_true(
                ec_redundancy_is(types[t].coefficient, ec_rig.rig.mem, out, data, rdnc, block));
            memset(out, 0, rdnc * block);
            assert_ok(
                ec_apply(ec_galois_mul, matrix, ec_rig.rig.mem, data * block, out, rdnc * block));
            assert_true(
                ec_redundancy_is(types[t].coefficient, ec_rig.rig.mem, out, data, rdnc, block));
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
    assert_ok(doca_ec_matrix_create_from_raw(ec_rig.ec, raw, 5, 3, &matrix));
    memset(raw, 0, sizeof(raw)); /* the matrix has a copy */
    uint8_t *out = ec_rig.rig.mem + EC_MEM / 2;
    fill_pattern(ec_rig.rig.mem, 5 * 512, 1);
    assert_ok(ec_apply(ec_create, matrix, ec_rig.rig.mem, 5 * 512, out, 3 * 512));
    assert_true(ec_redundancy_is(raw_coefficient, ec_rig.rig.mem, out, 5, 3, 512));
    assert_ok(doca_ec_matrix_destroy(matrix));
}

/* Loses the blocks, recovers them, and compares. `all` holds data and then redundancy. */
static void lose_and_recover(const struct doca_ec_matrix *coding, const uint8_t *all, size_t data,
                             size_t rdnc, size_t block, uint32_t *missing, size_t count)
{
    struct doca_ec_matrix *matrix = NULL;
    uint8_t *left = ec_rig.rig.mem + EC_MEM / 2;
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
    assert_ok(doca_ec_matrix_create_recover(ec_rig.ec, coding, missing, count, &matrix));
    assert_ok(ec_apply(ec_recover, matrix, left, data * block, out, count * block));
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
    uint8_t *all = ec_rig.rig.mem;
    struct doca_ec_matrix *coding = ec_matrix(DOCA_EC_MATRIX_TYPE_CAUCHY, data, rdnc);
    fill_pattern(all, data * block, 5);
    assert_ok(ec_apply(ec_create, coding, all, data * block, all + data * block, rdnc * block));
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
    uint8_t *data = ec_rig.rig.mem;
    uint8_t *old_rdnc = data + (size_t)DATA * BLOCK;
    uint8_t *source_bytes = ec_rig.rig.mem + EC_MEM / 2;
    uint8_t *expected = source_bytes + EC_MEM / 8;
    uint8_t *updated = source_bytes + EC_MEM / 4;
    struct doca_ec_matrix *coding = ec_matrix(DOCA_EC_MATRIX_TYPE_VANDERMONDE, DATA, RDNC);
    for (uint32_t a = 0; a < DATA; a++) {
        for (uint32_t b = a; b < DATA; b++) {
            uint32_t indices[2] = {a, b};
            size_t count = a == b ? 1 : 2;
            struct doca_ec_matrix *matrix = NULL;
            size_t at = 0;
            fill_pattern(data, (size_t)DATA * BLOCK, a);
            assert_ok(
                ec_apply(ec_create, coding, data, (size_t)DATA * BLOCK, old_rdnc, RDNC * BLOCK));
            for (size_t u = 0; u < count; u++, at += 2 * BLOCK) {
                uint8_t *block = data + (size_t)indices[u] * BLOCK;
                memcpy(source_bytes + at, block, BLOCK);
                fill_pattern(block, BLOCK, 100 + a * DATA + b + (uint32_t)u);
                memcpy(source_bytes + at + BLOCK, block, BLOCK);
            }
            memcpy(source_bytes + at, old_rdnc, RDNC * BLOCK);
            assert_ok(doca_ec_matrix_create_update(ec_rig.ec, coding, indices, count, &matrix));
            assert_ok(ec_apply(ec_update, matrix, source_bytes, at + RDNC * BLOCK, updated,
                               RDNC * BLOCK));
            assert_ok(
                ec_apply(ec_create, coding, data, (size_t)DATA * BLOCK, expected, RDNC * BLOCK));
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
        uint8_t *out = ec_rig.rig.mem + EC_MEM / 2;
        struct doca_ec_matrix *coding = ec_matrix(DOCA_EC_MATRIX_TYPE_CAUCHY, data, rdnc);
        fill_pattern(ec_rig.rig.mem, data * block, round);
        struct doca_buf *src = list_of(ec_rig.rig.mem, data * block, true);
        struct doca_buf *dst = list_of(out, rdnc * block, false);
        assert_ok(ec_create(coding, src, dst));
        assert_true(ec_redundancy_is(ec_cauchy, ec_rig.rig.mem, out, data, rdnc, block));
        size_t written = 0;
        for (struct doca_buf *buf = dst; buf != NULL;) {
            size_t len = 0;
            assert_ok(doca_buf_get_data_len(buf, &len));
            assert_ok(doca_buf_get_next_in_list(buf, &buf));
            written += len;
        }
        assert_int_equal(written, rdnc * block);
        ec_put(src);
        ec_put(dst);
        assert_ok(doca_ec_matrix_destroy(coding));
    }
}

static void result_goes_after_the_destinations_data(void **state)
{
    (void)state;
    struct doca_ec_matrix *coding = ec_matrix(DOCA_EC_MATRIX_TYPE_CAUCHY, 2, 1);
    uint8_t *out = ec_rig.rig.mem + EC_MEM / 2;
    struct doca_buf *src = ec_source(ec_rig.rig.mem, 128);
    struct doca_buf *dst = ec_target(out, 192);
    size_t len = 0;
    fill_pattern(ec_rig.rig.mem, 128, 3);
    memset(out, 0xcc, 192);
    assert_ok(doca_buf_set_data(dst, out, 64));
    assert_ok(ec_create(coding, src, dst));
    assert_int_equal(out[63], 0xcc);
    assert_true(ec_redundancy_is(ec_cauchy, ec_rig.rig.mem, out + 64, 2, 1, 64));
    assert_ok(ec_create(coding, src, dst));
    assert_ok(doca_buf_get_data_len(dst, &len));
    assert_int_equal(len, 192);
    assert_memory_equal(out + 64, out + 128, 64);
    assert_doca(ec_create(coding, src, dst), DOCA_ERROR_IO_FAILED); /* no room is left */
    ec_put(src);
    ec_put(dst);
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
    uint8_t *copy = ec_rig.rig.mem;
    peer_start(&host, HOST_PCI, NULL);
    struct peer_reply exported =
        peer_ask(&host, (struct peer_request){.op = PEER_EXPORT,
                                              .kind = kind,
                                              .permissions = DOCA_ACCESS_FLAG_PCI_READ_WRITE,
                                              .seed = 1});
    assert_ok(exported.status);
    assert_ok(doca_mmap_create_from_export(NULL, exported.blob, exported.blob_len, ec_rig.rig.dev,
                                           &import));
    uint8_t *theirs = (uint8_t *)(uintptr_t)exported.addr;
    struct doca_ec_matrix *coding = ec_matrix(DOCA_EC_MATRIX_TYPE_CAUCHY, DATA, RDNC);
    assert_ok(doca_buf_inventory_buf_get_by_data(ec_rig.rig.inventory, import, theirs, DATA * block,
                                                 &src));
    assert_ok(doca_buf_inventory_buf_get_by_addr(ec_rig.rig.inventory, import,
                                                 theirs + DATA * block, RDNC * block, &dst));
    if (dies) {
        peer_kill(&host);
        assert_doca(ec_create(coding, src, dst), DOCA_ERROR_IO_FAILED);
    } else {
        assert_ok(ec_create(coding, src, dst));
        assert_ok(
            rig_copy(&ec_rig.rig, import, theirs, ec_rig.rig.local, copy, (DATA + RDNC) * block));
        assert_true(check_pattern(copy, DATA * block, 1));
        assert_true(ec_redundancy_is(ec_cauchy, copy, copy + DATA * block, DATA, RDNC, block));
    }
    ec_put(src);
    ec_put(dst);
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
        cmocka_unit_test_setup_teardown(create_agrees_with_slow_arithmetic, ec_set_up,
                                        ec_tear_down),
        cmocka_unit_test_setup_teardown(raw_matrix_has_a_row_for_each_data_block, ec_set_up,
                                        ec_tear_down),
        cmocka_unit_test_setup_teardown(every_block_and_every_pair_is_recovered, ec_set_up,
                                        ec_tear_down),
        cmocka_unit_test_setup_teardown(update_equals_create_anew, ec_set_up, ec_tear_down),
        cmocka_unit_test_setup_teardown(lists_may_cut_blocks_anywhere, ec_set_up, ec_tear_down),
        cmocka_unit_test_setup_teardown(result_goes_after_the_destinations_data, ec_set_up,
                                        ec_tear_down),
        cmocka_unit_test_setup_teardown(private_memory_of_the_host_is_coded, ec_set_up,
                                        ec_tear_down),
        cmocka_unit_test_setup_teardown(shared_memory_of_the_host_is_coded, ec_set_up,
                                        ec_tear_down),
        cmocka_unit_test_setup_teardown(memory_of_a_dead_host_fails, ec_set_up, ec_tear_down),
    };
    peer_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
