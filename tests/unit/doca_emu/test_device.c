/* SPDX-License-Identifier: Apache-2.0 */
/* test_device.c - the device table, devices and representors. */
#include "fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char table_path[] = "/tmp/doca_emu_table_XXXXXX";

static void write_table(const char *text)
{
    FILE *file = fopen(table_path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int table_set_up(void **state)
{
    (void)state;
    int fd = mkstemp(table_path);
    close(fd);
    return fd < 0 || setenv("DOCA_EMU_DEVICES", table_path, 1) != 0;
}

static int table_tear_down(void **state)
{
    (void)state;
    unlink(table_path);
    memcpy(table_path + strlen(table_path) - 6, "XXXXXX", 6);
    return unsetenv("DOCA_EMU_DEVICES");
}

static void default_table_has_one_bluefield(void **state)
{
    (void)state;
    struct doca_devinfo **list = NULL;
    uint32_t count = 0;
    char text[DOCA_DEVINFO_PCI_ADDR_SIZE];
    char name[DOCA_DEVINFO_IBDEV_NAME_SIZE];
    assert_ok(doca_devinfo_create_list(&list, &count));
    assert_int_equal(count, 2);
    assert_ok(doca_devinfo_get_pci_addr_str(list[0], text));
    assert_string_equal(text, HOST_PCI);
    assert_ok(doca_devinfo_get_pci_addr_str(list[1], text));
    assert_string_equal(text, DPU_PCI);
    assert_ok(doca_devinfo_get_ibdev_name(list[0], name, sizeof(name)));
    assert_string_equal(name, "mlx5_0");
    assert_doca(doca_devinfo_get_ibdev_name(list[0], name, 8), DOCA_ERROR_INVALID_VALUE);
    assert_ok(doca_devinfo_destroy_list(list));
    assert_doca(doca_devinfo_create_list(NULL, &count), DOCA_ERROR_INVALID_VALUE);
}

static void pci_address_compares_in_both_spellings(void **state)
{
    (void)state;
    struct doca_dev *dev = open_device("ba:00.0");
    const struct doca_devinfo *info = doca_dev_as_devinfo(dev);
    uint8_t equal = 0;
    assert_ok(doca_devinfo_is_equal_pci_addr(info, "0000:BA:00.0", &equal));
    assert_int_equal(equal, 1);
    assert_ok(doca_devinfo_is_equal_pci_addr(info, "0001:ba:00.0", &equal));
    assert_int_equal(equal, 0);
    assert_ok(doca_devinfo_is_equal_pci_addr(info, "ba:00.1", &equal));
    assert_int_equal(equal, 0);
    const char *bad[] = {"",        "ba",     "ba:00", "xx:00.0", "ba:00.0x", "0000:ba:00.0 ",
                         "ba:ff.0", "-a:00.0"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_doca(doca_devinfo_is_equal_pci_addr(info, bad[i], &equal), DOCA_ERROR_INVALID_VALUE);
    }
    assert_doca(doca_devinfo_is_equal_pci_addr(info, NULL, &equal), DOCA_ERROR_INVALID_VALUE);
    assert_ok(doca_dev_close(dev));
}

static void device_outlives_its_list_and_counts_opens(void **state)
{
    (void)state;
    struct doca_dev *first = open_device(HOST_PCI);
    struct doca_dev *second = open_device(HOST_PCI);
    assert_ptr_equal(first, second);
    assert_ok(doca_dev_close(first));
    char text[DOCA_DEVINFO_PCI_ADDR_SIZE];
    assert_ok(doca_devinfo_get_pci_addr_str(doca_dev_as_devinfo(second), text));
    assert_ok(doca_dev_close(second));
}

static void close_is_refused_while_in_use(void **state)
{
    (void)state;
    struct doca_dev *dev = open_device(DPU_PCI);
    struct doca_mmap *mmap = NULL;
    struct doca_dma *dma = NULL;
    assert_ok(doca_mmap_create(&mmap));
    assert_ok(doca_mmap_add_dev(mmap, dev));
    assert_doca(doca_dev_close(dev), DOCA_ERROR_IN_USE);
    assert_ok(doca_mmap_rm_dev(mmap, dev));
    assert_ok(doca_dma_create(dev, &dma));
    assert_doca(doca_dev_close(dev), DOCA_ERROR_IN_USE);
    assert_ok(doca_dma_destroy(dma));
    assert_ok(doca_mmap_destroy(mmap));
    assert_ok(doca_dev_close(dev));
}

static void caps_tell_host_from_dpu(void **state)
{
    (void)state;
    uint8_t yes = 0;
    uint64_t size = 0;
    uint32_t number = 0;
    struct doca_dev *host = open_device(HOST_PCI);
    struct doca_dev *dpu = open_device(DPU_PCI);
    assert_ok(doca_mmap_cap_is_export_pci_supported(doca_dev_as_devinfo(host), &yes));
    assert_int_equal(yes, 1);
    assert_ok(doca_mmap_cap_is_export_pci_supported(doca_dev_as_devinfo(dpu), &yes));
    assert_int_equal(yes, 0);
    assert_ok(doca_mmap_cap_is_create_from_export_pci_supported(doca_dev_as_devinfo(host), &yes));
    assert_int_equal(yes, 0);
    assert_ok(doca_mmap_cap_is_create_from_export_pci_supported(doca_dev_as_devinfo(dpu), &yes));
    assert_int_equal(yes, 1);
    assert_ok(doca_devinfo_rep_cap_is_filter_net_supported(doca_dev_as_devinfo(dpu), &yes));
    assert_int_equal(yes, 1);
    assert_ok(doca_devinfo_rep_cap_is_filter_emulated_supported(doca_dev_as_devinfo(dpu), &yes));
    assert_int_equal(yes, 0);
    assert_ok(doca_dma_cap_task_memcpy_is_supported(doca_dev_as_devinfo(dpu)));
    assert_ok(doca_dma_cap_task_memcpy_get_max_buf_size(doca_dev_as_devinfo(dpu), &size));
    assert_int_equal(size, 2097152);
    assert_ok(doca_dma_cap_task_memcpy_get_max_buf_list_len(doca_dev_as_devinfo(dpu), &number));
    assert_int_equal(number, 64);
    assert_ok(doca_dev_close(host));
    assert_ok(doca_dev_close(dpu));
}

static void representor_stands_for_the_host_function(void **state)
{
    (void)state;
    struct doca_dev *host = open_device(HOST_PCI);
    struct doca_dev *dpu = open_device(DPU_PCI);
    struct doca_devinfo_rep **list = NULL;
    struct doca_dev_rep *rep = NULL;
    uint32_t count = 0;
    uint8_t equal = 0;
    char vuid[DOCA_DEVINFO_REP_VUID_SIZE];
    assert_doca(doca_devinfo_rep_create_list(host, DOCA_DEVINFO_REP_FILTER_NET, &list, &count),
                DOCA_ERROR_NOT_SUPPORTED);
    assert_doca(doca_devinfo_rep_create_list(dpu, 1, &list, &count), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_devinfo_rep_create_list(dpu, DOCA_DEVINFO_REP_FILTER_EMULATED, &list, &count),
                DOCA_ERROR_NOT_SUPPORTED);
    assert_ok(doca_devinfo_rep_create_list(dpu, DOCA_DEVINFO_REP_FILTER_NET, &list, &count));
    assert_int_equal(count, 1);
    assert_ok(doca_devinfo_rep_is_equal_pci_addr(list[0], "ba:00.0", &equal));
    assert_int_equal(equal, 1);
    assert_ok(doca_devinfo_rep_get_vuid(list[0], vuid, sizeof(vuid)));
    assert_true(strlen(vuid) > 0);
    assert_ok(doca_dev_rep_open(list[0], &rep));
    assert_ok(doca_devinfo_rep_destroy_list(list));
    assert_ok(doca_devinfo_rep_is_equal_pci_addr(doca_dev_rep_as_devinfo(rep), HOST_PCI, &equal));
    assert_int_equal(equal, 1);
    assert_doca(doca_dev_close(dpu), DOCA_ERROR_IN_USE);
    assert_ok(doca_dev_rep_close(rep));
    assert_ok(doca_dev_close(dpu));
    assert_ok(doca_dev_close(host));
}

static void file_replaces_the_table(void **state)
{
    (void)state;
    write_table("# two cards\n"
                "host 0000:17:00.0 ibdev=left mac=02:00:00:00:00:01\n"
                "host 17:00.1 ipv4=10.1.2.3 type=vf\n\n"
                "dpu 0001:03:00.0 rep=17:00.0,17:00.1   # both\n");
    struct doca_devinfo_rep **list = NULL;
    enum doca_pci_func_type type = DOCA_PCI_FUNC_TYPE_PF;
    uint32_t count = 0;
    uint8_t bytes[DOCA_DEVINFO_MAC_ADDR_SIZE];
    assert_null(open_device(HOST_PCI));
    struct doca_dev *host = open_device("0000:17:00.1");
    struct doca_dev *dpu = open_device("0001:03:00.0");
    assert_ok(doca_devinfo_get_ipv4_addr(doca_dev_as_devinfo(host), bytes, 4));
    assert_memory_equal(bytes, "\x0a\x01\x02\x03", 4);
    assert_doca(doca_devinfo_get_ipv4_addr(doca_dev_as_devinfo(dpu), bytes, 4),
                DOCA_ERROR_NOT_FOUND);
    assert_ok(doca_devinfo_rep_create_list(dpu, DOCA_DEVINFO_REP_FILTER_ALL, &list, &count));
    assert_int_equal(count, 2);
    assert_ok(doca_devinfo_rep_get_pci_func_type(list[1], &type));
    assert_int_equal(type, DOCA_PCI_FUNC_TYPE_VF);
    assert_ok(doca_devinfo_rep_destroy_list(list));
    assert_ok(doca_dev_close(host));
    assert_ok(doca_dev_close(dpu));
}

static void malformed_table_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "host\n",
        "server 0000:17:00.0\n",
        "host 0000:17:00\n",
        "host 17:00.0 colour=red\n",
        "host 17:00.0 ibdev\n",
        "host 17:00.0 ibdev=\n",
        "host 17:00.0 mac=1:2:3\n",
        "host 17:00.0 ipv4=300.1.1.1\n",
        "host 17:00.0\nhost 0000:17:00.0\n",
        "host 17:00.0 rep=17:00.0\n",
        "dpu 03:00.0 rep=17:00.0\n",
        "dpu 03:00.0\ndpu 04:00.0 rep=03:00.0\n",
    };
    struct doca_devinfo **list = NULL;
    uint32_t count = 0;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_table(bad[i]);
        assert_doca(doca_devinfo_create_list(&list, &count), DOCA_ERROR_INVALID_VALUE);
    }
    write_table("# nothing\n");
    assert_doca(doca_devinfo_create_list(&list, &count), DOCA_ERROR_NOT_FOUND);
    unlink(table_path);
    assert_doca(doca_devinfo_create_list(&list, &count), DOCA_ERROR_NOT_FOUND);
}

