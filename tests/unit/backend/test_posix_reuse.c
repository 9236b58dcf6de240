/* SPDX-License-Identifier: Apache-2.0 */
/* test_posix_reuse.c - the files of evicted objects are written anew: what is there stays right,
 * what is read meanwhile stays whole, and the capacity is exact. */
#include "bed.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OBJECTS = 48, ROOM = 16 };

#define SIZE     (256 * UINT64_C(1024))
#define FILE_LEN (SIZE + 4096)

static char names[OBJECTS][8];

static struct bc_object_key key_of(uint32_t index)
{
    (void)snprintf(names[index], sizeof(names[index]), "k%u", index);
    return bed_key(names[index]);
}

static void fill(struct bed *bed, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        struct bc_object_key key = key_of(i);

        assert_int_equal(bed_put(bed, &key, SIZE, i), 0);
    }
}

static void start(struct bed *bed)
{
    struct bed_options options = {.backend = "posix", .capacity = ROOM * FILE_LEN};

    bed_start(bed, &options);
}

/* Every object is whole or absent; returns how many are there. */
static uint32_t check(struct bed *bed)
{
    uint32_t present = 0;

    for (uint32_t i = 0; i < OBJECTS; i++) {
        struct bc_object_key key = key_of(i);
        int rc = bed_get(bed, &key, SIZE, i);

        assert_true(rc == 0 || rc == -ENOENT);
        present += rc == 0;
    }
    return present;
}

static void check_accounts(struct bed *bed)
{
    uint32_t objects;
    uint32_t temporary;

    bed_settle(bed);
    assert_int_equal(bed_disk_bytes(bed, &objects, &temporary), bed_metric(bed, "used_bytes"));
    assert_int_equal(objects, bed_metric(bed, "objects"));
    assert_int_equal(temporary, bed_metric(bed, "spare_files"));
    assert_true(bed_metric(bed, "used_bytes") <= bed_metric(bed, "capacity_bytes"));
}

static void a_full_store_writes_over_files_of_evicted_objects(void **state)
{
    struct bed bed;
    uint32_t objects;
    uint32_t temporary;

    (void)state;
    start(&bed);
    fill(&bed, 0, OBJECTS);
    check_accounts(&bed);
    assert_true(bed_metric(&bed, "evictions_total") >= OBJECTS - ROOM);
    assert_true(bed_metric(&bed, "spare_files") > 0);
    assert_true(check(&bed) >= ROOM - 2);
    /* None is left behind by an agent that ends, and a restart shows the same. */
    bed_close(&bed);
    bed_open(&bed);
    (void)bed_disk_bytes(&bed, &objects, &temporary);
    assert_int_equal(temporary, 0);
    assert_true(check(&bed) >= ROOM - 2);
    check_accounts(&bed);
    bed_end(&bed);
}

static void a_file_that_is_read_is_not_written_over(void **state)
{
    struct bc_object_key key = key_of(0);
    struct bed_get get;
    struct bed bed;

    (void)state;
    start(&bed);
    fill(&bed, 0, 1);
    assert_int_equal(bed_get_open(&bed, &get, &key), 0);
    fill(&bed, 1, OBJECTS - 1);
    assert_int_equal(bed_get_range(&bed, &get, 0, SIZE, 0), 0);
    bed_get_close(&get);
    assert_true(bed_has(&bed, &key));
    check_accounts(&bed);
    bed_end(&bed);
}

/* Spares are room as well: an object of another size gets it. */
static void objects_of_other_sizes_get_the_room_of_spares(void **state)
{
    struct bc_object_key big = bed_key("big");
    struct bed bed;

    (void)state;
    start(&bed);
    fill(&bed, 0, OBJECTS);
    bed_settle(&bed);
    assert_true(bed_metric(&bed, "spare_files") > 0);
    assert_int_equal(bed_put(&bed, &big, (ROOM - 1) * SIZE, 77), 0);
    assert_int_equal(bed_get(&bed, &big, (ROOM - 1) * SIZE, 77), 0);
    check_accounts(&bed);
    fill(&bed, 0, OBJECTS);
    assert_true(check(&bed) >= ROOM - 2);
    check_accounts(&bed);
    bed_end(&bed);
}

static void a_spare_that_vanished_is_done_without(void **state)
{
    struct dirent *entry;
    struct bed bed;
    char path[600];
    DIR *tmp;

    (void)state;
    start(&bed);
    fill(&bed, 0, ROOM + 2);
    bed_settle(&bed);
    assert_true(bed_metric(&bed, "spare_files") > 0);
    (void)snprintf(path, sizeof(path), "%s/tmp", bed.root);
    tmp = opendir(path);
    assert_non_null(tmp);
    while ((entry = readdir(tmp)) != NULL) {
        if (entry->d_name[0] == 'w') {
            (void)snprintf(path, sizeof(path), "%s/tmp/%s", bed.root, entry->d_name);
            assert_int_equal(unlink(path), 0);
        }
    }
    assert_int_equal(closedir(tmp), 0);
    fill(&bed, ROOM + 2, OBJECTS - ROOM - 2);
    assert_true(check(&bed) >= ROOM - 2);
    check_accounts(&bed);
    bed_end(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_store_writes_over_files_of_evicted_objects),
        cmocka_unit_test(a_file_that_is_read_is_not_written_over),
        cmocka_unit_test(objects_of_other_sizes_get_the_room_of_spares),
        cmocka_unit_test(a_spare_that_vanished_is_done_without),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
