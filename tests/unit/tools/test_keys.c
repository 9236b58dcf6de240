/* SPDX-License-Identifier: Apache-2.0 */
/* test_keys.c - keys as arguments, on the terminal and in JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "keys.h"

static int parse_one(const char *argument, bool hex, struct bc_key **keys_out)
{
    char copy[4096];
    char *arguments[] = {copy};

    (void)snprintf(copy, sizeof(copy), "%s", argument);
    return bc_cli_keys_parse("query", arguments, 1, hex, keys_out);
}

static void hex_digits_stand_for_any_bytes(void **state)
{
    char first[] = "00FFa5";
    char second[] = "2e2e";
    char *arguments[] = {first, second};
    struct bc_key *keys;

    (void)state;
    assert_int_equal(bc_cli_keys_parse("query", arguments, 2, true, &keys), BC_CLI_DONE);
    assert_int_equal(keys[0].len, 3);
    assert_memory_equal(keys[0].data, "\x00\xff\xa5", 3);
    assert_int_equal(keys[1].len, 2);
    assert_memory_equal(keys[1].data, "..", 2);
    bc_cli_keys_free(keys);
}

static void without_hex_the_bytes_are_the_arguments(void **state)
{
    char first[] = "a/b";
    char *arguments[] = {first};
    struct bc_key *keys;

    (void)state;
    assert_int_equal(bc_cli_keys_parse("query", arguments, 1, false, &keys), BC_CLI_DONE);
    assert_ptr_equal(keys[0].data, first);
    assert_int_equal(keys[0].len, 3);
    bc_cli_keys_free(keys);
}

static void what_is_no_key_is_a_mistake_of_usage(void **state)
{
    char longest[BC_CLIENT_KEY_LEN_MAX + 2];
    struct bc_key *keys = NULL;

    (void)state;
    memset(longest, 'k', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(parse_one(longest, false, &keys), BC_CLI_USAGE);
    assert_int_equal(parse_one("", false, &keys), BC_CLI_USAGE);
    assert_int_equal(parse_one("", true, &keys), BC_CLI_USAGE);
    assert_int_equal(parse_one("abc", true, &keys), BC_CLI_USAGE);
    assert_int_equal(parse_one("0g", true, &keys), BC_CLI_USAGE);
    assert_int_equal(parse_one("g0", true, &keys), BC_CLI_USAGE);
    assert_null(keys);
    longest[BC_CLIENT_KEY_LEN_MAX] = '\0';
    assert_int_equal(parse_one(longest, false, &keys), BC_CLI_DONE);
    bc_cli_keys_free(keys);
}

static void nothing_that_upsets_a_terminal_is_shown(void **state)
{
    static const struct bc_key key = {.data = "a\x1b[0m\\\xc3\xbc\xff\xc2\x9b\0z", .len = 13};
    char buf[64];

    (void)state;
    assert_string_equal(bc_cli_key_text(buf, sizeof(buf), &key),
                        "a\\x1b[0m\\x5c\xc3\xbc\\xff\\xc2\\x9b\\x00z");
}

static void long_keys_are_cut_to_fit(void **state)
{
    static const struct bc_key key = {.data = "0123456789", .len = 10};
    char buf[9];

    (void)state;
    (void)bc_cli_key_text(buf, sizeof(buf), &key);
    assert_string_equal(buf, "01234...");
}

static void json_has_text_only_for_text(void **state)
{
    static const struct bc_key text = {.data = "\xc3\xbc", .len = 2};
    static const struct bc_key bytes = {.data = "a\0", .len = 2};
    struct bc_json json;
    char *out = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&out, &len);

    (void)state;
    assert_non_null(file);
    bc_json_begin(&json, file);
    bc_cli_key_json(&json, &text);
    bc_cli_key_json(&json, &bytes);
    bc_json_end(&json);
    assert_int_equal(fclose(file), 0);
    assert_string_equal(out, "{\"key\":\"\xc3\xbc\",\"key_hex\":\"c3bc\",\"key\":null,"
                             "\"key_hex\":\"6100\"}\n");
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex_digits_stand_for_any_bytes),
        cmocka_unit_test(without_hex_the_bytes_are_the_arguments),
        cmocka_unit_test(what_is_no_key_is_a_mistake_of_usage),
        cmocka_unit_test(nothing_that_upsets_a_terminal_is_shown),
        cmocka_unit_test(long_keys_are_cut_to_fit),
        cmocka_unit_test(json_has_text_only_for_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
