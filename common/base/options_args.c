/* SPDX-License-Identifier: Apache-2.0 */
/* options_args.c - the command line: --name value, --name=value, --flag, --no-flag, -x value,
 * -xvalue, bundled flags -abx value, and "--". Options end at the first operand; nothing is
 * reordered. Not getopt_long: it keeps state in globals, accepts abbreviations, and writes its own
 * messages.
 * Thread: start-up only. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/options_internal.h"

/* The words that are left; an option takes the next one as its value. */
struct words {
    int argc;
    char **argv;
    int at; /* index of the word in hand */
};

static const char *next_word(struct words *words)
{
    return words->at + 1 < words->argc ? words->argv[++words->at] : NULL;
}

static int fail_unknown(struct bc_options_load *load, const char *word, size_t len)
{
    return bc_options_fail(load->error, -EINVAL, "%.*s is not an option of %s; see %s --help",
                           (int)len, word, load->table->program, load->table->program);
}

static int fail_no_value(struct bc_options_load *load, const struct bc_option *row,
                         const char *where)
{
    return bc_options_fail(load->error, -EINVAL, "%s needs a value: %s %s", where, where,
                           row->argument != NULL ? row->argument : "VALUE");
}

/* "no-NAME" of a flag, or NULL. */
static const struct bc_option *find_negated(const struct bc_option_table *table, const char *name,
                                            size_t len)
{
    const struct bc_option *row;

    if (len <= 3 || memcmp(name, "no", 2) != 0 || (name[2] != '-' && name[2] != '_')) {
        return NULL;
    }
    row = bc_options_find(table, name + 3, len - 3);
    return row != NULL && row->type == BC_OPTION_BOOL ? row : NULL;
}

static int load_long(struct bc_options_load *load, struct words *words)
{
    const char *word = words->argv[words->at];
    const char *name = word + 2;
    size_t len = strcspn(name, "=");
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    const struct bc_option *row = bc_options_find(load->table, name, len);
    char where[64];

    (void)snprintf(where, sizeof(where), "--%.*s", (int)len, name);
    if (row == NULL) {
        row = find_negated(load->table, name, len);
        if (row == NULL) {
            return fail_unknown(load, word, len + 2);
        }
        if (value != NULL) {
            return bc_options_fail(load->error, -EINVAL, "%s takes no value; give %s or --%s=%s",
                                   where, where, row->name, value);
        }
        return bc_options_load_value(load, row, where, "false");
    }
    if (value == NULL) {
        value = row->type == BC_OPTION_BOOL ? "true" : next_word(words);
    }
    return value == NULL ? fail_no_value(load, row, where)
                         : bc_options_load_value(load, row, where, value);
}

static const struct bc_option *find_short(const struct bc_option_table *table, char letter)
{
    for (size_t i = 0; i < table->row_count; i++) {
        if (table->rows[i].short_name == letter) {
            return &table->rows[i];
        }
    }
    return NULL;
}

/* A word of short options: flags, and at its end perhaps one with a value (the rest, or the next
 * word). */
static int load_short(struct bc_options_load *load, struct words *words)
{
    const char *letters = words->argv[words->at] + 1;

    for (; *letters != '\0'; letters++) {
        const struct bc_option *row = find_short(load->table, *letters);
        const char where[3] = {'-', *letters, '\0'};
        const char *value;
        int rc;

        if (row == NULL) {
            return fail_unknown(load, where, 2);
        }
        if (row->type != BC_OPTION_BOOL) {
            value = letters[1] != '\0' ? letters + 1 : next_word(words);
            return value == NULL ? fail_no_value(load, row, where)
                                 : bc_options_load_value(load, row, where, value);
        }
        rc = bc_options_load_value(load, row, where, "true");
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

int bc_options_load_args(const struct bc_option_table *table, void *values, int argc, char **argv,
                         int *first_operand_out, struct bc_options_error *error)
{
    struct words words = {.argc = argc, .argv = argv, .at = 1};
    struct bc_options_load load;

    bc_options_load_init(&load, table, values, error);
    for (; words.at < argc; words.at++) {
        const char *word = argv[words.at];
        int rc;

        if (strcmp(word, "--") == 0) {
            words.at++;
            break;
        }
        if (word[0] != '-' || word[1] == '\0') {
            break;
        }
        rc = word[1] == '-' ? load_long(&load, &words) : load_short(&load, &words);
        if (rc != 0) {
            return rc;
        }
    }
    *first_operand_out = words.at < argc ? words.at : argc;
    return 0;
}
