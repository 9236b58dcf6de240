/* SPDX-License-Identifier: Apache-2.0 */
/* test_buf.c - bufs, lists of bufs, and inventories. */
#include "fixture.h"

#include <stdlib.h>

#define LEN ((size_t)4096)

struct parts {
    struct doca_dev *dev;
    struct doca_mmap *mmap;
    struct doca_buf_inventory *inventory;
    uint8_t *mem;
};

static int set_up(void **state)
{
    struct parts *parts = calloc(1, sizeof(*parts));
    parts->dev = open_device(DPU_PCI);
    parts->mem = calloc(1, LEN);
    parts->mmap = make_mmap(parts->dev, parts->mem, LEN, DOCA_ACCESS_FLAG_LOCAL_READ_WRITE);
    assert_ok(doca_buf_inventory_create(4, &parts->inventory));
    assert_ok(doca_buf_inventory_start(parts->inventory));
    *state = parts;
    return 0;
}

static int tear_down(void **state)
{
    struct parts *parts = *state;
    assert_ok(doca_buf_inventory_destroy(parts->inventory));
    assert_ok(doca_mmap_destroy(parts->mmap));
    assert_ok(doca_dev_close(parts->dev));
    free(parts->mem);
    free(parts);
    return 0;
}

static struct doca_buf *get(struct parts *parts, size_t offset, size_t len)
{
    struct doca_buf *buf = NULL;
    assert_ok(doca_buf_inventory_buf_get_by_data(parts->inventory, parts->mmap, parts->mem + offset,
                                                 len, &buf));
    return buf;
}

static void put(struct doca_buf *buf)
{
    assert_ok(doca_buf_dec_refcount(buf, NULL));
}

static uint32_t num_free(struct parts *parts)
{
    uint32_t count = 0;
    assert_ok(doca_buf_inventory_get_num_free_elements(parts->inventory, &count));
    return count;
}

static void windows_differ_by_way_of_getting(void **state)
{
    struct parts *parts = *state;
    struct doca_buf *buf = NULL;
    size_t len = 0;
    void *data = NULL;
    assert_ok(
        doca_buf_inventory_buf_get_by_addr(parts->inventory, parts->mmap, parts->mem, 100, &buf));
    assert_ok(doca_buf_get_data_len(buf, &len));
    assert_int_equal(len, 0);
    assert_ok(doca_buf_get_len(buf, &len));
    assert_int_equal(len, 100);
    assert_ok(doca_buf_set_data(buf, parts->mem + 10, 20));
    assert_ok(doca_buf_get_data(buf, &data));
    assert_ptr_equal(data, parts->mem + 10);
    assert_ok(doca_buf_get_head(buf, &data));
    assert_ptr_equal(data, parts->mem);
    assert_ok(doca_buf_set_data_len(buf, 30));
    assert_ok(doca_buf_get_data_len(buf, &len));
    assert_int_equal(len, 30);
    assert_ok(doca_buf_reset_data_len(buf));
    assert_ok(doca_buf_get_data_len(buf, &len));
    assert_int_equal(len, 0);
    put(buf);
    buf = get(parts, 5, 50);
    assert_ok(doca_buf_get_data_len(buf, &len));
    assert_int_equal(len, 50);
    put(buf);
}

static void range_outside_of_the_mmap_is_refused(void **state)
{
    struct parts *parts = *state;
    struct doca_buf *buf = NULL;
    uint8_t *mem = parts->mem;
    struct doca_buf_inventory *inventory = parts->inventory;
    struct doca_mmap *mmap = parts->mmap;
    assert_doca(doca_buf_inventory_buf_get_by_addr(inventory, mmap, mem, LEN + 1, &buf),
                DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_buf_inventory_buf_get_by_addr(inventory, mmap, mem - 1, 8, &buf),
                DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_buf_inventory_buf_get_by_addr(inventory, mmap, mem + LEN, 1, &buf),
                DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_buf_inventory_buf_get_by_addr(inventory, mmap, mem + 8, SIZE_MAX - 4, &buf),
                DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_buf_inventory_buf_get_by_args(inventory, mmap, mem, 100, mem + 90, 11, &buf),
                DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_buf_inventory_buf_get_by_args(inventory, NULL, mem, 1, mem, 1, &buf),
                DOCA_ERROR_INVALID_VALUE);
    assert_int_equal(num_free(parts), 4);
}

