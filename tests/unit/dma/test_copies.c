/* SPDX-License-Identifier: Apache-2.0 */
/* The copy engine against a host in another process. */
#include "exporter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "testlib/quiet_log.h"

#define MIB        ((size_t)1 << 20)
#define REGION_LEN (4 * MIB)

static void device_is_found_by_its_address(void **state)
{
    struct bc_dma_device *device = NULL;

    (void)state;
    assert_int_equal(bc_dma_device_open("0000:03:00.0", &device), 0);
    assert_int_equal(bc_dma_device_max_len(device), 2 * MIB);
    assert_true(bc_dma_device_emulated(device));
    assert_string_equal(bc_dma_device_pci_addr(device), "0000:03:00.0");
    bc_dma_device_close(device);
    assert_int_equal(bc_dma_device_open("03:00.0", &device), 0);
    bc_dma_device_close(device);
    bc_dma_device_close(NULL);
    bc_log_set_sink(bc_quiet_log, NULL);
    assert_int_equal(bc_dma_device_open("0000:99:00.0", &device), -ENODEV);
    assert_int_equal(bc_dma_device_open("not an address", &device), -ENODEV);
    assert_int_equal(bc_dma_device_open("0000:ba:00.0", &device), -EOPNOTSUPP); /* the host's */
    bc_log_set_sink(NULL, NULL);
}

static void create_refuses_bad_options(void **state)
{
    struct bc_loop_options loop_options = {.name = "test"};
    struct bc_dma_device *device = NULL;
    struct bc_loop *loop = NULL;
    struct bc_dma *dma = NULL;
    uint8_t *memory = aligned_alloc(4096, 8192);
    const struct bc_dma_options bad[] = {
        {.depth = 0, .local = memory, .local_len = 8192},
        {.depth = 4097, .local = memory, .local_len = 8192},
        {.depth = 1, .local = memory + 1, .local_len = 4096},
        {.depth = 1, .local = memory, .local_len = 0},
        {.depth = 1, .local = NULL, .local_len = 8192},
    };
    size_t i;

    (void)state;
    assert_non_null(memory);
    assert_int_equal(bc_dma_device_open("03:00.0", &device), 0);
    assert_int_equal(bc_loop_create(&loop_options, &loop), 0);
    for (i = 0; i < BC_ARRAY_LEN(bad); i++) {
        assert_int_equal(bc_dma_create(device, loop, &bad[i], NULL, &dma), -EINVAL);
    }
    bc_dma_destroy(NULL);
    bc_loop_destroy(loop);
    bc_dma_device_close(device);
    free(memory);
}

static void bytes_go_both_ways(bool shared)
{
    struct exporter exporter;
    struct bed bed;
    struct bc_dma_import *import;
    struct copy copy;
    size_t at;

    exporter_start(&exporter, REGION_LEN, shared);
    exporter_fill(&exporter, 1);
    bed_create(&bed, 4);
    import = bed_import(&bed, &exporter, REGION_LEN);
    for (at = 0; at < REGION_LEN; at += 2 * MIB) {
        copy_init(&copy, BC_DMA_FROM_HOST, import, at, bed.local + at, 2 * MIB);
        assert_int_equal(copy_perform(&bed, &copy), 0);
    }
    assert_true(pattern_check(bed.local, 0, REGION_LEN, 1));
    pattern_fill(bed.local, 0, REGION_LEN, 2);
    for (at = 0; at < REGION_LEN; at += 2 * MIB) {
        copy_init(&copy, BC_DMA_TO_HOST, import, at, bed.local + at, 2 * MIB);
        assert_int_equal(copy_perform(&bed, &copy), 0);
    }
    assert_true(exporter_check(&exporter, 2));
    assert_int_equal(bed_metric(&bed, "bluecache_dma_from_host_bytes_total"), REGION_LEN);
    assert_int_equal(bed_metric(&bed, "bluecache_dma_to_host_bytes_total"), REGION_LEN);
    assert_int_equal(bed_metric(&bed, "bluecache_dma_task_nanoseconds"), 4);
    assert_int_equal(bed_metric(&bed, "bluecache_dma_imported_regions"), 1);
    assert_int_equal(bc_dma_release(bed.dma, import), 0);
    bed_destroy(&bed);
    exporter_stop(&exporter);
}

static void shared_memory_is_copied_both_ways(void **state)
{
    (void)state;
    bytes_go_both_ways(true);
}

static void private_memory_is_copied_both_ways(void **state)
{
    (void)state;
    bytes_go_both_ways(false);
}

