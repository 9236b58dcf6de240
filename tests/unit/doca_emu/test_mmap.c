/* SPDX-License-Identifier: Apache-2.0 */
/* test_mmap.c - life-cycle rules and error codes of mmaps, in one process. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LEN ((size_t)64 << 10)
#define RW  (DOCA_ACCESS_FLAG_PCI_READ_WRITE | DOCA_ACCESS_FLAG_LOCAL_READ_WRITE)

struct parts {
    struct doca_dev *host;
    struct doca_dev *dpu;
    struct doca_mmap *mmap;
    uint8_t *mem;
};

static int set_up(void **state)
{
    struct parts *parts = calloc(1, sizeof(*parts));
    parts->host = open_device(HOST_PCI);
    parts->dpu = open_device(DPU_PCI);
    parts->mem = calloc(1, LEN);
    assert_ok(doca_mmap_create(&parts->mmap));
    *state = parts;
    return 0;
}

static int tear_down(void **state)
{
    struct parts *parts = *state;
    if (parts->mmap != NULL) {
        assert_ok(doca_mmap_destroy(parts->mmap));
    }
    assert_ok(doca_dev_close(parts->host));
    assert_ok(doca_dev_close(parts->dpu));
    free(parts->mem);
    free(parts);
    return 0;
}

static void start_parts(struct parts *parts, uint32_t permissions)
{
    assert_ok(doca_mmap_add_dev(parts->mmap, parts->host));
    assert_ok(doca_mmap_set_memrange(parts->mmap, parts->mem, LEN));
    assert_ok(doca_mmap_set_permissions(parts->mmap, permissions));
    assert_ok(doca_mmap_start(parts->mmap));
}

static void range_is_set_once_and_before_start(void **state)
{
    struct parts *parts = *state;
    void *addr = NULL;
    size_t len = 0;
    assert_doca(doca_mmap_get_memrange(parts->mmap, &addr, &len), DOCA_ERROR_BAD_STATE);
    assert_doca(doca_mmap_set_memrange(parts->mmap, NULL, LEN), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_mmap_set_memrange(parts->mmap, parts->mem, 0), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_mmap_set_memrange(parts->mmap, parts->mem, SIZE_MAX),
                DOCA_ERROR_INVALID_VALUE);
    assert_ok(doca_mmap_set_memrange(parts->mmap, parts->mem, LEN));
    assert_doca(doca_mmap_set_memrange(parts->mmap, parts->mem, LEN), DOCA_ERROR_NOT_PERMITTED);
    assert_ok(doca_mmap_get_memrange(parts->mmap, &addr, &len));
    assert_ptr_equal(addr, parts->mem);
    assert_int_equal(len, LEN);
    assert_ok(doca_mmap_add_dev(parts->mmap, parts->host));
    assert_ok(doca_mmap_start(parts->mmap));
    assert_doca(doca_mmap_set_memrange(parts->mmap, parts->mem, LEN), DOCA_ERROR_BAD_STATE);
    assert_doca(doca_mmap_set_dmabuf_memrange(parts->mmap, 0, parts->mem, 0, LEN),
                DOCA_ERROR_BAD_STATE);
}

static void start_needs_range_and_device(void **state)
{
    struct parts *parts = *state;
    assert_doca(doca_mmap_start(parts->mmap), DOCA_ERROR_NOT_PERMITTED);
    assert_ok(doca_mmap_set_memrange(parts->mmap, parts->mem, LEN));
    assert_doca(doca_mmap_start(parts->mmap), DOCA_ERROR_NOT_PERMITTED);
    assert_ok(doca_mmap_add_dev(parts->mmap, parts->host));
    assert_ok(doca_mmap_start(parts->mmap));
    assert_doca(doca_mmap_start(parts->mmap), DOCA_ERROR_NOT_PERMITTED);
    assert_ok(doca_mmap_stop(parts->mmap));
    assert_doca(doca_mmap_stop(parts->mmap), DOCA_ERROR_NOT_PERMITTED);
    assert_ok(doca_mmap_start(parts->mmap));
}

static void started_mmap_is_not_configurable(void **state)
{
    struct parts *parts = *state;
    union doca_data word = {.u64 = 1};
    start_parts(parts, RW);
    assert_doca(doca_mmap_set_permissions(parts->mmap, RW), DOCA_ERROR_BAD_STATE);
    assert_doca(doca_mmap_set_free_cb(parts->mmap, NULL, NULL), DOCA_ERROR_BAD_STATE);
    assert_doca(doca_mmap_set_user_data(parts->mmap, word), DOCA_ERROR_BAD_STATE);
    assert_doca(doca_mmap_set_max_num_devices(parts->mmap, 4), DOCA_ERROR_NOT_PERMITTED);
    assert_doca(doca_mmap_add_dev(parts->mmap, parts->dpu), DOCA_ERROR_NOT_PERMITTED);
    assert_doca(doca_mmap_rm_dev(parts->mmap, parts->host), DOCA_ERROR_NOT_PERMITTED);
    assert_doca(doca_mmap_enable_thread_safety(parts->mmap), DOCA_ERROR_NOT_PERMITTED);
}

static void devices_are_counted(void **state)
{
    struct parts *parts = *state;
    uint32_t max = 0;
    assert_ok(doca_mmap_set_max_num_devices(parts->mmap, 1));
    assert_ok(doca_mmap_get_max_num_devices(parts->mmap, &max));
    assert_int_equal(max, 1);
    assert_ok(doca_mmap_add_dev(parts->mmap, parts->host));
    assert_doca(doca_mmap_add_dev(parts->mmap, parts->host), DOCA_ERROR_ALREADY_EXIST);
    assert_doca(doca_mmap_add_dev(parts->mmap, parts->dpu), DOCA_ERROR_NO_MEMORY);
    assert_doca(doca_mmap_rm_dev(parts->mmap, parts->dpu), DOCA_ERROR_NOT_FOUND);
    assert_ok(doca_mmap_rm_dev(parts->mmap, parts->host));
}

static void pci_rights_exclude_each_other(void **state)
{
    struct parts *parts = *state;
    const uint32_t read_only = DOCA_ACCESS_FLAG_PCI_READ_ONLY;
    const uint32_t relaxed = DOCA_ACCESS_FLAG_PCI_RELAXED_ORDERING;
    assert_doca(doca_mmap_set_permissions(parts->mmap, read_only | RW), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_mmap_set_permissions(parts->mmap, relaxed | RW), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_mmap_set_permissions(parts->mmap, 1u << 20), DOCA_ERROR_INVALID_VALUE);
    assert_ok(doca_mmap_set_permissions(parts->mmap, relaxed));
    assert_ok(doca_mmap_set_permissions(parts->mmap, read_only));
}

static void export_needs_its_conditions(void **state)
{
    struct parts *parts = *state;
    const void *blob = NULL;
    const void *again = NULL;
    size_t len = 0;
    uint8_t exported = 1;
    assert_ok(doca_mmap_set_max_num_devices(parts->mmap, 2));
    assert_doca(doca_mmap_export_pci(parts->mmap, parts->host, &blob, &len),
                DOCA_ERROR_NOT_PERMITTED);
    start_parts(parts, RW);
    assert_doca(doca_mmap_export_pci(parts->mmap, parts->dpu, &blob, &len), DOCA_ERROR_NOT_FOUND);
    assert_ok(doca_mmap_get_exported(parts->mmap, &exported));
    assert_int_equal(exported, 0);
    assert_ok(doca_mmap_export_pci(parts->mmap, parts->host, &blob, &len));
    assert_in_range(len, 1, 1023);
    assert_ok(doca_mmap_export_pci(parts->mmap, parts->host, &again, &len));
    assert_ptr_equal(blob, again);
    assert_ok(doca_mmap_get_exported(parts->mmap, &exported));
    assert_int_equal(exported, 1);
    assert_doca(doca_mmap_stop(parts->mmap), DOCA_ERROR_NOT_PERMITTED);
    assert_doca(doca_mmap_export_rdma(parts->mmap, parts->host, &blob, &len),
                DOCA_ERROR_NOT_SUPPORTED);
}

static void export_without_pci_right_is_not_permitted(void **state)
{
    struct parts *parts = *state;
    const void *blob = NULL;
    size_t len = 0;
    start_parts(parts, DOCA_ACCESS_FLAG_LOCAL_READ_WRITE);
    assert_doca(doca_mmap_export_pci(parts->mmap, parts->host, &blob, &len),
                DOCA_ERROR_NOT_PERMITTED);
}

static void dpu_device_cannot_export(void **state)
{
    struct parts *parts = *state;
    const void *blob = NULL;
    size_t len = 0;
    assert_ok(doca_mmap_add_dev(parts->mmap, parts->dpu));
    start_parts(parts, RW);
    assert_doca(doca_mmap_export_pci(parts->mmap, parts->dpu, &blob, &len),
                DOCA_ERROR_NOT_SUPPORTED);
}

static void import_is_read_only_in_everything_but_use(void **state)
{
    struct parts *parts = *state;
    const void *blob = NULL;
    void *addr = NULL;
    size_t len = 0;
    uint8_t yes = 0;
    union doca_data word = {.u64 = 77};
    union doca_data read_back = {.u64 = 0};
    struct doca_mmap *import = NULL;
    start_parts(parts, RW);
    assert_ok(doca_mmap_export_pci(parts->mmap, parts->host, &blob, &len));
    assert_doca(doca_mmap_create_from_export(&word, blob, len, parts->host, &import),
                DOCA_ERROR_NOT_SUPPORTED);
    assert_ok(doca_mmap_create_from_export(&word, blob, len, parts->dpu, &import));
    assert_ok(doca_mmap_get_memrange(import, &addr, &len));
    assert_ptr_equal(addr, parts->mem);
    assert_int_equal(len, LEN);
    assert_ok(doca_mmap_get_user_data(import, &read_back));
    assert_int_equal(read_back.u64, 77);
    assert_ok(doca_mmap_get_from_export(import, &yes));
    assert_int_equal(yes, 1);
    assert_doca(doca_mmap_start(import), DOCA_ERROR_NOT_PERMITTED);
    assert_doca(doca_mmap_stop(import), DOCA_ERROR_NOT_PERMITTED);
    assert_doca(doca_mmap_add_dev(import, parts->host), DOCA_ERROR_NOT_PERMITTED);
    assert_doca(doca_mmap_rm_dev(import, parts->dpu), DOCA_ERROR_NOT_PERMITTED);
    assert_doca(doca_mmap_set_memrange(import, addr, len), DOCA_ERROR_NOT_PERMITTED);
    assert_doca(doca_mmap_set_permissions(import, RW), DOCA_ERROR_NOT_PERMITTED);
    assert_doca(doca_mmap_set_user_data(import, word), DOCA_ERROR_NOT_PERMITTED);
    assert_doca(doca_mmap_export_pci(import, parts->dpu, &blob, &len), DOCA_ERROR_NOT_PERMITTED);
    assert_doca(doca_dev_close(parts->dpu), DOCA_ERROR_IN_USE);
    assert_ok(doca_mmap_destroy(import));
}

static void bufs_hold_their_mmap(void **state)
{
    struct parts *parts = *state;
    struct doca_buf_inventory *inventory = NULL;
    struct doca_buf *buf = NULL;
    uint32_t count = 9;
    assert_ok(doca_buf_inventory_create(1, &inventory));
    assert_ok(doca_buf_inventory_start(inventory));
    assert_doca(doca_buf_inventory_buf_get_by_addr(inventory, parts->mmap, parts->mem, 1, &buf),
                DOCA_ERROR_INVALID_VALUE);
    start_parts(parts, RW);
    assert_ok(doca_buf_inventory_buf_get_by_addr(inventory, parts->mmap, parts->mem, 1, &buf));
    assert_ok(doca_mmap_get_num_bufs(parts->mmap, &count));
    assert_int_equal(count, 1);
    assert_doca(doca_mmap_stop(parts->mmap), DOCA_ERROR_NOT_PERMITTED);
    assert_doca(doca_mmap_destroy(parts->mmap), DOCA_ERROR_NOT_PERMITTED);
    assert_ok(doca_buf_dec_refcount(buf, NULL));
    assert_ok(doca_buf_inventory_destroy(inventory));
}

static void count_free(void *addr, size_t len, void *cookie)
{
    (void)addr;
    assert_int_equal(len, LEN);
    ++*(int *)cookie;
}

static void free_callback_runs_if_the_mmap_was_started(void **state)
{
    struct parts *parts = *state;
    int calls = 0;
    struct doca_mmap *never_started = NULL;
    assert_ok(doca_mmap_create(&never_started));
    assert_ok(doca_mmap_set_memrange(never_started, parts->mem, LEN));
    assert_ok(doca_mmap_set_free_cb(never_started, count_free, &calls));
    assert_ok(doca_mmap_destroy(never_started));
    assert_int_equal(calls, 0);
    assert_ok(doca_mmap_set_free_cb(parts->mmap, count_free, &calls));
    start_parts(parts, RW);
    assert_ok(doca_mmap_destroy(parts->mmap));
    parts->mmap = NULL;
    assert_int_equal(calls, 1);
}

static void memory_that_is_not_there_is_refused_at_start(void **state)
{
    struct parts *parts = *state;
    uint8_t *mem = mmap(NULL, 3 * LEN, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(mem != MAP_FAILED);
    assert_int_equal(munmap(mem + LEN, LEN), 0);
    assert_ok(doca_mmap_add_dev(parts->mmap, parts->host));
    assert_ok(doca_mmap_set_memrange(parts->mmap, mem, 2 * LEN));
    assert_doca(doca_mmap_start(parts->mmap), DOCA_ERROR_INVALID_VALUE);
    assert_ok(doca_mmap_destroy(parts->mmap));
    assert_ok(doca_mmap_create(&parts->mmap));
    assert_ok(doca_mmap_add_dev(parts->mmap, parts->host));
    assert_ok(doca_mmap_set_memrange(parts->mmap, mem, LEN));
    assert_ok(doca_mmap_set_permissions(parts->mmap, RW));
    assert_doca(doca_mmap_start(parts->mmap), DOCA_ERROR_INVALID_VALUE);
    assert_ok(doca_mmap_set_permissions(parts->mmap, DOCA_ACCESS_FLAG_PCI_READ_ONLY));
    assert_ok(doca_mmap_start(parts->mmap));
    assert_int_equal(munmap(mem, LEN), 0);
    assert_int_equal(munmap(mem + 2 * LEN, LEN), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(range_is_set_once_and_before_start, set_up, tear_down),
        cmocka_unit_test_setup_teardown(start_needs_range_and_device, set_up, tear_down),
        cmocka_unit_test_setup_teardown(started_mmap_is_not_configurable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(devices_are_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pci_rights_exclude_each_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(export_needs_its_conditions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(export_without_pci_right_is_not_permitted, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(dpu_device_cannot_export, set_up, tear_down),
        cmocka_unit_test_setup_teardown(import_is_read_only_in_everything_but_use, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(bufs_hold_their_mmap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(free_callback_runs_if_the_mmap_was_started, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(memory_that_is_not_there_is_refused_at_start, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