static bool is_dpu(const struct doca_devinfo *info)
{
    uint8_t imports = 0;
    assert_ok(doca_mmap_cap_is_create_from_export_pci_supported(info, &imports));
    return imports != 0;
}

static void process_sees_its_own_side_first(void **state)
{
    (void)state;
    struct doca_devinfo **list = NULL;
    uint32_t count = 0;
    assert_ok(doca_devinfo_create_list(&list, &count));
    assert_int_equal(count, 2);
    assert_false(is_dpu(list[0]));
    assert_ok(doca_devinfo_destroy_list(list));
    struct doca_dev *dpu = open_device(DPU_PCI);
    assert_ok(doca_devinfo_create_list(&list, &count));
    assert_int_equal(count, 2);
    assert_true(is_dpu(list[0]));
    assert_false(is_dpu(list[1]));
    assert_ok(doca_devinfo_destroy_list(list));
    assert_ok(doca_dev_close(dpu));
    setenv("DOCA_EMU_SIDE", "dpu", 1);
    assert_ok(doca_devinfo_create_list(&list, &count));
    assert_int_equal(count, 1);
    assert_true(is_dpu(list[0]));
    assert_ok(doca_devinfo_destroy_list(list));
    setenv("DOCA_EMU_SIDE", "host", 1);
    assert_null(open_device(DPU_PCI));
    unsetenv("DOCA_EMU_SIDE");
}

