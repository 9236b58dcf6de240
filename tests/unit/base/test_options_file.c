/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files: what is taken, and a sentence with its line for what is not. */
#include "options_file_fixture.h"

#include <errno.h>

static void file_sets_values_of_every_type(void **state)
{
    struct fixture *fixture = *state;
    struct values *values = &fixture->values;

    assert_int_equal(load_text(values,
                               "# a comment\n"
                               "verbose: true\n"
                               "direct: no\n"
                               "depth: 5\n"
                               "staging_memory: 64   # MiB\n"
                               "capacity: \"10G\"\n"
                               "timeout: 2m\n"
                               "root: '/srv/blue cache'\n"
                               "backend: flash\n"
                               "device:\n  - /dev/x\n  - \"/dev/y\"\n",
                               &fixture->error),
                     0);
    assert_true(values->verbose);
    assert_false(values->direct);
    assert_int_equal(values->depth, 5);
    assert_int_equal(values->memory, 64 << 20);
    assert_int_equal(values->capacity, UINT64_C(10) << 30);
    assert_int_equal(values->timeout_ms, 120000);
    assert_string_equal(values->root, "/srv/blue cache");
    assert_int_equal(values->backend, BACKEND_FLASH);
    assert_devices(values, "/dev/x,/dev/y");
}

static void both_spellings_of_a_key_are_taken(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(load_text(&fixture->values, "staging-memory: 3M\n", &fixture->error), 0);
    assert_int_equal(fixture->values.memory, 3 << 20);
}

static void empty_files_say_nothing(void **state)
{
    static const char *const texts[] = {"",      "\n\n",       "# only a comment\n",
                                        "---\n", "---\n...\n", "{}\n"};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(load_text(&fixture->values, texts[i], &fixture->error), 0);
    }
    assert_int_equal(fixture->values.depth, 32);
}

static void list_may_be_one_value_or_none(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(load_text(&fixture->values, "device: /dev/a,b\n", &fixture->error), 0);
    assert_int_equal(fixture->values.devices.count, 1);
    assert_devices(&fixture->values, "/dev/a,b");
    assert_int_equal(load_text(&fixture->values, "device: []\n", &fixture->error), 0);
    assert_int_equal(fixture->values.devices.count, 0);
}

static void quoted_empty_string_is_a_value(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(load_text(&fixture->values, "root: \"\"\n", &fixture->error), 0);
    assert_string_equal(fixture->values.root, "");
}

static void mistakes_get_a_sentence_with_their_line(void **state)
{
    static const struct {
        const char *text;
        int rc;
        const char *words;
    } cases[] = {
        {"depth: 5\ndeep: 6\n", -EINVAL, ":2: deep is not an option"},
        {"depth: 5\n\ndepth: 6\n", -EINVAL, ":3: depth is given twice"},
        {"staging-memory: 5\nstaging_memory: 6\n", -EINVAL, ":2: staging_memory is given twice"},
        {"depth: 2000\n", -ERANGE,
         ":1: depth: '2000' is out of range; give a value from 1 to 1024"},
        {"depth: many\n", -EINVAL, ":1: depth: 'many' is not a number"},
        {"depth:\n", -EINVAL, ":1: depth has no value"},
        {"root: ~\n", -EINVAL, ":1: root has no value"},
        {"root: null\n", -EINVAL, ":1: root has no value"},
        {"depth: [1]\n", -EINVAL, ":1: depth takes one value, not a list"},
        {"depth: {a: 1}\n", -EINVAL, ":1: depth takes a plain value"},
        {"device:\n  - [a]\n", -EINVAL, ":2: device is a list of plain values"},
        {"device:\n  - a\n  -\n", -EINVAL, ":3: device has no value"},
        {"root: &x /a\nconfig: *x\n", -EINVAL, ":2: config is for the command line only"},
        {"root: &x /a\ndevice: *x\n", -EINVAL, ":2: device takes a plain value"},
        {"[a]: 1\n", -EINVAL, ":1: the name of an option is a plain word"},
        {"help: true\n", -EINVAL, ":1: help is for the command line only"},
        {"- depth\n", -EINVAL, ":1: expected lines of the form 'option: value'"},
        {"depth\n", -EINVAL, ":1: expected lines of the form 'option: value'"},
        {"depth: 1\n---\ndepth: 2\n", -EINVAL, "a second document starts here"},
        {"  depth: 1\n root: x\n", -EINVAL, ":2: this is not valid YAML"},
        {"root: \"x\n", -EINVAL, "this is not valid YAML"},
        {"root: \xff\xfe\n", -EINVAL, "this is not valid YAML"},
        {"\x01\n", -EINVAL, "this is not valid YAML"},
        {"root: \"a\\0b\"\n", -EINVAL, ":1: a NUL byte has no place in a value"},
        {"\"depth\\0\": 1\n", -EINVAL, ":1: a NUL byte has no place in a value"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        void *own = NULL;
        struct fixture *fixture;

        (void)state;
        assert_int_equal(setup_values(&own), 0);
        fixture = own;
        assert_int_equal(load_text(&fixture->values, cases[i].text, &fixture->error), cases[i].rc);
        assert_says(&fixture->error, cases[i].words);
        assert_says(&fixture->error, "/proc/self/fd/");
        assert_int_equal(teardown_values(&own), 0);
    }
}

/* Every prefix of a good file either loads or is refused; none reads out of bounds or leaks. */
static void cut_off_files_are_no_danger(void **state)
{
    static const char text[] = "root: \"\\x41\\u00e9\"\ndevice:\n  - a\n  - 'b'\nbackend: dram\n";
    struct fixture *fixture = *state;

    for (size_t len = 0; len < sizeof(text); len++) {
        int rc = load_bytes(&fixture->values, text, len, &fixture->error);

        assert_true(rc == 0 || rc == -EINVAL);
    }
    assert_string_equal(fixture->values.root, "A\xc3\xa9");
}

static void missing_file_is_named(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(
        bc_options_load_file(&table, &fixture->values, "/nowhere/at/all.yaml", &fixture->error),
        -ENOENT);
    assert_string_equal(fixture->error.text, "/nowhere/at/all.yaml: the configuration file can't "
                                             "be opened: No such file or directory");
}

static void directory_is_no_file(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(bc_options_load_file(&table, &fixture->values, "/", &fixture->error), -EINVAL);
    assert_says(&fixture->error, "/ is a directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPTIONS_TEST(file_sets_values_of_every_type),
        OPTIONS_TEST(both_spellings_of_a_key_are_taken),
        OPTIONS_TEST(empty_files_say_nothing),
        OPTIONS_TEST(list_may_be_one_value_or_none),
        OPTIONS_TEST(quoted_empty_string_is_a_value),
        cmocka_unit_test(mistakes_get_a_sentence_with_their_line),
        OPTIONS_TEST(cut_off_files_are_no_danger),
        OPTIONS_TEST(missing_file_is_named),
        OPTIONS_TEST(directory_is_no_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
