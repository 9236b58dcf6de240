/* SPDX-License-Identifier: Apache-2.0 */
/* Defaults, environment, single values, and who wins over whom. */
#include "options_fixture.h"

#include <errno.h>
#include <unistd.h>

static void defaults_come_from_the_table(void **state)
{
    struct fixture *fixture = *state;
    const struct values *values = &fixture->values;

    assert_false(values->verbose);
    assert_true(values->direct);
    assert_int_equal(values->depth, 32);
    assert_int_equal(values->memory, 256 << 20);
    assert_int_equal(values->capacity, 0);
    assert_int_equal(values->timeout_ms, 30000);
    assert_null(values->root);
    assert_int_equal(values->backend, BACKEND_POSIX);
    assert_devices(values, "/dev/a,/dev/b");
}

static void environment_overrides_defaults(void **state)
{
    struct fixture *fixture = *state;
    struct values *values = &fixture->values;

    assert_int_equal(setenv("BCT_DIRECT", "off", 1), 0);
    assert_int_equal(setenv("BCT_DEPTH", "7", 1), 0);
    assert_int_equal(setenv("BCT_MEMORY", "2G", 1), 0);
    assert_int_equal(setenv("BCT_ROOT", "/srv", 1), 0);
    assert_int_equal(setenv("BCT_BACKEND", "flash", 1), 0);
    assert_int_equal(setenv("BCT_DEVICES", "/dev/c", 1), 0);
    assert_int_equal(bc_options_load_env(&table, values, &fixture->error), 0);
    assert_false(values->direct);
    assert_int_equal(values->depth, 7);
    assert_int_equal(values->memory, UINT64_C(2) << 30);
    assert_string_equal(values->root, "/srv");
    assert_int_equal(values->backend, BACKEND_FLASH);
    assert_devices(values, "/dev/c");
}

static void variable_set_to_nothing_counts_as_unset(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(setenv("BCT_DEPTH", "", 1), 0);
    assert_int_equal(setenv("BCT_DEVICES", "", 1), 0);
    assert_int_equal(bc_options_load_env(&table, &fixture->values, &fixture->error), 0);
    assert_int_equal(fixture->values.depth, 32);
    assert_devices(&fixture->values, "/dev/a,/dev/b");
}

static void bad_variable_is_named(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(setenv("BCT_DEPTH", "1025", 1), 0);
    assert_int_equal(bc_options_load_env(&table, &fixture->values, &fixture->error), -ERANGE);
    assert_string_equal(fixture->error.text,
                        "BCT_DEPTH: '1025' is out of range; give a value from 1 to 1024");
    assert_int_equal(fixture->values.depth, 32);
}

static void command_line_wins_over_environment_over_file_over_default(void **state)
{
    struct fixture *fixture = *state;
    struct values *values = &fixture->values;
    char path[] = "/tmp/base_options_XXXXXX";
    char config[64];
    char *argv[] = {"prog", config, "--depth=4", "-D", "/dev/arg", NULL};
    const char *yaml = "depth: 2\nroot: /file\nbackend: dram\ntimeout: 5s\n"
                       "device: [/dev/f1, /dev/f2]\n";
    int first = 0;
    int file = mkstemp(path);

    assert_true(file >= 0);
    assert_int_equal(write(file, yaml, strlen(yaml)), strlen(yaml));
    assert_int_equal(close(file), 0);
    (void)snprintf(config, sizeof(config), "--config=%s", path);
    assert_int_equal(setenv("BCT_DEPTH", "3", 1), 0);
    assert_int_equal(setenv("BCT_ROOT", "/env", 1), 0);
    assert_int_equal(setenv("BCT_DEVICES", "/dev/e1,/dev/e2,/dev/e3", 1), 0);

    /* The command line is read first as well: it names the file. */
    assert_int_equal(bc_options_load_args(&table, values, 5, argv, &first, &fixture->error), 0);
    assert_int_equal(bc_options_load_file(&table, values, values->config, &fixture->error), 0);
    assert_int_equal(values->depth, 2);
    assert_devices(values, "/dev/f1,/dev/f2");
    assert_int_equal(bc_options_load_env(&table, values, &fixture->error), 0);
    assert_int_equal(values->depth, 3);
    assert_devices(values, "/dev/e1,/dev/e2,/dev/e3");
    assert_int_equal(bc_options_load_args(&table, values, 5, argv, &first, &fixture->error), 0);
    assert_int_equal(unlink(path), 0);

    assert_int_equal(values->depth, 4);
    assert_devices(values, "/dev/arg");
    assert_string_equal(values->root, "/env");
    assert_int_equal(values->backend, BACKEND_DRAM);
    assert_int_equal(values->timeout_ms, 5000);
    assert_int_equal(values->memory, 256 << 20);
}

