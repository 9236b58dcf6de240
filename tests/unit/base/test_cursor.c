/* SPDX-License-Identifier: Apache-2.0 */
/* Reader and writer at every bound. Buffers come from malloc with their exact size, so that the
 * address sanitizer sees a step past the end. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"

static void reader_reads_little_endian(void **state)
{
    const uint8_t bytes[] = {0x01, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04, 0x0f,
                             0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x88};
    struct bc_reader reader;

    (void)state;
    bc_reader_init(&reader, bytes, sizeof(bytes));
    assert_int_equal(bc_reader_u8(&reader), 0x01);
    assert_int_equal(bc_reader_u16(&reader), 0x0203);
    assert_int_equal(bc_reader_u32(&reader), 0x04050607);
    assert_int_equal(bc_reader_left(&reader), 8);
    assert_int_equal(bc_reader_u64(&reader), 0x88090a0b0c0d0e0fu);
    assert_int_equal(bc_reader_finish(&reader), 0);
}

/* Reads an integer of `width` bytes; anything else is a bug of the test. */
static uint64_t read_width(struct bc_reader *reader, size_t width)
{
    switch (width) {
    case 1:
        return bc_reader_u8(reader);
    case 2:
        return bc_reader_u16(reader);
    case 4:
        return bc_reader_u32(reader);
    default:
        return bc_reader_u64(reader);
    }
}

static void integer_needs_all_of_its_bytes(void **state)
{
    static const size_t widths[] = {1, 2, 4, 8};

    (void)state;
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
        for (size_t len = 0; len <= widths[i]; len++) {
            uint8_t *bytes = malloc(len == 0 ? 1 : len);
            struct bc_reader reader;

            assert_non_null(bytes);
            memset(bytes, 0xff, len);
            bc_reader_init(&reader, bytes, len);
            if (len < widths[i]) {
                assert_int_equal(read_width(&reader, widths[i]), 0);
                assert_true(reader.failed);
                assert_int_equal(bc_reader_left(&reader), 0);
                assert_int_equal(bc_reader_finish(&reader), -EBADMSG);
            } else {
                assert_int_equal(read_width(&reader, widths[i]), UINT64_MAX >> (64 - 8 * len));
                assert_int_equal(bc_reader_finish(&reader), 0);
            }
            free(bytes);
        }
    }
}

static void failed_reader_stays_failed(void **state)
{
    const uint8_t bytes[4] = {1, 2, 3, 4};
    uint8_t out[2] = {9, 9};
    struct bc_reader reader;

    (void)state;
    bc_reader_init(&reader, bytes, sizeof(bytes));
    assert_int_equal(bc_reader_u64(&reader), 0);
    assert_int_equal(bc_reader_u8(&reader), 0);
    assert_null(bc_reader_view(&reader, 0));
    bc_reader_copy(&reader, out, sizeof(out));
    assert_int_equal(out[0], 0);
    assert_int_equal(out[1], 0);
    assert_int_equal(reader.pos, 0);
    assert_int_equal(bc_reader_finish(&reader), -EBADMSG);
}

static void view_and_copy_stop_at_the_end(void **state)
{
    const uint8_t bytes[4] = {1, 2, 3, 4};
    uint8_t out[4] = {0};
    struct bc_reader reader;

    (void)state;
    bc_reader_init(&reader, bytes, sizeof(bytes));
    assert_ptr_equal(bc_reader_view(&reader, 1), bytes);
    bc_reader_copy(&reader, out, 3);
    assert_memory_equal(out, bytes + 1, 3);
    assert_ptr_equal(bc_reader_view(&reader, 0), bytes + 4);
    assert_int_equal(bc_reader_finish(&reader), 0);
    assert_null(bc_reader_view(&reader, 1));
    assert_int_equal(bc_reader_finish(&reader), -EBADMSG);
}

static void huge_length_does_not_wrap(void **state)
{
    const uint8_t bytes[4] = {1, 2, 3, 4};
    uint8_t room[4];
    struct bc_reader reader;
    struct bc_writer writer;

    (void)state;
    bc_reader_init(&reader, bytes, sizeof(bytes));
    (void)bc_reader_u8(&reader);
    assert_null(bc_reader_view(&reader, SIZE_MAX));
    bc_writer_init(&writer, room, sizeof(room));
    bc_writer_u8(&writer, 1);
    assert_null(bc_writer_reserve(&writer, SIZE_MAX));
}