/* Copies of odd lengths at odd places, many in flight, against a copy of the host's memory. */
static void random_copies_put_every_byte_in_its_place(void **state)
{
    enum { SLOTS = 16, COPIES = 3000 };
    static struct copy copies[SLOTS];
    static uint32_t lengths[SLOTS];
    const char *seed_text = getenv("BC_TEST_SEED");
    unsigned seed = seed_text != NULL ? (unsigned)atoi(seed_text) : (unsigned)time(NULL);
    const size_t slot_len = BED_LOCAL_LEN / SLOTS;
    struct exporter exporter;
    struct bc_dma_import *import;
    struct bed bed;
    uint32_t begun = 0;
    uint32_t ended = 0;
    uint32_t i;

    (void)state;
    print_message("BC_TEST_SEED=%u\n", seed);
    exporter_start(&exporter, REGION_LEN, true);
    exporter_fill(&exporter, 3);
    bed_create(&bed, 8); /* fewer than are tried at once */
    import = bed_import(&bed, &exporter, REGION_LEN);
    memset(lengths, 0, sizeof(lengths));
    while (ended < COPIES) {
        for (i = 0; i < SLOTS; i++) {
            uint8_t *local = bed.local + i * slot_len;
            if (lengths[i] != 0 && copies[i].done == 1) {
                assert_int_equal(copies[i].result, 0);
                assert_true(pattern_check(local, copies[i].task.import_offset, lengths[i], 3));
                lengths[i] = 0;
                ended++;
            }
            if (lengths[i] == 0 && begun < COPIES) {
                uint32_t len = 1 + (uint32_t)rand_r(&seed) % (rand_r(&seed) % 8 ? 5000 : 300000);
                uint64_t offset = (uint64_t)rand_r(&seed) % (REGION_LEN - len + 1);
                copy_init(&copies[i], BC_DMA_FROM_HOST, import, offset, local, len);
                memset(local, 0, len);
                int rc = bc_dma_submit(bed.dma, &copies[i].task);
                assert_true(rc == 0 || (rc == -EAGAIN && bc_dma_slots_free(bed.dma) == 0));
                lengths[i] = rc == 0 ? len : 0;
                begun += rc == 0;
            }
        }
        bed_turn(&bed);
    }
    assert_true(bed.ready > 0);
    bed_destroy(&bed);
    exporter_stop(&exporter);
}

static void task_out_of_bounds_is_refused(void **state)
{
    struct exporter exporter;
    struct bed bed;
    struct bc_dma_import *import;
    struct copy copy;
    const struct {
        uint64_t offset;
        int64_t local;
        uint32_t len;
        int rc;
    } rows[] = {
        {0, 0, 0, -EINVAL},
        {0, 0, 2 * MIB + 1, -EINVAL},
        {0, -1, 1, -EINVAL},
        {0, BED_LOCAL_LEN, 1, -EINVAL},
        {0, BED_LOCAL_LEN - 1, 2, -EINVAL},
        {MIB, 0, 1, -ERANGE},
        {MIB - 1, 0, 2, -ERANGE},
        {UINT64_MAX, 0, 2, -ERANGE},
        {MIB - 1, BED_LOCAL_LEN - 1, 1, 0},
    };
    size_t i;

    (void)state;
    exporter_start(&exporter, 2 * MIB, true);
    bed_create(&bed, 1);
    import = bed_import(&bed, &exporter, MIB); /* a part of what is exported */
    for (i = 0; i < BC_ARRAY_LEN(rows); i++) {
        copy_init(&copy, BC_DMA_TO_HOST, import, rows[i].offset, bed.local + rows[i].local,
                  rows[i].len);
        assert_int_equal(copy_perform(&bed, &copy), rows[i].rc);
    }
    copy_init(&copy, (enum bc_dma_direction)7, import, 0, bed.local, 1);
    assert_int_equal(copy_perform(&bed, &copy), -EINVAL);
    bed_destroy(&bed);
    exporter_stop(&exporter);
}