static void null_arguments_are_refused(void **state)
{
    (void)state;
    struct doca_dev *dev = NULL;
    assert_doca(doca_dev_open(NULL, &dev), DOCA_ERROR_INVALID_VALUE);
    assert_ok(doca_dev_close(NULL));
    assert_doca(doca_devinfo_destroy_list(NULL), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_devinfo_rep_destroy_list(NULL), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_dev_rep_open(NULL, NULL), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_dev_rep_close(NULL), DOCA_ERROR_INVALID_VALUE);
    assert_doca(doca_dma_cap_task_memcpy_is_supported(NULL), DOCA_ERROR_INVALID_VALUE);
    assert_null(doca_dev_as_devinfo(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_table_has_one_bluefield),
        cmocka_unit_test(pci_address_compares_in_both_spellings),
        cmocka_unit_test(device_outlives_its_list_and_counts_opens),
        cmocka_unit_test(close_is_refused_while_in_use),
        cmocka_unit_test(caps_tell_host_from_dpu),
        cmocka_unit_test(representor_stands_for_the_host_function),
        cmocka_unit_test_setup_teardown(file_replaces_the_table, table_set_up, table_tear_down),
        cmocka_unit_test_setup_teardown(malformed_table_is_refused, table_set_up, table_tear_down),
        cmocka_unit_test(process_sees_its_own_side_first),
        cmocka_unit_test(null_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
