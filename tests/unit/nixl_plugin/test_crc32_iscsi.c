/* SPDX-License-Identifier: Apache-2.0 */
/* test_crc32_iscsi.c - the plugin's stand-in for ISA-L's function against ISA-L itself. The
 * stand-in has another name here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <isa-l/crc.h>

#define crc32_iscsi stand_in_crc32_iscsi
unsigned int crc32_iscsi(unsigned char *buffer, int len, unsigned int init_crc);
#include "crc32_iscsi.c"
#undef crc32_iscsi

static void every_length_and_alignment_agrees_with_isal(void **state)
{
    static unsigned char data[4096 + 16];
    uint32_t seed = 12345;

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (unsigned char)(seed >> 24);
    }
    for (int len = 0; len < 300; len++) {
        for (int at = 0; at < 9; at++) {
            uint32_t expected = crc32_iscsi(data + at, len, seed);

            assert_int_equal(stand_in_crc32_iscsi(data + at, len, seed), expected);
            assert_int_equal(with_tables(seed, data + at, (size_t)len), expected);
        }
    }
    assert_int_equal(stand_in_crc32_iscsi(data, 4096, 0), crc32_iscsi(data, 4096, 0));
    assert_int_equal(with_tables(0, data, 4096), crc32_iscsi(data, 4096, 0));
}

static void known_value_comes_out(void **state)
{
    unsigned char digits[] = "123456789";

    (void)state;
    assert_int_equal(~stand_in_crc32_iscsi(digits, 9, ~0u), 0xe3069283u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_and_alignment_agrees_with_isal),
        cmocka_unit_test(known_value_comes_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
