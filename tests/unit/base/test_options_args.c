/* SPDX-License-Identifier: Apache-2.0 */
/* The command line in all its spellings. */
#include "options_fixture.h"

#include <errno.h>

#define WORDS_MAX 16

/* Loads "prog" and the words of `line`, separated by blanks; "''" stands for an empty word. */
static int load_line(struct fixture *fixture, const char *line, int *first_out)
{
    char *argv[WORDS_MAX + 2] = {"prog"};
    char *copy = strdup(line);
    char *rest = copy;
    char *word;
    int argc = 1;
    int rc;

    assert_non_null(copy);
    while ((word = strsep(&rest, " ")) != NULL && argc <= WORDS_MAX) {
        if (*word != '\0') {
            argv[argc++] = strcmp(word, "''") == 0 ? word + 2 : word;
        }
    }
    rc = bc_options_load_args(&table, &fixture->values, argc, argv, first_out, &fixture->error);
    free(copy);
    return rc;
}

static void long_options_take_their_value_either_way(void **state)
{
    struct fixture *fixture = *state;
    int first = 0;

    assert_int_equal(load_line(fixture, "--depth 5 --root=/a=b --staging_memory 7M", &first), 0);
    assert_int_equal(first, 6);
    assert_int_equal(fixture->values.depth, 5);
    assert_string_equal(fixture->values.root, "/a=b");
    assert_int_equal(fixture->values.memory, 7 << 20);
}

static void short_options_bundle_and_stick(void **state)
{
    struct fixture *fixture = *state;
    int first = 0;

    assert_int_equal(load_line(fixture, "-vm512 -q 9 -bdram", &first), 0);
    assert_int_equal(first, 5);
    assert_true(fixture->values.verbose);
    assert_int_equal(fixture->values.memory, 512 << 20);
    assert_int_equal(fixture->values.depth, 9);
    assert_int_equal(fixture->values.backend, BACKEND_DRAM);
    assert_int_equal(load_line(fixture, "-vTq 11", &first), 0);
    assert_int_equal(fixture->values.depth, 11);
}

static void flags_turn_on_and_off(void **state)
{
    struct fixture *fixture = *state;
    int first = 0;

    assert_int_equal(load_line(fixture, "--verbose --no-direct", &first), 0);
    assert_true(fixture->values.verbose);
    assert_false(fixture->values.direct);
    assert_int_equal(load_line(fixture, "--verbose=no --direct=true", &first), 0);
    assert_false(fixture->values.verbose);
    assert_true(fixture->values.direct);
}

static void last_one_wins(void **state)
{
    struct fixture *fixture = *state;
    int first = 0;

    assert_int_equal(load_line(fixture, "--depth 5 --root a -q6 --root b", &first), 0);
    assert_int_equal(fixture->values.depth, 6);
    assert_string_equal(fixture->values.root, "b");
}

static void lists_collect_and_replace_the_default(void **state)
{
    struct fixture *fixture = *state;
    int first = 0;

    assert_int_equal(load_line(fixture, "-D x --device=y,z -Dw", &first), 0);
    assert_devices(&fixture->values, "x,y,z,w");
    assert_int_equal(fixture->values.devices.count, 3);
}

static void options_end_at_the_first_operand(void **state)
{
    struct fixture *fixture = *state;
    int first = 0;

    assert_int_equal(load_line(fixture, "-v push -q 1", &first), 0);
    assert_int_equal(first, 2);
    assert_int_equal(fixture->values.depth, 32);
    assert_int_equal(load_line(fixture, "-v - -q 1", &first), 0);
    assert_int_equal(first, 2);
    assert_int_equal(load_line(fixture, "-v '' -q 1", &first), 0);
    assert_int_equal(first, 2);
    assert_int_equal(load_line(fixture, "-v -- --depth", &first), 0);
    assert_int_equal(first, 3);
    assert_int_equal(load_line(fixture, "-v --", &first), 0);
    assert_int_equal(first, 3);
    assert_int_equal(load_line(fixture, "", &first), 0);
    assert_int_equal(first, 1);
}