static void bytes_left_over_are_an_error(void **state)
{
    const uint8_t bytes[2] = {1, 2};
    struct bc_reader reader;

    (void)state;
    bc_reader_init(&reader, bytes, sizeof(bytes));
    (void)bc_reader_u8(&reader);
    assert_int_equal(bc_reader_finish(&reader), -EBADMSG);
}

static void empty_buffer_may_be_null(void **state)
{
    struct bc_reader reader;
    struct bc_writer writer;
    size_t len = 99;

    (void)state;
    bc_reader_init(&reader, NULL, 0);
    assert_non_null(bc_reader_view(&reader, 0));
    bc_reader_copy(&reader, NULL, 0);
    assert_int_equal(bc_reader_finish(&reader), 0);
    bc_writer_init(&writer, NULL, 0);
    assert_non_null(bc_writer_reserve(&writer, 0));
    bc_writer_copy(&writer, NULL, 0);
    assert_int_equal(bc_writer_finish(&writer, &len), 0);
    assert_int_equal(len, 0);
}

static void writer_fills_what_the_reader_reads(void **state)
{
    uint8_t *bytes = malloc(20);
    struct bc_writer writer;
    struct bc_reader reader;
    uint8_t *room;
    size_t len = 0;

    (void)state;
    assert_non_null(bytes);
    bc_writer_init(&writer, bytes, 20);
    bc_writer_u8(&writer, 0xab);
    bc_writer_u16(&writer, 0xcdef);
    bc_writer_u32(&writer, 0x12345678);
    bc_writer_u64(&writer, 0xfedcba9876543210u);
    bc_writer_copy(&writer, "xyz", 3);
    room = bc_writer_reserve(&writer, 2);
    assert_non_null(room);
    memcpy(room, "!?", 2);
    assert_int_equal(bc_writer_finish(&writer, &len), 0);
    assert_int_equal(len, 20);
    bc_reader_init(&reader, bytes, len);
    assert_int_equal(bc_reader_u8(&reader), 0xab);
    assert_int_equal(bc_reader_u16(&reader), 0xcdef);
    assert_int_equal(bc_reader_u32(&reader), 0x12345678);
    assert_int_equal(bc_reader_u64(&reader), 0xfedcba9876543210u);
    assert_memory_equal(bc_reader_view(&reader, 5), "xyz!?", 5);
    assert_int_equal(bc_reader_finish(&reader), 0);
    free(bytes);
}

static void writer_that_overflowed_says_so_once_and_for_all(void **state)
{
    static const size_t needs[] = {1, 2, 4, 8, 3};

    (void)state;
    for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
        size_t room = needs[i] - 1;
        uint8_t *bytes = malloc(room == 0 ? 1 : room);
        struct bc_writer writer;
        size_t len = 77;

        assert_non_null(bytes);
        memset(bytes, 0x55, room);
        bc_writer_init(&writer, bytes, room);
        switch (needs[i]) {
        case 1:
            bc_writer_u8(&writer, 1);
            break;
        case 2:
            bc_writer_u16(&writer, 1);
            break;
        case 4:
            bc_writer_u32(&writer, 1);
            break;
        case 8:
            bc_writer_u64(&writer, 1);
            break;
        default:
            bc_writer_copy(&writer, "abc", 3);
            break;
        }
        bc_writer_u8(&writer, 1); /* would fit, but the message is broken already */
        assert_null(bc_writer_reserve(&writer, 0));
        assert_int_equal(bc_writer_finish(&writer, &len), -EMSGSIZE);
        assert_int_equal(len, 77);
        for (size_t at = 0; at < room; at++) {
            assert_int_equal(bytes[at], 0x55);
        }
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_reads_little_endian),
        cmocka_unit_test(integer_needs_all_of_its_bytes),
        cmocka_unit_test(failed_reader_stays_failed),
        cmocka_unit_test(view_and_copy_stop_at_the_end),
        cmocka_unit_test(huge_length_does_not_wrap),
        cmocka_unit_test(bytes_left_over_are_an_error),
        cmocka_unit_test(empty_buffer_may_be_null),
        cmocka_unit_test(writer_fills_what_the_reader_reads),
        cmocka_unit_test(writer_that_overflowed_says_so_once_and_for_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
