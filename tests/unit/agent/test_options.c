/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's options: the table, who wins, what is printed and read back, and every refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/options.h"

#define MIB           (UINT64_C(1) << 20)
#define ARG_MAX_COUNT 16

static char config_path[64];

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < bc_agent_option_table.row_count; i++) {
        if (bc_agent_option_table.rows[i].env != NULL) {
            unsetenv(bc_agent_option_table.rows[i].env);
        }
    }
    (void)snprintf(config_path, sizeof(config_path), "%s", "/tmp/bluecache-options-XXXXXX");
    int fd = mkstemp(config_path);
    assert_true(fd >= 0);
    close(fd);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(config_path);
    return 0;
}

static void write_config(const char *text)
{
    FILE *file = fopen(config_path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    fclose(file);
}

/* Loads the arguments (NULL-terminated) behind the program's name. */
static int load(struct bc_agent_options *options, struct bc_options_error *error,
                const char *const *args)
{
    char *argv[ARG_MAX_COUNT + 1] = {(char *)(uintptr_t) "dpu_dma_copy"};
    int argc = 1;
    for (; args[argc - 1] != NULL; argc++) {
        assert_true(argc < ARG_MAX_COUNT);
        argv[argc] = (char *)(uintptr_t)args[argc - 1];
    }
    memset(options, 0, sizeof(*options));
    error->text[0] = '\0';
    return bc_agent_options_load(options, argc, argv, error);
}

#define LOAD(options, error, ...) load(options, error, (const char *const[]){__VA_ARGS__, NULL})

static void table_is_consistent(void **state)
{
    const struct bc_option_table *table = &bc_agent_option_table;
    (void)state;
    for (size_t i = 0; i < table->row_count; i++) {
        const struct bc_option *row = &table->rows[i];
        assert_non_null(row->help);
        assert_int_equal(row->help[strlen(row->help) - 1], '.');
        assert_true(row->env == NULL || strncmp(row->env, "BLUECACHE_", 10) == 0);
        assert_true(row->min <= row->max);
        assert_true(row->offset < sizeof(struct bc_agent_options));
        for (size_t j = 0; j < i; j++) {
            const struct bc_option *other = &table->rows[j];
            assert_string_not_equal(row->name, other->name);
            assert_true(row->short_name == 0 || row->short_name != other->short_name);
            assert_true(row->env == NULL || other->env == NULL ||
                        strcmp(row->env, other->env) != 0);
            assert_int_not_equal(row->offset, other->offset);
        }
    }
}

static void defaults_start_an_agent(void **state)
{
    struct bc_agent_options options;
    struct bc_options_error error;
    (void)state;
    assert_int_equal(LOAD(&options, &error, "-b", "posix"), 0);
    assert_false(options.tcp);
    assert_string_equal(options.service, "bluecache");
    assert_null(options.rep);
    assert_string_equal(options.backend, "posix");
    assert_string_equal(options.pci_addr, "0000:03:00.0");
    assert_int_equal(options.staging_bytes, 256 * MIB);
    assert_int_equal(options.depth, 8);
    assert_int_equal(options.workers, 1);
    bc_agent_options_fini(&options);
    assert_int_equal(LOAD(&options, &error, "-T"), 0);
    assert_true(options.tcp);
    bc_agent_options_fini(&options);
}

static void command_of_the_readme_is_understood(void **state)
{
    struct bc_agent_options options;
    struct bc_options_error error;
    (void)state;
    assert_int_equal(LOAD(&options, &error, "-p", "03:00.0", "-m", "64", "-q", "16", "-b", "dram",
                          "-T", "--workers=2"),
                     0);
    assert_string_equal(options.pci_addr, "03:00.0");
    assert_int_equal(options.staging_bytes, 64 * MIB);
    assert_int_equal(options.depth, 16);
    assert_string_equal(options.backend, "dram");
    assert_int_equal(options.workers, 2);
    bc_agent_options_fini(&options);
    assert_int_equal(LOAD(&options, &error, "-m1G", "-T"), 0);
    assert_int_equal(options.staging_bytes, 1024 * MIB);
    bc_agent_options_fini(&options);
}

/* Command line over environment over file over default, whatever names the file. */
static void command_line_beats_environment_beats_file(void **state)
{
    struct bc_agent_options options;
    struct bc_options_error error;
    (void)state;
    write_config("workers: 2\ndepth: 20\nbackend: dram\nstaging: 100\ntcp: true\nchunk: 128K\n");
    setenv("BLUECACHE_AGENT_DEPTH", "30", 1);
    setenv("BLUECACHE_AGENT_STAGING", "200", 1);
    assert_int_equal(LOAD(&options, &error, "--config", config_path, "-m", "300"), 0);
    assert_int_equal(options.staging_bytes, 300 * MIB); /* command line, environment, file */
    assert_int_equal(options.depth, 30);                /* environment, file */
    assert_int_equal(options.workers, 2);               /* file */
    assert_string_equal(options.backend, "dram");
    assert_int_equal(options.chunk_bytes, 128 * 1024);
    assert_true(options.tcp);
    assert_int_equal(options.requests_max, 128); /* default */
    bc_agent_options_fini(&options);

    assert_int_equal(LOAD(&options, &error, "--no-tcp", "--tcp", "--config", config_path), 0);
    assert_true(options.tcp);
    bc_agent_options_fini(&options);

    setenv("BLUECACHE_AGENT_CONFIG", config_path, 1);
    assert_int_equal(LOAD(&options, &error, "-q", "40"), 0);
    assert_int_equal(options.depth, 40);
    assert_int_equal(options.workers, 2);
    bc_agent_options_fini(&options);
}

static char *printed(const struct bc_agent_options *options)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    bc_options_print_config(&bc_agent_option_table, options, out);
    fclose(out);
    return text;
}

