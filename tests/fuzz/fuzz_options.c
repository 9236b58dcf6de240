/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_options.c - options from a YAML file, from a command line, and from the environment.
 *
 *   input: [ source ][ the file's text | one argument a line | one variable's value a line ]
 *
 * What was loaded, printed as YAML and loaded again is the same. */
#include "fuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "options_fixture.h"

#define ARGS_MAX 16

enum source { SOURCE_FILE, SOURCE_ARGS, SOURCE_ENV, SOURCE_COUNT };

static int load_file(struct values *values, const uint8_t *text, size_t len,
                     struct bc_options_error *error)
{
    const char *path;
    int fd = fuzz_file(text, len, &path);
    int rc = bc_options_load_file(&table, values, path, error);

    (void)close(fd);
    return rc;
}

static int load_args(struct values *values, char *text, struct bc_options_error *error)
{
    char *args[ARGS_MAX + 1] = {(char *)"prog"};
    char *rest = text;
    int count = 1;
    int operand = 0;
    int rc;

    while (rest != NULL && count < ARGS_MAX) {
        args[count++] = strsep(&rest, "\n");
    }
    rc = bc_options_load_args(&table, values, count, args, &operand, error);
    BC_ASSERT(rc != 0 || (operand >= 1 && operand <= count));
    return rc;
}

static int load_env(struct values *values, char *text, struct bc_options_error *error)
{
    char *rest = text;
    int rc;

    for (size_t i = 0; i < table.row_count; i++) {
        if (table.rows[i].env != NULL && rest != NULL) {
            BC_ASSERT(setenv(table.rows[i].env, strsep(&rest, "\n"), 1) == 0);
        }
    }
    rc = bc_options_load_env(&table, values, error);
    for (size_t i = 0; i < table.row_count; i++) {
        if (table.rows[i].env != NULL) {
            BC_ASSERT(unsetenv(table.rows[i].env) == 0);
        }
    }
    return rc;
}

static char *print(const struct values *values, size_t *len_out)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len_out);

    BC_ASSERT(out != NULL);
    bc_options_print_config(&table, values, out);
    BC_ASSERT(fclose(out) == 0);
    return text;
}

/* The YAML of these values gives the same YAML again; returned, freed by the caller. */
static char *print_twice(const char *text, size_t len, size_t *len_out)
{
    struct values values = {0};
    struct bc_options_error error;
    char *again;

    BC_ASSERT(bc_options_defaults(&table, &values, &error) == 0);
    BC_ASSERT(load_file(&values, (const uint8_t *)text, len, &error) == 0);
    again = print(&values, len_out);
    bc_options_fini(&table, &values);
    return again;
}

/* Text that is not UTF-8 has no place in YAML: it can come from arguments, and is then lost by
 * design. */
static void check_print(const struct values *values, bool from_yaml)
{
    size_t lens[3];
    char *first = print(values, &lens[0]);
    char *second = print_twice(first, lens[0], &lens[1]);
    char *third = print_twice(second, lens[1], &lens[2]);

    BC_ASSERT(!from_yaml || strcmp(first, second) == 0);
    BC_ASSERT(strcmp(second, third) == 0);
    free(third);
    free(second);
    free(first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    enum source source = len > 0 ? data[0] % SOURCE_COUNT : SOURCE_FILE;
    size_t text_len = len > 0 ? len - 1 : 0;
    char *text = fuzz_text(data + 1, text_len);
    struct values values = {0};
    struct bc_options_error error = {""};
    int rc;

    BC_ASSERT(bc_options_defaults(&table, &values, &error) == 0);
    if (source == SOURCE_FILE) {
        rc = load_file(&values, data + 1, text_len, &error);
    } else if (source == SOURCE_ARGS) {
        rc = load_args(&values, text, &error);
    } else {
        rc = load_env(&values, text, &error);
    }
    if (rc == 0) {
        check_print(&values, source == SOURCE_FILE);
    } else {
        BC_ASSERT((rc == -EINVAL || rc == -ERANGE) && error.text[0] != '\0');
    }
    bc_options_fini(&table, &values);
    free(text);
    return 0;
}