static void import_checks_descriptor_and_length(void **state)
{
    struct exporter exporter;
    struct bed bed;
    struct bc_dma_import *import = NULL;
    uint8_t garbage[EXPORTER_DESC_MAX];

    (void)state;
    exporter_start(&exporter, MIB, true);
    bed_create(&bed, 1);
    bc_log_set_sink(bc_quiet_log, NULL);
    memset(garbage, 0xa5, sizeof(garbage));
    assert_int_equal(bc_dma_import(bed.dma, garbage, sizeof(garbage), MIB, &import), -EINVAL);
    assert_int_equal(bc_dma_import(bed.dma, garbage, 0, MIB, &import), -EINVAL);
    assert_int_equal(bc_dma_import(bed.dma, exporter.desc, exporter.desc_len - 1, MIB, &import),
                     -EINVAL);
    assert_int_equal(bc_dma_import(bed.dma, exporter.desc, exporter.desc_len, MIB + 1, &import),
                     -ERANGE);
    assert_int_equal(bc_dma_import(bed.dma, exporter.desc, exporter.desc_len, 0, &import), -EINVAL);
    assert_null(import);
    assert_int_equal(bed_metric(&bed, "bluecache_dma_imported_regions"), 0);
    exporter_kill(&exporter);
    assert_int_equal(bc_dma_import(bed.dma, exporter.desc, exporter.desc_len, MIB, &import),
                     -EINVAL);
    bc_log_set_sink(NULL, NULL);
    bed_destroy(&bed);
}

static void depth_is_the_limit(void **state)
{
    struct exporter exporter;
    struct bed bed;
    struct bc_dma_import *import;
    struct copy copies[4];
    uint32_t i;

    (void)state;
    exporter_start(&exporter, MIB, true);
    bed_create(&bed, 3);
    import = bed_import(&bed, &exporter, MIB);
    assert_int_equal(bc_dma_slots_free(bed.dma), 3);
    for (i = 0; i < 4; i++) {
        copy_init(&copies[i], BC_DMA_FROM_HOST, import, 0, bed.local + i * MIB, MIB);
        assert_int_equal(bc_dma_submit(bed.dma, &copies[i].task), i < 3 ? 0 : -EAGAIN);
    }
    assert_int_equal(bc_dma_slots_free(bed.dma), 0);
    assert_int_equal(bed_metric(&bed, "bluecache_dma_in_flight_tasks"), 3);
    assert_int_equal(bc_dma_release(bed.dma, import), -EBUSY);
    assert_int_equal(bed.ready, 0);
    copy_wait(&bed, &copies[0]);
    copy_wait(&bed, &copies[1]);
    copy_wait(&bed, &copies[2]);
    assert_int_equal(bed.ready, 1);
    assert_int_equal(bc_dma_slots_free(bed.dma), 3);
    assert_int_equal(copy_perform(&bed, &copies[3]), 0);
    assert_int_equal(bed.ready, 1); /* nobody was refused since */
    assert_int_equal(bc_dma_release(bed.dma, import), 0);
    bed_destroy(&bed);
    exporter_stop(&exporter);
}

/* A callback that submits the next copy, as users do. */
struct chain {
    struct copy copy;
    struct bed *bed;
    uint32_t left;
};

static void chain_done(struct bc_dma_task *task, int result)
{
    struct chain *chain = BC_CONTAINER_OF(task, struct chain, copy.task);

    assert_int_equal(result, 0);
    if (chain->left-- > 0) {
        assert_int_equal(bc_dma_submit(chain->bed->dma, task), 0);
        return;
    }
    chain->copy.done = 1;
}

static void callback_may_submit_again(void **state)
{
    struct exporter exporter;
    struct bed bed;
    struct chain chain = {.bed = &bed, .left = 100};

    (void)state;
    exporter_start(&exporter, MIB, true);
    bed_create(&bed, 1);
    copy_init(&chain.copy, BC_DMA_FROM_HOST, bed_import(&bed, &exporter, MIB), 0, bed.local, 4096);
    chain.copy.task.done = chain_done;
    assert_int_equal(bc_dma_submit(bed.dma, &chain.copy.task), 0);
    copy_wait(&bed, &chain.copy);
    assert_int_equal(bed_metric(&bed, "bluecache_dma_tasks_total"), 101);
    bed_destroy(&bed);
    exporter_stop(&exporter);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(device_is_found_by_its_address),
        cmocka_unit_test(create_refuses_bad_options),
        cmocka_unit_test(shared_memory_is_copied_both_ways),
        cmocka_unit_test(private_memory_is_copied_both_ways),
        cmocka_unit_test(random_copies_put_every_byte_in_its_place),
        cmocka_unit_test(task_out_of_bounds_is_refused),
        cmocka_unit_test(import_checks_descriptor_and_length),
        cmocka_unit_test(depth_is_the_limit),
        cmocka_unit_test(callback_may_submit_again),
    };

    exporter_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
