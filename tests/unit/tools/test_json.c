/* SPDX-License-Identifier: Apache-2.0 */
/* test_json.c - the JSON writer, read back as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

/* What `write` prints, without the newline at its end. */
static char *written(void (*write)(struct bc_json *json))
{
    struct bc_json json;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    bc_json_begin(&json, out);
    write(&json);
    bc_json_end(&json);
    assert_int_equal(fclose(out), 0);
    assert_true(len > 0 && text[len - 1] == '\n');
    text[len - 1] = '\0';
    return text;
}

static void check(void (*write)(struct bc_json *json), const char *expected)
{
    char *text = written(write);

    assert_string_equal(text, expected);
    free(text);
}

static void write_nothing(struct bc_json *json)
{
    (void)json;
}

static void write_nested(struct bc_json *json)
{
    bc_json_u64(json, "a", UINT64_MAX);
    bc_json_array(json, "list");
    bc_json_i64(json, NULL, INT64_MIN);
    bc_json_object(json, NULL);
    bc_json_close(json);
    bc_json_object(json, NULL);
    bc_json_bool(json, "yes", true);
    bc_json_bool(json, "no", false);
    bc_json_close(json);
    bc_json_close(json);
    bc_json_real(json, "real", 0.125);
    bc_json_real(json, "nan", NAN);
    bc_json_string(json, "none", NULL);
}

static void write_strings(struct bc_json *json)
{
    bc_json_string(json, "quote\"", "back\\slash");
    bc_json_string(json, "control", "\n\x01\x7f");
    bc_json_string(json, "text", "gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xb3");
    bc_json_string(json, "broken", "a\xff\xc3");
}

static void documents_nest(void **state)
{
    (void)state;
    check(write_nothing, "{}");
    check(write_nested, "{\"a\":18446744073709551615,\"list\":[-9223372036854775808,{},"
                        "{\"yes\":true,\"no\":false}],\"real\":0.125,\"nan\":null,\"none\":null}");
}

static void strings_are_escaped(void **state)
{
    (void)state;
    check(write_strings, "{\"quote\\\"\":\"back\\\\slash\",\"control\":\"\\u000a\\u0001\\u007f\","
                         "\"text\":\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xb3\","
                         "\"broken\":\"a\\ufffd\\ufffd\"}");
}

static void utf8_is_told_from_what_only_looks_like_it(void **state)
{
    (void)state;
    assert_int_equal(bc_json_utf8_len("a", 1), 1);
    assert_int_equal(bc_json_utf8_len("\xc2\x80", 2), 2);
    assert_int_equal(bc_json_utf8_len("\xef\xbf\xbf", 3), 3);
    assert_int_equal(bc_json_utf8_len("\xf4\x8f\xbf\xbf", 4), 4);
    assert_int_equal(bc_json_utf8_len("", 0), 0);
    assert_int_equal(bc_json_utf8_len("\x80", 1), 0);             /* a tail without a head */
    assert_int_equal(bc_json_utf8_len("\xc1\x81", 2), 0);         /* overlong */
    assert_int_equal(bc_json_utf8_len("\xe0\x80\x80", 3), 0);     /* overlong */
    assert_int_equal(bc_json_utf8_len("\xf0\x80\x80\x80", 4), 0); /* overlong */
    assert_int_equal(bc_json_utf8_len("\xed\xa0\x80", 3), 0);     /* a surrogate */
    assert_int_equal(bc_json_utf8_len("\xf4\x90\x80\x80", 4), 0); /* past the last character */
    assert_int_equal(bc_json_utf8_len("\xe2\x82", 2), 0);         /* cut */
    assert_int_equal(bc_json_utf8_len("\xe2\x82\x41", 3), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_nest),
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(utf8_is_told_from_what_only_looks_like_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
