/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - see options.h. */
#include "options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <string.h>

#include "units.h"

/* Values of options without a letter, above every letter. */
#define LONG_ONLY 1000

/* What getopt_long is called with, and the rows its answers stand for. */
struct parser {
    const struct bc_cli_options *tables[2];
    struct option long_options[BC_CLI_OPTIONS_MAX + 1];
    char letters[2 * BC_CLI_OPTIONS_MAX + 3];
    size_t long_count;
    size_t letter_len;
    char *error;
    size_t error_len;
};

__attribute__((format(printf, 2, 3))) static int complain(struct parser *parser, const char *format,
                                                          ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(parser->error, parser->error_len, format, args);
    va_end(args);
    return -1;
}

static void add_table(struct parser *parser, const struct bc_cli_options *table)
{
    for (size_t i = 0; table != NULL && i < table->count; i++) {
        const struct bc_cli_option *row = &table->rows[i];
        struct option *option = &parser->long_options[parser->long_count];

        assert(parser->long_count < BC_CLI_OPTIONS_MAX);
        *option = (struct option){
            .name = row->name,
            .has_arg = row->type == BC_CLI_FLAG ? no_argument : required_argument,
            .val = row->short_name != 0 ? row->short_name : LONG_ONLY + (int)parser->long_count};
        parser->long_count++;
        if (row->short_name != 0) {
            parser->letters[parser->letter_len++] = row->short_name;
            if (row->type != BC_CLI_FLAG) {
                parser->letters[parser->letter_len++] = ':';
            }
        }
    }
}

static const struct bc_cli_option *find_row(const struct parser *parser, int value, void **values)
{
    int number = LONG_ONLY;

    for (size_t t = 0; t < 2; t++) {
        const struct bc_cli_options *table = parser->tables[t];

        for (size_t i = 0; table != NULL && i < table->count; i++, number++) {
            if (value == number || (value != 0 && value == table->rows[i].short_name)) {
                *values = table->values;
                return &table->rows[i];
            }
        }
    }
    return NULL;
}

static int set_choice(struct parser *parser, const struct bc_cli_option *row, const char *text,
                      uint32_t *value)
{
    char list[128] = "";

    for (uint32_t i = 0; row->choices[i] != NULL; i++) {
        size_t len = strlen(list);

        if (strcmp(row->choices[i], text) == 0) {
            *value = i;
            return 0;
        }
        (void)snprintf(list + len, sizeof(list) - len, "%s%s", i == 0 ? "" : ", ", row->choices[i]);
    }
    return complain(parser, "--%s is '%s'; it can be one of: %s", row->name, text, list);
}

static const char *show_limit(const struct bc_cli_option *row, uint64_t value, char *buf)
{
    if (row->type == BC_CLI_SIZE) {
        return bc_cli_size(buf, value);
    }
    (void)snprintf(buf, BC_CLI_UNITS_LEN, "%.10g",
                   row->type == BC_CLI_SECONDS ? (double)value / 1000 : (double)value);
    return buf;
}

static int set_number(struct parser *parser, const struct bc_cli_option *row, const char *text,
                      uint64_t *value)
{
    static const char *const kinds[] = {
        [BC_CLI_U64] = "a whole number",
        [BC_CLI_SIZE] = "a size, like 4096, 64K or 1M",
        [BC_CLI_SECONDS] = "seconds, like 5 or 0.5",
    };
    char least[BC_CLI_UNITS_LEN];
    char most[BC_CLI_UNITS_LEN];
    uint64_t number;
    int rc;

    if (row->type == BC_CLI_SIZE) {
        rc = bc_cli_parse_size(text, &number);
    } else if (row->type == BC_CLI_SECONDS) {
        rc = bc_cli_parse_seconds(text, &number);
    } else {
        rc = bc_cli_parse_u64(text, &number);
    }

    if (rc == -EINVAL) {
        return complain(parser, "--%s is '%s'; it must be %s", row->name, text, kinds[row->type]);
    }
    if (rc != 0 || number < row->min || (row->max != 0 && number > row->max)) {
        return complain(parser, "--%s is %s; it can be %s to %s", row->name, text,
                        show_limit(row, row->min, least),
                        show_limit(row, row->max != 0 ? row->max : UINT64_MAX, most));
    }
    *value = number;
    return 0;
}

static int set_value(struct parser *parser, const struct bc_cli_option *row, void *values,
                     const char *text)
{
    void *at = (char *)values + row->offset;

    switch (row->type) {
    case BC_CLI_FLAG:
        *(bool *)at = true;
        return 0;
    case BC_CLI_STRING:
        *(const char **)at = text;
        return 0;
    case BC_CLI_CHOICE:
        return set_choice(parser, row, text, at);
    case BC_CLI_U64:
    case BC_CLI_SIZE:
    case BC_CLI_SECONDS:
        break;
    }
    return set_number(parser, row, text, at);
}

/* getopt leaves the letter it does not know in optopt, 0 for a word, and the option's own value
 * when it is known but was given an argument. */
static int unknown(struct parser *parser, const struct bc_cli_option *row, const char *argument)
{
    if (row != NULL) {
        return complain(parser, "--%s takes no argument", row->name);
    }
    if (optopt != 0) {
        return complain(parser, "-%c is no option", optopt);
    }
    return complain(parser, "%s is no option", argument);
}

int bc_cli_options_parse(const struct bc_cli_options *common, const struct bc_cli_options *extra,
                         bool permute, int argc, char **argv, char *error, size_t error_len)
{
    struct parser parser = {.tables = {common, extra}, .error = error, .error_len = error_len};
    int value;

    if (!permute) {
        parser.letters[parser.letter_len++] = '+';
    }
    /* A missing argument is told from an unknown option. */
    parser.letters[parser.letter_len++] = ':';
    add_table(&parser, common);
    add_table(&parser, extra);
    optind = 0; /* glibc: starts over, and reads the '+' again */
    opterr = 0;
    while ((value = getopt_long(argc, argv, parser.letters, parser.long_options, NULL)) != -1) {
        const struct bc_cli_option *row;
        void *values = NULL;

        row = find_row(&parser, value == '?' || value == ':' ? optopt : value, &values);
        if (value == ':') {
            return complain(&parser, "%s needs an argument", argv[optind - 1]);
        }
        if (value == '?') {
            return unknown(&parser, row, argv[optind - 1]);
        }
        if (set_value(&parser, row, values, optarg) != 0) {
            return -1;
        }
    }
    return optind;
}

void bc_cli_options_print(const struct bc_cli_options *options, FILE *out)
{
    for (size_t i = 0; i < options->count; i++) {
        const struct bc_cli_option *row = &options->rows[i];
        char left[64];
        char letter[8] = "    ";

        if (row->short_name != 0) {
            (void)snprintf(letter, sizeof(letter), "-%c, ", row->short_name);
        }
        (void)snprintf(left, sizeof(left), "%s--%s%s%s", letter, row->name,
                       row->argument != NULL ? " " : "",
                       row->argument != NULL ? row->argument : "");
        if (strlen(left) > 24) {
            (void)fprintf(out, "  %s\n  %-24s  %s\n", left, "", row->help);
        } else {
            (void)fprintf(out, "  %-24s  %s\n", left, row->help);
        }
    }
}