static void printed_config_reads_back_to_the_same(void **state)
{
    static const char *const commands[][12] = {
        {"-T", NULL},
        {"-T", "-b", "dram", "-m", "1G", "--workers", "4", "--chunk", "256K", NULL},
        {"-T", "--root", "/a dir/with: 'signs' # and \"quotes\"", "--listen", "[::1]:0", NULL},
        {"-T", "--capacity", "1234567", "--hello-timeout", "1500ms", "--drain-timeout", "2m",
         "--no-huge-pages", "--log-level", "debug", NULL},
        {"-T", "--format", "--rep", "0000:ba:00.0", "--service", "", "--spin-us", "1", NULL},
    };
    (void)state;
    for (size_t i = 0; i < BC_ARRAY_LEN(commands); i++) {
        struct bc_agent_options options;
        struct bc_options_error error;
        assert_int_equal(load(&options, &error, commands[i]), 0);
        char *first = printed(&options);
        bc_agent_options_fini(&options);
        write_config(first);
        assert_int_equal(LOAD(&options, &error, "--config", config_path), 0);
        char *second = printed(&options);
        bc_agent_options_fini(&options);
        assert_string_equal(first, second);
        free(first);
        free(second);
    }
}

static void questions_are_served_and_end(void **state)
{
    static const char *const questions[] = {"--help", "-h", "--version", "-V", "--print-config"};
    (void)state;
    int out = dup(STDOUT_FILENO);
    for (size_t i = 0; i < BC_ARRAY_LEN(questions); i++) {
        struct bc_agent_options options;
        struct bc_options_error error;
        fflush(stdout);
        assert_non_null(freopen(config_path, "w", stdout));
        int rc = LOAD(&options, &error, questions[i]);
        fflush(stdout);
        long len = ftell(stdout);
        dup2(out, STDOUT_FILENO);
        bc_agent_options_fini(&options);
        assert_int_equal(rc, 1);
        assert_true(len > 10);
    }
    close(out);
}

