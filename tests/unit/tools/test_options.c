/* SPDX-License-Identifier: Apache-2.0 */
/* test_options.c - command lines against a table with one option of each type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "options.h"

static const char *const colours[] = {"red", "green", NULL};

static struct {
    bool flag;
    uint64_t number;
    uint64_t size;
    uint64_t ms;
    const char *text;
    uint32_t colour;
} values;

#define FIELD(name) offsetof(__typeof__(values), name)

static const struct bc_cli_option common_rows[] = {
    {"flag", 'f', BC_CLI_FLAG, FIELD(flag), NULL, "a flag", 0, 0, NULL},
    {"text", 't', BC_CLI_STRING, FIELD(text), "TEXT", "a text", 0, 0, NULL},
};
static const struct bc_cli_option extra_rows[] = {
    {"number", 'n', BC_CLI_U64, FIELD(number), "N", "a number", 1, 10, NULL},
    {"size", 0, BC_CLI_SIZE, FIELD(size), "SIZE", "a size", 1, 1024 * 1024, NULL},
    {"seconds", 0, BC_CLI_SECONDS, FIELD(ms), "S", "a time", 10, 60000, NULL},
    {"colour", 0, BC_CLI_CHOICE, FIELD(colour), "COLOUR", "a choice", 0, 0, colours},
};
static const struct bc_cli_options common = {common_rows, 2, &values};
static const struct bc_cli_options extra = {extra_rows, 4, &values};

static char error[256];

static int clear(void **state)
{
    (void)state;
    memset(&values, 0, sizeof(values));
    error[0] = '\0';
    return 0;
}

/* The arguments are a list that ends with NULL. */
static int parse(bool permute, const char *const *arguments)
{
    static char *argv[16];
    int argc = 1;

    argv[0] = (char *)"program";
    for (; arguments[argc - 1] != NULL; argc++) {
        argv[argc] = (char *)arguments[argc - 1];
    }
    argv[argc] = NULL;
    return bc_cli_options_parse(&common, permute ? &extra : NULL, permute, argc, argv, error,
                                sizeof(error));
}
#define PARSE(permute, ...) parse(permute, (const char *const[]){__VA_ARGS__, NULL})

static void every_type_arrives(void **state)
{
    (void)state;
    assert_int_equal(PARSE(true, "-f", "-n", "7", "--size=64K", "--seconds", "0.5", "--colour",
                           "green", "-tword", "operand"),
                     10);
    assert_true(values.flag);
    assert_int_equal(values.number, 7);
    assert_int_equal(values.size, 65536);
    assert_int_equal(values.ms, 500);
    assert_int_equal(values.colour, 1);
    assert_string_equal(values.text, "word");
}

static void operands_may_come_first_or_last(void **state)
{
    (void)state;
    assert_int_equal(PARSE(true, "operand", "-f"), 2);
    assert_true(values.flag);
    (void)clear(NULL);
    assert_int_equal(PARSE(false, "operand", "-f"), 1);
    assert_false(values.flag);
    assert_int_equal(PARSE(true, "--", "-f"), 2);
    assert_false(values.flag);
    assert_int_equal(PARSE(true, "-"), 1);
}

static void refuse(const char *const *arguments, const char *sentence)
{
    assert_int_equal(parse(true, arguments), -1);
    assert_string_equal(error, sentence);
}
#define REFUSE(sentence, ...) refuse((const char *const[]){__VA_ARGS__, NULL}, sentence)

static void mistakes_get_a_sentence(void **state)
{
    (void)state;
    REFUSE("--number is '1x'; it must be a whole number", "--number", "1x");
    REFUSE("--number is 11; it can be 1 to 10", "-n", "11");
    REFUSE("--number is 0; it can be 1 to 10", "-n0");
    REFUSE("--number is 99999999999999999999; it can be 1 to 10", "-n", "99999999999999999999");
    REFUSE("--size is '1Q'; it must be a size, like 4096, 64K or 1M", "--size=1Q");
    REFUSE("--size is 2M; it can be 1 B to 1 MiB", "--size=2M");
    REFUSE("--seconds is 0.001; it can be 0.01 to 60", "--seconds=0.001");
    REFUSE("--colour is 'blue'; it can be one of: red, green", "--colour=blue");
    REFUSE("--nothing is no option", "--nothing");
    REFUSE("--flag takes no argument", "--flag=1");
    REFUSE("-x is no option", "-x");
    REFUSE("-x is no option", "-fx");
    REFUSE("--size needs an argument", "--size");
    REFUSE("-n needs an argument", "-n");
}

static void help_has_a_line_for_each(void **state)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    (void)state;
    assert_non_null(out);
    bc_cli_options_print(&extra, out);
    assert_int_equal(fclose(out), 0);
    for (size_t i = 0; i < extra.count; i++) {
        assert_non_null(strstr(text, extra_rows[i].name));
        assert_non_null(strstr(text, extra_rows[i].help));
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_type_arrives, clear),
        cmocka_unit_test_setup(operands_may_come_first_or_last, clear),
        cmocka_unit_test_setup(mistakes_get_a_sentence, clear),
        cmocka_unit_test_setup(help_has_a_line_for_each, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