static void empty_inventory_has_no_memory(void **state)
{
    struct parts *parts = *state;
    struct doca_buf *bufs[4];
    struct doca_buf *fifth = NULL;
    uint32_t count = 0;
    for (size_t i = 0; i < 4; i++) {
        bufs[i] = get(parts, i, 1);
    }
    assert_doca(
        doca_buf_inventory_buf_get_by_addr(parts->inventory, parts->mmap, parts->mem, 1, &fifth),
        DOCA_ERROR_NO_MEMORY);
    assert_doca(doca_buf_inventory_destroy(parts->inventory), DOCA_ERROR_IN_USE);
    assert_ok(doca_buf_inventory_expand(parts->inventory, 2));
    assert_ok(doca_buf_inventory_get_num_elements(parts->inventory, &count));
    assert_int_equal(count, 6);
    fifth = get(parts, 9, 1);
    put(fifth);
    for (size_t i = 0; i < 4; i++) {
        put(bufs[i]);
    }
    assert_int_equal(num_free(parts), 6);
}

static void stopped_inventory_gives_nothing(void **state)
{
    struct parts *parts = *state;
    struct doca_buf *buf = NULL;
    union doca_data word = {.u64 = 5};
    assert_doca(doca_buf_inventory_set_user_data(parts->inventory, word), DOCA_ERROR_BAD_STATE);
    assert_ok(doca_buf_inventory_stop(parts->inventory));
    assert_ok(doca_buf_inventory_set_user_data(parts->inventory, word));
    assert_doca(
        doca_buf_inventory_buf_get_by_addr(parts->inventory, parts->mmap, parts->mem, 1, &buf),
        DOCA_ERROR_INVALID_VALUE);
    assert_ok(doca_buf_inventory_start(parts->inventory));
    assert_doca(doca_buf_inventory_create(0, &parts->inventory), DOCA_ERROR_INVALID_VALUE);
}

static void references_count_up_and_down(void **state)
{
    struct parts *parts = *state;
    struct doca_buf *buf = get(parts, 0, 1);
    uint16_t count = 0;
    assert_ok(doca_buf_get_refcount(buf, &count));
    assert_int_equal(count, 1);
    for (unsigned i = 1; i < UINT16_MAX; i++) {
        assert_ok(doca_buf_inc_refcount(buf, NULL));
    }
    assert_doca(doca_buf_inc_refcount(buf, &count), DOCA_ERROR_TOO_BIG);
    for (unsigned i = UINT16_MAX; i > 1; i--) {
        assert_ok(doca_buf_dec_refcount(buf, &count));
        assert_int_equal(count, i);
    }
    assert_int_equal(num_free(parts), 3);
    put(buf);
    assert_int_equal(num_free(parts), 4);
    assert_doca(doca_buf_dec_refcount(buf, NULL), DOCA_ERROR_BAD_STATE);
}

static void list_is_returned_by_its_head(void **state)
{
    struct parts *parts = *state;
    struct doca_buf *a = get(parts, 0, 1);
    struct doca_buf *b = get(parts, 1, 2);
    struct doca_buf *c = get(parts, 3, 3);
    struct doca_buf *found = NULL;
    uint32_t count = 0;
    uint8_t yes = 9;
    assert_ok(doca_buf_chain_list(b, c));
    assert_ok(doca_buf_chain_list(a, b));
    assert_ok(doca_buf_get_list_len(a, &count));
    assert_int_equal(count, 3);
    assert_doca(doca_buf_get_list_len(b, &count), DOCA_ERROR_NOT_PERMITTED);
    assert_ok(doca_buf_get_next_in_list(a, &found));
    assert_ptr_equal(found, b);
    assert_ok(doca_buf_get_last_in_list(a, &found));
    assert_ptr_equal(found, c);
    assert_ok(doca_buf_is_first_in_list(a, &yes));
    assert_int_equal(yes, 1);
    assert_ok(doca_buf_is_last_in_list(b, &yes));
    assert_int_equal(yes, 0);
    assert_ok(doca_buf_is_in_list(c, &yes));
    assert_int_equal(yes, 1);
    assert_doca(doca_buf_dec_refcount(b, NULL), DOCA_ERROR_NOT_PERMITTED);
    assert_doca(doca_buf_inc_refcount(c, NULL), DOCA_ERROR_NOT_PERMITTED);
    put(a);
    assert_int_equal(num_free(parts), 4);
}