static void every_refusal_has_a_sentence(void **state)
{
    static const struct {
        const char *args[8];
        const char *sentence;
    } cases[] = {
        {{"-T", "-b", "tape"}, "no such backend; there are: dram, posix"},
        {{"-T", "-b", ""}, "no such backend"},
        {{"-T", "--device", "/dev/sdz"}, "keeps no data on devices"},
        {{"-T", "--chunk", "100K"}, "multiple of 64K"},
        {{"-T", "-m", "16", "--workers", "8"}, "at least 32 MiB"},
        {{"-T", "-m", "16", "--chunk", "8M"}, "at least 32 MiB"},
        {{"--listen", "[::1]:0"}, "give -T as well"},
        {{"--service", ""}, "--service ''"},
        {{"--service", "a/b"}, "--service 'a/b'"},
        {{"-T", "-m", "8"}, "-m: '8' is out of range"},
        {{"-T", "-q", "0"}, "-q: '0'"},
        {{"-T", "-q", "many"}, "-q: 'many'"},
        {{"-T", "--workers", "33"}, "workers"},
        {{"-T", "--chunk", "9M"}, "chunk"},
        {{"-T", "--capacity", "1X"}, "capacity"},
        {{"-T", "--hello-timeout", "1ms"}, "hello-timeout"},
        {{"-T", "--log-level", "loud"}, "log-level"},
        {{"-T", "--no-such-option"}, "no-such-option"},
        {{"-T", "-m"}, "-m"},
        {{"-T", "operand"}, "not an option"},
        {{"-T", "--config", "/no/such/file"}, "/no/such/file"},
    };
    (void)state;
    for (size_t i = 0; i < BC_ARRAY_LEN(cases); i++) {
        struct bc_agent_options options;
        struct bc_options_error error;
        int rc = load(&options, &error, cases[i].args);
        if (rc >= 0 || strstr(error.text, cases[i].sentence) == NULL) {
            print_error("case %zu: %d '%s'\n", i, rc, error.text);
        }
        assert_true(rc < 0);
        assert_non_null(strstr(error.text, cases[i].sentence));
        bc_agent_options_fini(&options);
    }
}

static void every_error_of_a_file_names_its_line(void **state)
{
    static const struct {
        const char *text;
        const char *sentence;
    } cases[] = {
        {"tcp: true\nworker: 2\n", ":2: "},
        {"tcp: true\nhelp: true\n", ":2: "},
        {"tcp: true\n\nworkers: 99\n", ":3: "},
        {"tcp: true\nworkers: [1, 2]\n", ":2: "},
        {"tcp: true\ntcp: true\n", ":2: "},
        {"- tcp\n", ":1: "},
        {"tcp: \"open\n", ":"},
    };
    (void)state;
    for (size_t i = 0; i < BC_ARRAY_LEN(cases); i++) {
        struct bc_agent_options options;
        struct bc_options_error error;
        write_config(cases[i].text);
        assert_true(LOAD(&options, &error, "--config", config_path) < 0);
        assert_non_null(strstr(error.text, config_path));
        assert_non_null(strstr(error.text, cases[i].sentence));
        bc_agent_options_fini(&options);
    }
    write_config("workers: 40\n");
    struct bc_agent_options options;
    struct bc_options_error error;
    setenv("BLUECACHE_AGENT_WORKERS", "70", 1);
    assert_true(LOAD(&options, &error, "-T") < 0);
    assert_non_null(strstr(error.text, "BLUECACHE_AGENT_WORKERS"));
    bc_agent_options_fini(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(table_is_consistent, setup, teardown),
        cmocka_unit_test_setup_teardown(defaults_start_an_agent, setup, teardown),
        cmocka_unit_test_setup_teardown(command_of_the_readme_is_understood, setup, teardown),
        cmocka_unit_test_setup_teardown(command_line_beats_environment_beats_file, setup, teardown),
        cmocka_unit_test_setup_teardown(printed_config_reads_back_to_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(questions_are_served_and_end, setup, teardown),
        cmocka_unit_test_setup_teardown(every_refusal_has_a_sentence, setup, teardown),
        cmocka_unit_test_setup_teardown(every_error_of_a_file_names_its_line, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
