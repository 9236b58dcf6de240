/* SPDX-License-Identifier: Apache-2.0 */
/* What --print-config writes is read back to the same values; help names every option. */
#include "options_file_fixture.h"

static char *printed_config(const struct values *values)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    bc_options_print_config(&table, values, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

/* Prints values, loads the text over fresh ones, and compares every value. */
static void assert_round_trip(const struct values *values)
{
    struct fixture fresh;
    char *text = printed_config(values);

    memset(&fresh, 0, sizeof(fresh));
    assert_int_equal(bc_options_defaults(&table, &fresh.values, &fresh.error), 0);
    if (load_text(&fresh.values, text, &fresh.error) != 0) {
        fail_msg("%s in:\n%s", fresh.error.text, text);
    }
    assert_int_equal(fresh.values.verbose, values->verbose);
    assert_int_equal(fresh.values.direct, values->direct);
    assert_int_equal(fresh.values.depth, values->depth);
    assert_true(fresh.values.memory == values->memory);
    assert_true(fresh.values.capacity == values->capacity);
    assert_true(fresh.values.timeout_ms == values->timeout_ms);
    assert_int_equal(fresh.values.backend, values->backend);
    assert_int_equal(fresh.values.root == NULL, values->root == NULL);
    if (values->root != NULL) {
        assert_string_equal(fresh.values.root, values->root);
    }
    assert_int_equal(fresh.values.devices.count, values->devices.count);
    for (uint32_t i = 0; i < values->devices.count; i++) {
        assert_string_equal(fresh.values.devices.items[i], values->devices.items[i]);
    }
    bc_options_fini(&table, &fresh.values);
    free(text);
}

static void set(struct fixture *fixture, const char *name, const char *text)
{
    assert_int_equal(bc_options_set(&table, &fixture->values, name, text, &fixture->error), 0);
}

static void config_of_defaults_is_as_documented(void **state)
{
    struct fixture *fixture = *state;
    char *text = printed_config(&fixture->values);

    assert_string_equal(text, "verbose: false\n"
                              "direct: true\n"
                              "depth: 32\n"
                              "staging_memory: 256M\n"
                              "capacity: 0\n"
                              "timeout: 30s\n"
                              "# root: (not set)\n"
                              "backend: \"posix\"\n"
                              "device:\n"
                              "  - \"/dev/a\"\n"
                              "  - \"/dev/b\"\n");
    free(text);
    assert_round_trip(&fixture->values);
}

static void numbers_read_back_whatever_their_unit(void **state)
{
    static const char *const sizes[] = {"1048576B", "1048577B", "1025K",
                                        "1023M",    "3G",       "1099511627776B"};
    static const char *const durations[] = {"1", "999", "1000", "61s", "60m", "3599999"};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        set(fixture, "staging-memory", sizes[i]);
        assert_round_trip(&fixture->values);
    }
    for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
        set(fixture, "timeout", durations[i]);
        assert_round_trip(&fixture->values);
    }
    set(fixture, "capacity", "18446744073709551615");
    assert_round_trip(&fixture->values);
}

static void strings_read_back_whatever_they_hold(void **state)
{
    static const char *const strings[] = {
        "",
        "~",
        "null",
        "true",
        "12",
        " leading and trailing ",
        "a: b # c",
        "- x",
        "*alias &anchor !tag %percent @at `tick",
        "quote \" and ' and \\ and \\n",
        "tab\tnewline\nreturn\rescape\x1b end\x7f",
        "{[, ]}",
        "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xb3 \xc2\x85 \xe2\x80\xa8 \xef\xbb\xbf",
        "\x01\x02\x1f",
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        set(fixture, "root", strings[i]);
        set(fixture, "device", strings[i]);
        assert_round_trip(&fixture->values);
    }
}

static void all_flags_and_choices_read_back(void **state)
{
    struct fixture *fixture = *state;

    for (uint32_t i = 0; i < 3; i++) {
        set(fixture, "backend", backends[i]);
        set(fixture, "verbose", i == 1 ? "yes" : "no");
        set(fixture, "direct", i == 1 ? "no" : "yes");
        assert_round_trip(&fixture->values);
    }
}

static void empty_list_reads_back(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(load_text(&fixture->values, "device: []\n", &fixture->error), 0);
    assert_round_trip(&fixture->values);
}

static void string_outside_utf8_becomes_a_comment(void **state)
{
    static const char *const strings[] = {
        "\xff",
        "a\xc3",
        "\xc0\xaf",
        "\xe0\x80\xaf",
        "\xed\xa0\x80",
        "\xf4\x90\x80\x80",
        "\xf8\x88\x80\x80\x80",
        "\xe2\x82",
    };
    struct fixture *fixture = *state;
    struct bc_options_error error;

    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        char *text;

        set(fixture, "root", strings[i]);
        set(fixture, "device", strings[i]);
        text = printed_config(&fixture->values);
        assert_non_null(strstr(text, "# root: (not UTF-8"));
        assert_non_null(strstr(text, "# device: (not UTF-8"));
        assert_int_equal(load_text(&fixture->values, text, &error), 0);
        assert_string_equal(fixture->values.root, strings[i]);
        free(text);
    }
}

static void help_names_every_option_with_its_facts(void **state)
{
    static const char *const facts[] = {
        "Usage: prog [OPTION]...\nDoes something.\n",
        "  -h, --help ",
        "      --config FILE ",
        "  -v, --[no-]verbose ",
        "  -q, --depth DEPTH ",
        "(default: 32; 1 to 1024; environment: BCT_DEPTH)",
        "(default: posix; dram, posix, flash;",
        "repeatable",
        "1M to 1T",
        "1ms to 1h",
    };
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    char *rest;
    char *line;

    (void)state;
    assert_non_null(out);
    bc_options_print_help(&table, out);
    assert_int_equal(fclose(out), 0);
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        if (strstr(text, facts[i]) == NULL) {
            fail_msg("'%s' is not in:\n%s", facts[i], text);
        }
    }
    rest = text;
    while ((line = strsep(&rest, "\n")) != NULL) {
        assert_true(strlen(line) <= 96);
        assert_true(*line == '\0' || line[strlen(line) - 1] != ' ');
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPTIONS_TEST(config_of_defaults_is_as_documented),
        OPTIONS_TEST(numbers_read_back_whatever_their_unit),
        OPTIONS_TEST(strings_read_back_whatever_they_hold),
        OPTIONS_TEST(all_flags_and_choices_read_back),
        OPTIONS_TEST(empty_list_reads_back),
        OPTIONS_TEST(string_outside_utf8_becomes_a_comment),
        OPTIONS_TEST(help_names_every_option_with_its_facts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
