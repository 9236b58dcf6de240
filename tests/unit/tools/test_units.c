/* SPDX-License-Identifier: Apache-2.0 */
/* test_units.c - sizes, times and rates, as they are read and written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "units.h"

static void parse_size_reads_suffixes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        {"0", 0},
        {"4096", 4096},
        {"7B", 7},
        {"64K", 65536},
        {"64k", 65536},
        {"1M", 1048576},
        {"1MB", 1048576},
        {"1MiB", 1048576},
        {"3g", UINT64_C(3) << 30},
        {"2TiB", UINT64_C(2) << 40},
        {"16777215T", UINT64_C(16777215) << 40},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t bytes = 1;

        assert_int_equal(bc_cli_parse_size(cases[i].text, &bytes), 0);
        assert_int_equal(bytes, cases[i].bytes);
    }
}

static void parse_size_refuses_the_rest(void **state)
{
    static const char *const bad[] = {"",    "K",   "-1", "+1",   " 1",  "1 K",
                                      "1KK", "1Ki", "1X", "1.5M", "0x10"};
    uint64_t bytes = 42;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(bc_cli_parse_size(bad[i], &bytes), -EINVAL);
    }
    assert_int_equal(bc_cli_parse_size("18446744073709551616", &bytes), -ERANGE);
    assert_int_equal(bc_cli_parse_size("16777216T", &bytes), -ERANGE);
    assert_int_equal(bytes, 42);
}

static void parse_seconds_keeps_milliseconds(void **state)
{
    uint64_t ms = 0;

    (void)state;
    assert_int_equal(bc_cli_parse_seconds("5", &ms), 0);
    assert_int_equal(ms, 5000);
    assert_int_equal(bc_cli_parse_seconds("0.25", &ms), 0);
    assert_int_equal(ms, 250);
    assert_int_equal(bc_cli_parse_seconds("1.0009s", &ms), 0);
    assert_int_equal(ms, 1000);
    assert_int_equal(bc_cli_parse_seconds(".5", &ms), -EINVAL);
    assert_int_equal(bc_cli_parse_seconds("1m", &ms), -EINVAL);
    assert_int_equal(bc_cli_parse_seconds("18446744073709551615", &ms), -ERANGE);
}

static void numbers_are_shown_with_three_digits(void **state)
{
    char buf[BC_CLI_UNITS_LEN];

    (void)state;
    assert_string_equal(bc_cli_size(buf, 0), "0 B");
    assert_string_equal(bc_cli_size(buf, 1023), "1023 B");
    assert_string_equal(bc_cli_size(buf, 1024), "1 KiB");
    assert_string_equal(bc_cli_size(buf, 1536), "1.50 KiB");
    assert_string_equal(bc_cli_size(buf, UINT64_C(256) << 20), "256 MiB");
    assert_string_equal(bc_cli_size(buf, 1048575), "1.00 MiB");
    assert_string_equal(bc_cli_rate(buf, 2310000000, 1000000000), "2.31 GB/s");
    assert_string_equal(bc_cli_rate(buf, 0, 0), "0.00 B/s");
    assert_string_equal(bc_cli_rate(buf, 999600, 1000000000), "1.00 MB/s");
    assert_string_equal(bc_cli_duration(buf, 999), "999 ns");
    assert_string_equal(bc_cli_duration(buf, 41234), "41.2 us");
    assert_string_equal(bc_cli_duration(buf, 999600), "1.00 ms");
    assert_string_equal(bc_cli_duration(buf, UINT64_C(90000000000)), "90.0 s");
}

static void counts_are_shown_in_groups(void **state)
{
    char buf[BC_CLI_UNITS_LEN];

    (void)state;
    assert_string_equal(bc_cli_number(buf, 0), "0");
    assert_string_equal(bc_cli_number(buf, 999), "999");
    assert_string_equal(bc_cli_number(buf, 1000), "1,000");
    assert_string_equal(bc_cli_number(buf, -1234567), "-1,234,567");
    assert_string_equal(bc_cli_number(buf, INT64_MIN), "-9,223,372,036,854,775,808");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_size_reads_suffixes),
        cmocka_unit_test(parse_size_refuses_the_rest),
        cmocka_unit_test(parse_seconds_keeps_milliseconds),
        cmocka_unit_test(numbers_are_shown_with_three_digits),
        cmocka_unit_test(counts_are_shown_in_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