static void unchain_makes_two_lists(void **state)
{
    struct parts *parts = *state;
    struct doca_buf *a = get(parts, 0, 1);
    struct doca_buf *b = get(parts, 1, 2);
    struct doca_buf *c = get(parts, 3, 3);
    uint32_t count = 0;
    assert_ok(doca_buf_chain_list_tail(a, a, b));
    assert_doca(doca_buf_unchain_list(a, c), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_buf_unchain_list(a, a), DOCA_ERROR_INVALID_VALUE);
    assert_ok(doca_buf_chain_list_tail(a, b, c));
    assert_ok(doca_buf_unchain_list(a, b));
    assert_ok(doca_buf_get_list_len(b, &count));
    assert_int_equal(count, 2);
    put(a);
    assert_int_equal(num_free(parts), 2);
    put(b);
    assert_int_equal(num_free(parts), 4);
}

static void chain_refuses_a_shared_second_list(void **state)
{
    struct parts *parts = *state;
    struct doca_buf *a = get(parts, 0, 1);
    struct doca_buf *b = get(parts, 1, 2);
    assert_ok(doca_buf_inc_refcount(b, NULL));
    assert_doca(doca_buf_chain_list(a, b), DOCA_ERROR_NOT_PERMITTED);
    put(b);
    assert_doca(doca_buf_chain_list(a, a), DOCA_ERROR_INVALID_VALUE);
    assert_ok(doca_buf_chain_list(a, b));
    assert_doca(doca_buf_chain_list(b, a), DOCA_ERROR_NOT_PERMITTED);
    put(a);
}

static void dup_copies_the_descriptors(void **state)
{
    struct parts *parts = *state;
    struct doca_buf *a = get(parts, 7, 5);
    struct doca_buf *b = get(parts, 20, 6);
    struct doca_buf *copy = NULL;
    struct doca_buf *second = NULL;
    void *data = NULL;
    size_t len = 0;
    assert_ok(doca_buf_chain_list(a, b));
    assert_doca(doca_buf_inventory_buf_dup(parts->inventory, b, &copy), DOCA_ERROR_NOT_PERMITTED);
    assert_ok(doca_buf_inventory_buf_dup(parts->inventory, a, &copy));
    assert_ok(doca_buf_get_next_in_list(copy, &second));
    assert_ok(doca_buf_get_data(second, &data));
    assert_ok(doca_buf_get_data_len(second, &len));
    assert_ptr_equal(data, parts->mem + 20);
    assert_int_equal(len, 6);
    assert_doca(doca_buf_inventory_buf_dup(parts->inventory, a, &second), DOCA_ERROR_NO_MEMORY);
    assert_ok(doca_buf_inventory_stop(parts->inventory));
    assert_doca(doca_buf_inventory_buf_dup(parts->inventory, a, &second), DOCA_ERROR_BAD_STATE);
    put(copy);
    put(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(windows_differ_by_way_of_getting, set_up, tear_down),
        cmocka_unit_test_setup_teardown(range_outside_of_the_mmap_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(empty_inventory_has_no_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stopped_inventory_gives_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(references_count_up_and_down, set_up, tear_down),
        cmocka_unit_test_setup_teardown(list_is_returned_by_its_head, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unchain_makes_two_lists, set_up, tear_down),
        cmocka_unit_test_setup_teardown(chain_refuses_a_shared_second_list, set_up, tear_down),
        cmocka_unit_test_setup_teardown(dup_copies_the_descriptors, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
