/* SPDX-License-Identifier: Apache-2.0 */
/* options_fixture.h - a table with a row of every type, and values that each test starts with. */
#ifndef BC_TEST_OPTIONS_FIXTURE_H
#define BC_TEST_OPTIONS_FIXTURE_H

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/options.h"

BC_EXTERN_C_BEGIN

struct values {
    bool verbose;
    bool help;
    bool direct;
    uint64_t depth;
    uint64_t memory;
    uint64_t capacity;
    uint64_t timeout_ms;
    char *root;
    char *config;
    uint32_t backend;
    struct bc_option_strings devices;
};

enum { BACKEND_DRAM, BACKEND_POSIX, BACKEND_FLASH };

extern const char *const backends[]; /* NULL-terminated */
extern const struct bc_option_table table;

struct fixture {
    struct values values;
    struct bc_options_error error;
};

/* cmocka's setup and teardown: *state is a struct fixture with the defaults loaded, and the table's
 * variables are out of the environment. */
int setup_values(void **state);
int teardown_values(void **state);

/* The devices, separated by commas, are `joined`. */
void assert_devices(const struct values *values, const char *joined);
void assert_says(const struct bc_options_error *error, const char *words);

#define OPTIONS_TEST(name) cmocka_unit_test_setup_teardown(name, setup_values, teardown_values)

BC_EXTERN_C_END

#endif
