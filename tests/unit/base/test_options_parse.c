/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, sizes and durations: what is read, what is refused, and the largest of each. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>

#include "base/options.h"

#define KIB UINT64_C(1024)

struct expected {
    const char *text;
    int rc;
    uint64_t value;
};

static void u64_takes_decimal_digits_only(void **state)
{
    static const struct expected cases[] = {
        {"0", 0, 0},
        {"007", 0, 7},
        {"18446744073709551615", 0, UINT64_MAX},
        {"18446744073709551616", -ERANGE, 0},
        {"99999999999999999999999", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {"+1", -EINVAL, 0},
        {" 1", -EINVAL, 0},
        {"1 ", -EINVAL, 0},
        {"0x10", -EINVAL, 0},
        {"1.5", -EINVAL, 0},
        {"1K", -EINVAL, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t value = 42;

        assert_int_equal(bc_parse_u64(cases[i].text, &value), cases[i].rc);
        assert_true(value == (cases[i].rc == 0 ? cases[i].value : 42));
    }
}

static void size_takes_binary_suffixes(void **state)
{
    static const struct expected cases[] = {
        {"0", 0, 0},
        {"4096", 0, 4096},
        {"512B", 0, 512},
        {"1K", 0, KIB},
        {"3k", 0, 3 * KIB},
        {"64M", 0, 64 * KIB * KIB},
        {"64MiB", 0, 64 * KIB * KIB},
        {"64mib", 0, 64 * KIB * KIB},
        {"2G", 0, 2 * KIB * KIB * KIB},
        {"2GiB", 0, 2 * KIB * KIB * KIB},
        {"5T", 0, 5 * KIB * KIB * KIB * KIB},
        {"5TiB", 0, 5 * KIB * KIB * KIB * KIB},
        {"16777215T", 0, UINT64_C(16777215) << 40},
        {"16777216T", -ERANGE, 0},
        {"18446744073709551616", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"M", -EINVAL, 0},
        {"64MB", -EINVAL, 0},
        {"64Mi", -EINVAL, 0},
        {"64 M", -EINVAL, 0},
        {"1.5G", -EINVAL, 0},
        {"-1M", -EINVAL, 0},
        {"64MM", -EINVAL, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t value = 42;

        assert_int_equal(bc_parse_size(cases[i].text, 1, &value), cases[i].rc);
        assert_true(value == (cases[i].rc == 0 ? cases[i].value : 42));
        assert_int_equal(bc_parse_size(cases[i].text, 0, &value), cases[i].rc);
    }
}

static void scale_is_for_bare_numbers(void **state)
{
    uint64_t bytes = 0;

    (void)state;
    assert_int_equal(bc_parse_size("256", KIB * KIB, &bytes), 0);
    assert_int_equal(bytes, 256 * KIB * KIB);
    assert_int_equal(bc_parse_size("256K", KIB * KIB, &bytes), 0);
    assert_int_equal(bytes, 256 * KIB);
    assert_int_equal(bc_parse_size("256B", KIB * KIB, &bytes), 0);
    assert_int_equal(bytes, 256);
    assert_int_equal(bc_parse_size("17592186044416", KIB * KIB, &bytes), -ERANGE);
}

static void duration_takes_ms_s_m_h(void **state)
{
    static const struct expected cases[] = {
        {"0", 0, 0},
        {"250", 0, 250},
        {"250ms", 0, 250},
        {"30s", 0, 30000},
        {"5m", 0, 300000},
        {"2h", 0, 7200000},
        {"5124095576030h", 0, UINT64_C(5124095576030) * 3600000},
        {"5124095576031h", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"s", -EINVAL, 0},
        {"5M", -EINVAL, 0},
        {"1d", -EINVAL, 0},
        {"1.5s", -EINVAL, 0},
        {"1h30m", -EINVAL, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t value = 42;

        assert_int_equal(bc_parse_duration_ms(cases[i].text, &value), cases[i].rc);
        assert_true(value == (cases[i].rc == 0 ? cases[i].value : 42));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(u64_takes_decimal_digits_only),
        cmocka_unit_test(size_takes_binary_suffixes),
        cmocka_unit_test(scale_is_for_bare_numbers),
        cmocka_unit_test(duration_takes_ms_s_m_h),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
