/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - one table row per option; command line, environment, YAML file, --help and
 * --print-config all come from it. Precedence: command line over environment over file over
 * default, which the caller makes by loading them in the opposite order: whatever is loaded later
 * wins.
 * An unknown key or a value out of range is an error with a sentence. After an error the values
 * loaded so far stay; bc_options_fini frees them.
 * Thread: start-up only. Values live inside the caller's structure at row->offset. */
#ifndef BC_BASE_OPTIONS_H
#define BC_BASE_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

enum bc_option_type {
    BC_OPTION_BOOL = 0, /* bool; a flag on the command line, also --no-NAME, --NAME=true */
    BC_OPTION_U64 = 1,  /* uint64_t, decimal */
    BC_OPTION_SIZE = 2, /* uint64_t bytes; suffixes B, K M G T (powers of 1024), KiB MiB ... */
    BC_OPTION_DURATION_MS = 3, /* uint64_t milliseconds; suffixes ms s m h; a bare number is ms */
    BC_OPTION_STRING = 4,      /* char *, owned by the options module, freed by bc_options_fini */
    BC_OPTION_ENUM = 5,        /* uint32_t index into row->choices */
    BC_OPTION_STRINGS = 6, /* struct bc_option_strings: repeatable; a YAML sequence; separated by
                                  commas in default_text and environment. A loader that names the
                                  option replaces what an earlier one had collected. */
};

#define BC_OPTION_STRINGS_MAX 16
#define BC_OPTION_ROWS_MAX    128

struct bc_option_strings {
    char *items[BC_OPTION_STRINGS_MAX];
    uint32_t count;
};

struct bc_option {
    const char
        *name; /* long name without dashes; also the YAML key with '-' as '_' (both accepted) */
    char short_name; /* or 0 */
    enum bc_option_type type;
    size_t offset;            /* of the value in the caller's structure */
    const char *default_text; /* parsed like input; NULL: zero, empty */
    uint64_t min;             /* for numbers; both 0: no limits */
    uint64_t max;
    const char *const *choices; /* BC_OPTION_ENUM: NULL-terminated */
    const char *env;      /* environment variable, or NULL; one set to nothing counts as unset */
    const char *argument; /* shown in help, e.g. "SIZE" */
    const char *help;     /* one sentence */
    uint64_t scale; /* of BC_OPTION_SIZE: multiplies a bare number (1 MiB for -m); 0, 1: none */
    bool command_line_only; /* an action (help, config): no key of files, not in --print-config */
};

struct bc_option_table {
    const char *program; /* for messages and usage */
    const char *summary; /* one line under usage */
    const struct bc_option *rows;
    size_t row_count; /* at most BC_OPTION_ROWS_MAX (asserted) */
};

struct bc_options_error {
    char text[512]; /* one sentence that says what is wrong and what to do */
};

/* Sets defaults. `values` must be zeroed by the caller before. -EINVAL, -ERANGE, -ENOMEM. */
BC_MUST_USE int bc_options_defaults(const struct bc_option_table *table, void *values,
                                    struct bc_options_error *error);
/* A flat YAML mapping; an empty file is one without keys. -ENOENT or why it can't be opened;
 * -EINVAL, -ERANGE (unknown or repeated key, bad value, not a mapping: error has file and line),
 * -ENOMEM. */
BC_MUST_USE int bc_options_load_file(const struct bc_option_table *table, void *values,
                                     const char *path, struct bc_options_error *error);
BC_MUST_USE int bc_options_load_env(const struct bc_option_table *table, void *values,
                                    struct bc_options_error *error);
/* GNU style, also bundled "-m256" and "--name=value"; "--" ends options. Nothing is permuted:
 * parsing stops at the first operand, and first_operand_out is its index, argc when there is none.
 * A caller that takes no operands checks for that. May be called twice (to find the file to load,
 * then to have the last word). */
BC_MUST_USE int bc_options_load_args(const struct bc_option_table *table, void *values, int argc,
                                     char **argv, int *first_operand_out,
                                     struct bc_options_error *error);
/* One value by name from text: what the loaders use. Adds to a BC_OPTION_STRINGS, replaces others.
 * -EINVAL, -ERANGE, -ENOMEM. */
BC_MUST_USE int bc_options_set(const struct bc_option_table *table, void *values, const char *name,
                               const char *text, struct bc_options_error *error);
void bc_options_print_help(const struct bc_option_table *table, FILE *out);
/* The values in force as YAML that bc_options_load_file reads back to the same. A string that was
 * never set, or that is not UTF-8 and so has no place in YAML, is a comment. */
void bc_options_print_config(const struct bc_option_table *table, const void *values, FILE *out);
/* Frees the strings and forgets them; may be called again. */
void bc_options_fini(const struct bc_option_table *table, void *values);

/* "64M" -> 67108864; a number without suffix is multiplied by scale (0 as 1). Upper and lower case.
 * -EINVAL: not a size. -ERANGE: more than 64 bits hold. Any thread. */
BC_MUST_USE int bc_parse_size(const char *text, uint64_t scale, uint64_t *bytes_out);
/* "90s" -> 90000. -EINVAL, -ERANGE. Any thread. */
BC_MUST_USE int bc_parse_duration_ms(const char *text, uint64_t *ms_out);
/* Decimal digits only. -EINVAL, -ERANGE. Any thread. */
BC_MUST_USE int bc_parse_u64(const char *text, uint64_t *value_out);

BC_EXTERN_C_END

#endif
