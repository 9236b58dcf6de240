/* SPDX-License-Identifier: Apache-2.0 */
/* options_internal.h - what the files of the options module share; nobody else includes it.
 * A load is one pass of one source (file, environment, command line) over the values: it remembers
 * which rows the source has named, so that its first item of a list replaces what was there. */
#ifndef BC_BASE_OPTIONS_INTERNAL_H
#define BC_BASE_OPTIONS_INTERNAL_H

#include "base/options.h"

BC_EXTERN_C_BEGIN

/* Any number of an option as text, with its suffix. */
#define BC_OPTION_NUMBER_LEN 32

struct bc_options_load {
    const struct bc_option_table *table;
    void *values;
    struct bc_options_error *error;
    bool seen[BC_OPTION_ROWS_MAX];
};

void bc_options_load_init(struct bc_options_load *load, const struct bc_option_table *table,
                          void *values, struct bc_options_error *error);

/* The row called name, '-' and '_' being the same; NULL when there is none. len as for "%.*s". */
const struct bc_option *bc_options_find(const struct bc_option_table *table, const char *name,
                                        size_t len);

/* Sets the row's value from text. Sentences start with `where`: "--workers", "a.yaml:3: workers".
 * -EINVAL, -ERANGE, -ENOMEM. */
BC_MUST_USE int bc_options_load_value(struct bc_options_load *load, const struct bc_option *row,
                                      const char *where, const char *text);

/* Marks the row as named by this load; the first time is true, and empties a list. */
bool bc_options_load_see(struct bc_options_load *load, const struct bc_option *row);

/* Writes the sentence and returns rc. */
int bc_options_fail(struct bc_options_error *error, int rc, const char *format, ...)
    BC_PRINTF(3, 4);

/* A number of the row's type as the shortest text that parses back to it. */
void bc_options_format_number(const struct bc_option *row, uint64_t value,
                              char out[BC_OPTION_NUMBER_LEN]);

BC_EXTERN_C_END

#endif
