/* SPDX-License-Identifier: Apache-2.0 */
/* test_address.c - which texts are addresses. */
#include "channel_test.h"

#include "channel/address.h"

static void addresses_come_apart(void **state)
{
    static const struct {
        const char *text;
        const char *host;
        uint16_t port;
        bool numeric;
    } cases[] = {
        {"127.0.0.1:80", "127.0.0.1", 80, true},
        {"127.0.0.1", "127.0.0.1", BC_WIRE_PORT, true},
        {"0.0.0.0:0", "0.0.0.0", 0, true},
        {"[::1]:65535", "::1", 65535, true},
        {"[::1]", "::1", BC_WIRE_PORT, true},
        {"::1", "::1", BC_WIRE_PORT, true},
        {"[fe80::1%eth0]:00080", "fe80::1%eth0", 80, true},
        {"[::ffff:10.0.0.1]:1", "::ffff:10.0.0.1", 1, true},
        {"dpu-3.example.org:18517", "dpu-3.example.org", 18517, false},
        {"localhost", "localhost", BC_WIRE_PORT, false},
        {"10gbe:1", "10gbe", 1, false},
    };

    (void)state;
    for (size_t i = 0; i < BC_ARRAY_LEN(cases); i++) {
        struct bc_address address;

        assert_int_equal(bc_address_parse(cases[i].text, &address), 0);
        assert_string_equal(address.host, cases[i].host);
        assert_int_equal(address.port, cases[i].port);
        assert_int_equal(address.numeric, cases[i].numeric);
    }
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const texts[] = {
        "",           ":",           ":80",
        "host:",      "host:x",      "host:80x",
        "host: 80",   "host:+80",    "host:-1",
        "host:65536", "host:000080", "host:99999999999999999999",
        "[::1",       "[::1]80",     "[::1]:",
        "[]:80",      "[host]:80",   "[127.0.0.1]:80",
        "[::g]:80",   "::1::2",      "1:2:3",
        "fe80::1%",   "1.2.3:80",    "1.2.3.256:80",
        "1.2.3.4.5",  "1234:80",     "....:80",
    };
    struct bc_address address = {.port = 7};
    char too_long[400];

    (void)state;
    for (size_t i = 0; i < BC_ARRAY_LEN(texts); i++) {
        if (bc_address_parse(texts[i], &address) != -EINVAL) {
            fail_msg("\"%s\" was taken for an address", texts[i]);
        }
    }
    memset(too_long, 'a', sizeof(too_long));
    too_long[BC_ADDRESS_HOST_MAX + 1] = '\0';
    assert_int_equal(bc_address_parse(too_long, &address), -EINVAL);
    assert_int_equal(address.port, 7);
    too_long[BC_ADDRESS_HOST_MAX] = '\0';
    assert_int_equal(bc_address_parse(too_long, &address), 0);
    memset(too_long, '1', sizeof(too_long));
    memcpy(too_long, "fe80::1%", 8);
    too_long[sizeof(too_long) - 1] = '\0';
    assert_int_equal(bc_address_parse(too_long, &address), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_come_apart),
        cmocka_unit_test(what_is_no_address_is_refused),
    };

    return cmocka_run_group_tests_name("channel_address", tests, NULL, NULL);
}
