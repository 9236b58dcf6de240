/* SPDX-License-Identifier: Apache-2.0 */
/* test_posix_groups.c - groups of objects on disk: files of before there were any, and damage. */
#include "bed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backend/posix_format.h"
#include "base/crc32c.h"
#include "testlib/quiet_log.h"

#define IMAGE_LEN 8192u

static void path_of(const struct bed *bed, const struct bc_object_key *key, char *path, size_t len)
{
    char name[BC_POSIX_PATH_LEN];

    bc_posix_path(key->hash, name);
    (void)snprintf(path, len, "%s/%s", bed->root, name);
}

/* Turns one bit of the object's data. */
static void flip(const struct bed *bed, const struct bc_object_key *key)
{
    char path[512];
    uint8_t byte;
    int fd;

    path_of(bed, key, path, sizeof(path));
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, 3), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, 3), 1);
    assert_int_equal(close(fd), 0);
}

static void put_le(uint8_t *image, size_t at, uint64_t value, size_t len)
{
    memcpy(image + at, &value, len); /* little-endian, as this machine is */
}

/* An object's file as the page on the format gives it, byte by byte, and not by our structures. */
static void write_image(const struct bed *bed, const char *text, uint64_t group)
{
    struct bc_object_key key = bed_key(text);
    static uint8_t image[IMAGE_LEN];
    uint8_t *footer = image + 4096;
    char path[512];
    int fd;

    memset(image, 0, sizeof(image));
    bed_fill(image, 0, 8, 3);
    (void)snprintf(path, sizeof(path), "%s/%s", bed->root, BC_POSIX_STORE_NAME);
    fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    memcpy(footer, "BCPSOBJ1", 8);
    put_le(footer, 8, 1, 4);
    assert_int_equal(pread(fd, footer + 16, 16, 16), 16); /* the store's uuid */
    assert_int_equal(close(fd), 0);
    put_le(footer, 32, key.hash.low, 8);
    put_le(footer, 40, key.hash.high, 8);
    put_le(footer, 48, 8, 8);
    put_le(footer, 56, IMAGE_LEN, 8);
    put_le(footer, 64, 1, 8);
    put_le(footer, 76, key.key_len, 2);
    put_le(footer, 80, 1, 4);
    memcpy(footer + 152, text, key.key_len);
    put_le(footer, 1176, group, 8);
    put_le(footer, 1276, bc_crc32c(0, image, 8), 4);
    put_le(footer, 4092, bc_crc32c(0, footer, 4092), 4);
    path_of(bed, &key, path, sizeof(path));
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, image, IMAGE_LEN), IMAGE_LEN);
    assert_int_equal(close(fd), 0);
}

static void files_of_before_there_were_groups_are_read(void **state)
{
    static const char *const texts[] = {"old 1", "old 2", "new 1", "new 2"};
    struct bed_options options = {.backend = "posix", .capacity = 64 * BED_MIB};
    struct bc_object_key key;
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    bed_close(&bed);
    for (size_t i = 0; i < BC_ARRAY_LEN(texts); i++) {
        write_image(&bed, texts[i], i < 2 ? 0 : 77);
    }
    bed_open(&bed);
    for (size_t i = 0; i < BC_ARRAY_LEN(texts); i++) {
        key = bed_key(texts[i]);
        assert_int_equal(bed_get(&bed, &key, 8, 3), 0);
    }
    key = bed_key("old 1");
    flip(&bed, &key);
    assert_int_equal(bed_get(&bed, &key, 8, 3), -EBADMSG);
    key = bed_key("old 2");
    assert_int_equal(bed_get(&bed, &key, 8, 3), 0);
    key = bed_key("new 1");
    flip(&bed, &key);
    assert_int_equal(bed_get(&bed, &key, 8, 3), -EBADMSG);
    key = bed_key("new 2");
    assert_int_equal(bed_get(&bed, &key, 8, 3), -ENOENT);
    assert_int_equal(bed_metric(&bed, "group_evictions_total"), 1);
    bed_end(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_before_there_were_groups_are_read),
    };

    bc_log_set_sink(bc_quiet_log, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
