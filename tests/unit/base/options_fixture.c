/* SPDX-License-Identifier: Apache-2.0 */
/* options_fixture.c - the table of the tests of options, and their set-up. */
#include "options_fixture.h"

const char *const backends[] = {"dram", "posix", "flash", NULL};

#define ROW(option_name, option_type, member) \
    .name = (option_name), .type = (option_type), .offset = offsetof(struct values, member)

static const struct bc_option rows[] = {
    {ROW("help", BC_OPTION_BOOL, help), .short_name = 'h', .help = "Print this.",
     .command_line_only = true},
    {ROW("config", BC_OPTION_STRING, config), .argument = "FILE", .help = "Read options from FILE.",
     .command_line_only = true},
    {ROW("verbose", BC_OPTION_BOOL, verbose), .short_name = 'v', .help = "Say more."},
    {ROW("direct", BC_OPTION_BOOL, direct), .short_name = 'T', .default_text = "true",
     .env = "BCT_DIRECT", .help = "Go around the page cache."},
    {ROW("depth", BC_OPTION_U64, depth), .short_name = 'q', .default_text = "32", .min = 1,
     .max = 1024, .env = "BCT_DEPTH", .argument = "DEPTH", .help = "Tasks in flight."},
    {ROW("staging-memory", BC_OPTION_SIZE, memory), .short_name = 'm', .default_text = "256",
     .min = 1024 * 1024, .max = UINT64_C(1) << 40, .scale = 1024 * 1024, .env = "BCT_MEMORY",
     .argument = "MB", .help = "Memory between DMA and storage, in MiB when no unit is given."},
    {ROW("capacity", BC_OPTION_SIZE, capacity), .argument = "SIZE", .help = "Most to store."},
    {ROW("timeout", BC_OPTION_DURATION_MS, timeout_ms), .default_text = "30s", .min = 1,
     .max = 3600000, .help = "How long to wait."},
    {ROW("root", BC_OPTION_STRING, root), .env = "BCT_ROOT", .argument = "DIR",
     .help = "Where files are."},
    {ROW("backend", BC_OPTION_ENUM, backend), .short_name = 'b', .default_text = "posix",
     .choices = backends, .env = "BCT_BACKEND", .argument = "NAME",
     .help = "Where objects are kept."},
    {ROW("device", BC_OPTION_STRINGS, devices), .short_name = 'D', .default_text = "/dev/a,/dev/b",
     .env = "BCT_DEVICES", .argument = "PATH", .help = "A drive of the store."},
};

const struct bc_option_table table = {
    .program = "prog",
    .summary = "Does something.",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
};

int setup_values(void **state)
{
    static const char *const variables[] = {"BCT_DIRECT", "BCT_DEPTH",   "BCT_MEMORY",
                                            "BCT_ROOT",   "BCT_BACKEND", "BCT_DEVICES"};
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        (void)unsetenv(variables[i]);
    }
    *state = fixture;
    if (fixture == NULL) {
        return -1;
    }
    return bc_options_defaults(&table, &fixture->values, &fixture->error);
}

int teardown_values(void **state)
{
    struct fixture *fixture = *state;

    bc_options_fini(&table, &fixture->values);
    bc_options_fini(&table, &fixture->values); /* once more does no harm */
    free(fixture);
    return 0;
}

void assert_devices(const struct values *values, const char *joined)
{
    char text[256] = "";

    for (uint32_t i = 0; i < values->devices.count; i++) {
        size_t len = strlen(text);

        (void)snprintf(text + len, sizeof(text) - len, "%s%s", i == 0 ? "" : ",",
                       values->devices.items[i]);
    }
    assert_string_equal(text, joined);
}

void assert_says(const struct bc_options_error *error, const char *words)
{
    if (strstr(error->text, words) == NULL) {
        fail_msg("'%s' does not hold '%s'", error->text, words);
    }
}