static void value_may_look_like_an_option(void **state)
{
    struct fixture *fixture = *state;
    int first = 0;

    assert_int_equal(load_line(fixture, "--root --depth", &first), 0);
    assert_string_equal(fixture->values.root, "--depth");
    assert_int_equal(load_line(fixture, "--root= -v", &first), 0);
    assert_string_equal(fixture->values.root, "");
    assert_true(fixture->values.verbose);
}

static void no_arguments_at_all_are_fine(void **state)
{
    struct fixture *fixture = *state;
    char *argv[] = {NULL};
    int first = 7;

    assert_int_equal(
        bc_options_load_args(&table, &fixture->values, 0, argv, &first, &fixture->error), 0);
    assert_int_equal(first, 0);
}

static void mistakes_get_a_sentence(void **state)
{
    static const struct {
        const char *line;
        int rc;
        const char *words;
    } cases[] = {
        {"--deep 5", -EINVAL, "--deep is not an option of prog; see prog --help"},
        {"--dep 5", -EINVAL, "--dep is not an option of prog"},
        {"--=5", -EINVAL, "-- is not an option"},
        {"-x", -EINVAL, "-x is not an option of prog"},
        {"-vx", -EINVAL, "-x is not an option of prog"},
        {"--depth", -EINVAL, "--depth needs a value: --depth DEPTH"},
        {"-vq", -EINVAL, "-q needs a value: -q DEPTH"},
        {"--timeout", -EINVAL, "--timeout needs a value: --timeout VALUE"},
        {"--depth=", -EINVAL, "--depth: '' is not a number"},
        {"-q=5", -EINVAL, "-q: '=5' is not a number"},
        {"-q 2000", -ERANGE, "-q: '2000' is out of range; give a value from 1 to 1024"},
        {"--no-direct=true", -EINVAL, "--no-direct takes no value"},
        {"--no-depth", -EINVAL, "--no-depth is not an option"},
        {"--no-", -EINVAL, "--no- is not an option"},
        {"--verbose=2", -EINVAL, "--verbose: '2' is neither true nor false"},
        {"-b tape", -EINVAL, "-b: 'tape' is unknown; give one of: dram, posix, flash"},
    };
    struct fixture *fixture = *state;
    int first = 77;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(load_line(fixture, cases[i].line, &first), cases[i].rc);
        assert_says(&fixture->error, cases[i].words);
        assert_int_equal(first, 77);
    }
}

static void endless_word_is_cut_in_the_sentence(void **state)
{
    struct fixture *fixture = *state;
    char *argv[] = {"prog", NULL, NULL};
    char word[4096];
    int first = 0;

    memset(word, 'x', sizeof(word) - 1);
    word[sizeof(word) - 1] = '\0';
    memcpy(word, "--", 2);
    argv[1] = word;
    assert_int_equal(
        bc_options_load_args(&table, &fixture->values, 2, argv, &first, &fixture->error), -EINVAL);
    assert_int_equal(strlen(fixture->error.text), sizeof(fixture->error.text) - 1);
    memcpy(word, "--depth=", 8);
    assert_int_equal(
        bc_options_load_args(&table, &fixture->values, 2, argv, &first, &fixture->error), -EINVAL);
    assert_says(&fixture->error, "--depth: 'xxx");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPTIONS_TEST(long_options_take_their_value_either_way),
        OPTIONS_TEST(short_options_bundle_and_stick),
        OPTIONS_TEST(flags_turn_on_and_off),
        OPTIONS_TEST(last_one_wins),
        OPTIONS_TEST(lists_collect_and_replace_the_default),
        OPTIONS_TEST(options_end_at_the_first_operand),
        OPTIONS_TEST(value_may_look_like_an_option),
        OPTIONS_TEST(no_arguments_at_all_are_fine),
        OPTIONS_TEST(mistakes_get_a_sentence),
        OPTIONS_TEST(endless_word_is_cut_in_the_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
