/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - tables of command line options: what getopt_long takes, where the value goes, and the
 * lines of --help come from the same row.
 * Invariants: tables are constant; the values lie in a structure of the command, which holds the
 * defaults before the parsing.
 * Thread: main only. */
#ifndef BC_TOOLS_OPTIONS_H
#define BC_TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BC_CLI_OPTIONS_MAX 48

enum bc_cli_type {
    BC_CLI_FLAG = 0,    /* bool */
    BC_CLI_U64 = 1,     /* uint64_t */
    BC_CLI_SIZE = 2,    /* uint64_t bytes: "4096", "64K", "1MiB" */
    BC_CLI_SECONDS = 3, /* uint64_t milliseconds: "5", "0.25" */
    BC_CLI_STRING = 4,  /* const char *, of argv */
    BC_CLI_CHOICE = 5,  /* uint32_t, index into choices */
};

struct bc_cli_option {
    const char *name;
    char short_name; /* or 0 */
    enum bc_cli_type type;
    size_t offset;
    const char *argument; /* shown in --help; NULL for a flag */
    const char *help;
    uint64_t min; /* of numbers */
    uint64_t max; /* 0: no limits */
    const char *const *choices;
};

struct bc_cli_options {
    const struct bc_cli_option *rows;
    size_t count;
    void *values;
};

/* Parses argv[1..] by both tables (`extra` may be NULL). Without `permute` the first operand ends
 * the options. Returns the index of the first operand, the operands being the last of argv then; or
 * -1 and a sentence. */
int bc_cli_options_parse(const struct bc_cli_options *common, const struct bc_cli_options *extra,
                         bool permute, int argc, char **argv, char *error, size_t error_len);

/* The lines of --help. */
void bc_cli_options_print(const struct bc_cli_options *options, FILE *out);

#ifdef __cplusplus
}
#endif

#endif