static void set_takes_either_spelling_of_a_name(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(
        bc_options_set(&table, &fixture->values, "staging_memory", "1", &fixture->error), 0);
    assert_int_equal(fixture->values.memory, 1 << 20);
    assert_int_equal(
        bc_options_set(&table, &fixture->values, "staging-memory", "2", &fixture->error), 0);
    assert_int_equal(fixture->values.memory, 2 << 20);
    assert_int_equal(bc_options_set(&table, &fixture->values, "root", "", &fixture->error), 0);
    assert_string_equal(fixture->values.root, "");
}

static void set_refuses_what_the_table_does_not_allow(void **state)
{
    static const struct {
        const char *name;
        const char *text;
        int rc;
        const char *words;
    } cases[] = {
        {"dept", "1", -EINVAL, "dept is not an option of prog"},
        {"depths", "1", -EINVAL, "depths is not an option of prog"},
        {"", "1", -EINVAL, "is not an option"},
        {"depth", "0", -ERANGE, "'0' is out of range; give a value from 1 to 1024"},
        {"depth", "99999999999999999999", -ERANGE, "give a value from 1 to 1024"},
        {"depth", "many", -EINVAL, "'many' is not a number"},
        {"staging-memory", "1K", -ERANGE, "give a value from 1M to 1T"},
        {"staging-memory", "lots", -EINVAL, "'lots' is not a size"},
        {"capacity", "99999999999999999999", -ERANGE, "more than 64 bits"},
        {"timeout", "0", -ERANGE, "give a value from 1ms to 1h"},
        {"timeout", "soon", -EINVAL, "'soon' is not a duration"},
        {"verbose", "maybe", -EINVAL, "'maybe' is neither true nor false"},
        {"backend", "tape", -EINVAL, "'tape' is unknown; give one of: dram, posix, flash"},
    };
    struct fixture *fixture = *state;
    struct values before = fixture->values;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(
            bc_options_set(&table, &fixture->values, cases[i].name, cases[i].text, &fixture->error),
            cases[i].rc);
        assert_says(&fixture->error, cases[i].words);
    }
    assert_memory_equal(&before, &fixture->values, sizeof(before));
}

static void bool_has_several_words(void **state)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off", "1", "0"};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        assert_int_equal(
            bc_options_set(&table, &fixture->values, "verbose", words[i], &fixture->error), 0);
        assert_int_equal(fixture->values.verbose, i % 2 == 0);
    }
}

static void list_has_an_end(void **state)
{
    struct fixture *fixture = *state;
    struct values *values = &fixture->values;

    for (uint32_t i = values->devices.count; i < BC_OPTION_STRINGS_MAX; i++) {
        assert_int_equal(bc_options_set(&table, values, "device", "x", &fixture->error), 0);
        assert_int_equal(values->devices.count, i + 1);
    }
    assert_int_equal(bc_options_set(&table, values, "device", "y", &fixture->error), -ERANGE);
    assert_says(&fixture->error, "give at most 16");
    assert_int_equal(values->devices.count, BC_OPTION_STRINGS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPTIONS_TEST(defaults_come_from_the_table),
        OPTIONS_TEST(environment_overrides_defaults),
        OPTIONS_TEST(variable_set_to_nothing_counts_as_unset),
        OPTIONS_TEST(bad_variable_is_named),
        OPTIONS_TEST(command_line_wins_over_environment_over_file_over_default),
        OPTIONS_TEST(set_takes_either_spelling_of_a_name),
        OPTIONS_TEST(set_refuses_what_the_table_does_not_allow),
        OPTIONS_TEST(bool_has_several_words),
        OPTIONS_TEST(list_has_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
