/* SPDX-License-Identifier: Apache-2.0 */
/* options_print.c - the table as help for people, and the values as YAML for the next start.
 * YAML is written by hand: comments stand between the values, which libyaml's emitter can't do.
 * Strings are always double-quoted and pure ASCII, so that no reader takes them for a number or a
 * word.
 * Write errors stay in the stream, for the caller to find with ferror. Thread: start-up only. */
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/options_internal.h"

#define HELP_COLUMN 30
#define HELP_WIDTH  96

static const void *value_at(const void *values, const struct bc_option *row)
{
    return (const char *)values + row->offset;
}

/* Writes text in words from `column` on, going on below HELP_COLUMN where the line is full. */
static int print_wrapped(const char *text, int column, FILE *out)
{
    while (*text != '\0') {
        int len = (int)strcspn(text, " ");

        if (column > HELP_COLUMN && column + 1 + len > HELP_WIDTH) {
            (void)fprintf(out, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        }
        if (column > HELP_COLUMN) {
            (void)fputc(' ', out);
            column++;
        }
        (void)fprintf(out, "%.*s", len, text);
        column += len;
        text += len;
        text += strspn(text, " ");
    }
    return column;
}

/* "(default: 64M; 1M to 1T; one of: a, b; $NAME)", with what of it there is. */
static void print_facts(const struct bc_option *row, int column, FILE *out)
{
    char facts[512];
    char min_text[BC_OPTION_NUMBER_LEN];
    char max_text[BC_OPTION_NUMBER_LEN];
    const char *between = "(";
    size_t len = 0;

#define ADD_FACT(...)                                                               \
    do {                                                                            \
        if (len < sizeof(facts)) {                                                  \
            len += (size_t)snprintf(facts + len, sizeof(facts) - len, __VA_ARGS__); \
        }                                                                           \
    } while (0)
    facts[0] = '\0';
    if (row->default_text != NULL) {
        ADD_FACT("%sdefault: %s", between, row->default_text);
        between = "; ";
    }
    if (row->min != 0 || row->max != 0) {
        bc_options_format_number(row, row->min, min_text);
        bc_options_format_number(row, row->max, max_text);
        ADD_FACT("%s%s to %s", between, min_text, max_text);
        between = "; ";
    }
    if (row->type == BC_OPTION_ENUM) {
        for (size_t i = 0; row->choices[i] != NULL; i++) {
            ADD_FACT("%s%s", i == 0 ? between : ", ", row->choices[i]);
        }
        between = "; ";
    }
    if (row->type == BC_OPTION_STRINGS) {
        ADD_FACT("%srepeatable", between);
        between = "; ";
    }
    if (row->env != NULL) {
        ADD_FACT("%senvironment: %s", between, row->env);
    }
    if (len > 0) {
        ADD_FACT(")");
        (void)print_wrapped(facts, column, out);
    }
#undef ADD_FACT
}

static void print_option(const struct bc_option *row, FILE *out)
{
    char names[128];
    int column;

    if (row->short_name != 0) {
        column = snprintf(names, sizeof(names), "  -%c, --", row->short_name);
    } else {
        column = snprintf(names, sizeof(names), "      --");
    }
    column += snprintf(names + column, sizeof(names) - (size_t)column, "%s%s%s%s",
                       row->type == BC_OPTION_BOOL && !row->command_line_only ? "[no-]" : "",
                       row->name, row->type == BC_OPTION_BOOL ? "" : " ",
                       row->type == BC_OPTION_BOOL ? ""
                       : row->argument != NULL     ? row->argument
                                                   : "VALUE");
    (void)fputs(names, out);
    if (column + 2 > HELP_COLUMN) {
        (void)fputc('\n', out);
        column = 0;
    }
    (void)fprintf(out, "%*s", HELP_COLUMN - column, "");
    column = print_wrapped(row->help != NULL ? row->help : "", HELP_COLUMN, out);
    print_facts(row, column, out);
    (void)fputc('\n', out);
}

void bc_options_print_help(const struct bc_option_table *table, FILE *out)
{
    (void)fprintf(out, "Usage: %s [OPTION]...\n%s\n\nOptions:\n", table->program, table->summary);
    for (size_t i = 0; i < table->row_count; i++) {
        print_option(&table->rows[i], out);
    }
}

/* The code point at the start of text and its length in bytes; 0 when it is not UTF-8. */
static size_t decode_utf8(const unsigned char *text, uint32_t *code_out)
{
    /* Smallest code point of a sequence of that length: anything below is an overlong form. */
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t code = text[0];
    size_t len = code < 0x80   ? 1
                 : code < 0xc2 ? 0
                 : code < 0xe0 ? 2
                 : code < 0xf0 ? 3
                 : code < 0xf5 ? 4
                               : 0;

    if (len >= 2) {
        code &= 0x7fu >> len;
    }
    for (size_t i = 1; i < len; i++) {
        if ((text[i] & 0xc0) != 0x80) { /* a NUL, too */
            return 0;
        }
        code = code << 6 | (text[i] & 0x3f);
    }
    if (code < smallest[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
        return 0;
    }
    *code_out = code;
    return len;
}

static bool is_utf8(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    uint32_t code;

    while (*at != '\0') {
        size_t len = decode_utf8(at, &code);

        if (len == 0) {
            return false;
        }
        at += len;
    }
    return true;
}

/* A double-quoted YAML scalar; text is UTF-8. */
static void print_quoted(const char *text, FILE *out)
{
    const unsigned char *at = (const unsigned char *)text;
    uint32_t code = 0;

    (void)fputc('"', out);
    while (*at != '\0') {
        at += decode_utf8(at, &code);
        if (code == '"' || code == '\\') {
            (void)fprintf(out, "\\%c", (char)code);
        } else if (code >= 0x20 && code < 0x7f) {
            (void)fputc((int)code, out);
        } else if (code <= 0xff) {
            (void)fprintf(out, "\\x%02" PRIx32, code);
        } else if (code <= 0xffff) {
            (void)fprintf(out, "\\u%04" PRIx32, code);
        } else {
            (void)fprintf(out, "\\U%08" PRIx32, code);
        }
    }
    (void)fputc('"', out);
}

static void print_key(const struct bc_option *row, FILE *out)
{
    for (const char *c = row->name; *c != '\0'; c++) {
        (void)fputc(*c == '-' ? '_' : *c, out);
    }
    (void)fputs(":", out);
}

/* In place of a value that can't be written. */
static void print_comment(const struct bc_option *row, const char *why, FILE *out)
{
    (void)fputs("# ", out);
    print_key(row, out);
    (void)fprintf(out, " (%s)\n", why);
}

#define WHY_NOT_UTF8 "not UTF-8: only the command line can say it"

static void print_string(const struct bc_option *row, const char *text, FILE *out)
{
    if (text == NULL) {
        print_comment(row, "not set", out);
    } else if (!is_utf8(text)) {
        print_comment(row, WHY_NOT_UTF8, out);
    } else {
        print_key(row, out);
        (void)fputc(' ', out);
        print_quoted(text, out);
        (void)fputc('\n', out);
    }
}

static void print_strings(const struct bc_option *row, const struct bc_option_strings *strings,
                          FILE *out)
{
    for (uint32_t i = 0; i < strings->count; i++) {
        if (!is_utf8(strings->items[i])) {
            print_comment(row, WHY_NOT_UTF8, out);
            return;
        }
    }
    print_key(row, out);
    (void)fputs(strings->count == 0 ? " []\n" : "\n", out);
    for (uint32_t i = 0; i < strings->count; i++) {
        (void)fputs("  - ", out);
        print_quoted(strings->items[i], out);
        (void)fputc('\n', out);
    }
}

static void print_value(const struct bc_option *row, const void *value, FILE *out)
{
    char number[BC_OPTION_NUMBER_LEN];

    switch (row->type) {
    case BC_OPTION_BOOL:
        print_key(row, out);
        (void)fprintf(out, " %s\n", *(const bool *)value ? "true" : "false");
        break;
    case BC_OPTION_U64:
    case BC_OPTION_SIZE:
    case BC_OPTION_DURATION_MS:
        bc_options_format_number(row, *(const uint64_t *)value, number);
        print_key(row, out);
        (void)fprintf(out, " %s\n", number);
        break;
    case BC_OPTION_STRING:
        print_string(row, *(char *const *)value, out);
        break;
    case BC_OPTION_ENUM:
        print_key(row, out);
        (void)fputc(' ', out);
        print_quoted(row->choices[*(const uint32_t *)value], out);
        (void)fputc('\n', out);
        break;
    case BC_OPTION_STRINGS:
        print_strings(row, value, out);
        break;
    }
}

void bc_options_print_config(const struct bc_option_table *table, const void *values, FILE *out)
{
    for (size_t i = 0; i < table->row_count; i++) {
        const struct bc_option *row = &table->rows[i];

        if (!row->command_line_only) {
            print_value(row, value_at(values, row), out);
        }
    }
}
