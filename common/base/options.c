/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - finds a row, sets its value from text, defaults and environment.
 * Invariant: a string in the values is NULL or allocated here; items[0 .. count) of a list as well.
 * Thread: start-up only. Errors are sentences: they start with the name under which the user gave
 * the value, and end with what is accepted. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/options_internal.h"

int bc_options_fail(struct bc_options_error *error, int rc, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
    return rc;
}

static void *value_at(void *values, const struct bc_option *row)
{
    return (char *)values + row->offset;
}

static void strings_clear(struct bc_option_strings *strings)
{
    for (uint32_t i = 0; i < strings->count; i++) {
        free(strings->items[i]);
        strings->items[i] = NULL;
    }
    strings->count = 0;
}

void bc_options_load_init(struct bc_options_load *load, const struct bc_option_table *table,
                          void *values, struct bc_options_error *error)
{
    BC_ASSERT(table->row_count <= BC_OPTION_ROWS_MAX);
    *load = (struct bc_options_load){.table = table, .values = values, .error = error};
}

static char plain(char c)
{
    return c == '_' ? '-' : c;
}

static bool same_name(const char *row_name, const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (row_name[i] == '\0' || plain(row_name[i]) != plain(name[i])) {
            return false;
        }
    }
    return row_name[len] == '\0';
}

const struct bc_option *bc_options_find(const struct bc_option_table *table, const char *name,
                                        size_t len)
{
    for (size_t i = 0; i < table->row_count; i++) {
        if (same_name(table->rows[i].name, name, len)) {
            return &table->rows[i];
        }
    }
    return NULL;
}

bool bc_options_load_see(struct bc_options_load *load, const struct bc_option *row)
{
    size_t index = (size_t)(row - load->table->rows);

    if (load->seen[index]) {
        return false;
    }
    load->seen[index] = true;
    if (row->type == BC_OPTION_STRINGS) {
        strings_clear(value_at(load->values, row));
    }
    return true;
}

static int parse_bool(const char *text, bool *value_out)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};

    for (size_t i = 0; i < BC_ARRAY_LEN(yes); i++) {
        if (strcmp(text, yes[i]) == 0) {
            *value_out = true;
            return 0;
        }
        if (strcmp(text, no[i]) == 0) {
            *value_out = false;
            return 0;
        }
    }
    return -EINVAL;
}

static int set_bool(struct bc_options_load *load, const struct bc_option *row, const char *where,
                    const char *text)
{
    if (parse_bool(text, value_at(load->values, row)) != 0) {
        return bc_options_fail(load->error, -EINVAL,
                               "%s: '%s' is neither true nor false; give true, false, yes, no, on, "
                               "off, 1 or 0",
                               where, text);
    }
    return 0;
}

static int parse_number(const struct bc_option *row, const char *text, uint64_t *value_out)
{
    switch (row->type) {
    case BC_OPTION_SIZE:
        return bc_parse_size(text, row->scale, value_out);
    case BC_OPTION_DURATION_MS:
        return bc_parse_duration_ms(text, value_out);
    default:
        return bc_parse_u64(text, value_out);
    }
}

static const char *number_form(enum bc_option_type type)
{
    switch (type) {
    case BC_OPTION_SIZE:
        return "a size; give a whole number with B, K, M, G or T behind it, as in 64M";
    case BC_OPTION_DURATION_MS:
        return "a duration; give a whole number with ms, s, m or h behind it, as in 30s";
    default:
        return "a number; give decimal digits only";
    }
}

static int set_number(struct bc_options_load *load, const struct bc_option *row, const char *where,
                      const char *text)
{
    bool limited = row->min != 0 || row->max != 0;
    char min_text[BC_OPTION_NUMBER_LEN];
    char max_text[BC_OPTION_NUMBER_LEN];
    uint64_t value = 0;
    int rc = parse_number(row, text, &value);

    if (rc == -EINVAL) {
        return bc_options_fail(load->error, rc, "%s: '%s' is not %s", where, text,
                               number_form(row->type));
    }
    if (rc != 0 && !limited) {
        return bc_options_fail(load->error, rc, "%s: '%s' is more than 64 bits can hold", where,
                               text);
    }
    if (rc != 0 || (limited && (value < row->min || value > row->max))) {
        bc_options_format_number(row, row->min, min_text);
        bc_options_format_number(row, row->max, max_text);
        return bc_options_fail(load->error, -ERANGE,
                               "%s: '%s' is out of range; give a value from %s to %s", where, text,
                               min_text, max_text);
    }
    *(uint64_t *)value_at(load->values, row) = value;
    return 0;
}

static int set_enum(struct bc_options_load *load, const struct bc_option *row, const char *where,
                    const char *text)
{
    char choices[256] = "";
    size_t len = 0;

    for (uint32_t i = 0; row->choices[i] != NULL; i++) {
        if (strcmp(row->choices[i], text) == 0) {
            *(uint32_t *)value_at(load->values, row) = i;
            return 0;
        }
        if (len < sizeof(choices)) {
            len += (size_t)snprintf(choices + len, sizeof(choices) - len, "%s%s",
                                    i == 0 ? "" : ", ", row->choices[i]);
        }
    }
    return bc_options_fail(load->error, -EINVAL, "%s: '%s' is unknown; give one of: %s", where,
                           text, choices);
}

static int set_string(struct bc_options_load *load, const struct bc_option *row, const char *text)
{
    char **value = value_at(load->values, row);
    char *copy = strdup(text); /* before the free: text may be the value itself */

    if (copy == NULL) {
        return bc_options_fail(load->error, -ENOMEM, "%s: out of memory", row->name);
    }
    free(*value);
    *value = copy;
    return 0;
}

static int add_string(struct bc_options_load *load, const struct bc_option *row, const char *where,
                      const char *text)
{
    struct bc_option_strings *strings = value_at(load->values, row);
    char *copy;

    if (strings->count == BC_OPTION_STRINGS_MAX) {
        return bc_options_fail(load->error, -ERANGE, "%s: '%s' is one too many; give at most %d",
                               where, text, BC_OPTION_STRINGS_MAX);
    }
    copy = strdup(text);
    if (copy == NULL) {
        return bc_options_fail(load->error, -ENOMEM, "%s: out of memory", row->name);
    }
    strings->items[strings->count++] = copy;
    return 0;
}

static int set_value(struct bc_options_load *load, const struct bc_option *row, const char *where,
                     const char *text)
{
    switch (row->type) {
    case BC_OPTION_BOOL:
        return set_bool(load, row, where, text);
    case BC_OPTION_U64:
    case BC_OPTION_SIZE:
    case BC_OPTION_DURATION_MS:
        return set_number(load, row, where, text);
    case BC_OPTION_STRING:
        return set_string(load, row, text);
    case BC_OPTION_ENUM:
        return set_enum(load, row, where, text);
    case BC_OPTION_STRINGS:
        return add_string(load, row, where, text);
    }
    BC_ASSERT(!"a type of option that this function does not know");
    return -EINVAL;
}

int bc_options_load_value(struct bc_options_load *load, const struct bc_option *row,
                          const char *where, const char *text)
{
    (void)bc_options_load_see(load, row);
    return set_value(load, row, where, text);
}

/* A list is separated by commas here: defaults and environment have one text for all items. */
static int load_joined(struct bc_options_load *load, const struct bc_option *row, const char *where,
                       const char *text)
{
    char *items;
    char *item;
    char *rest;
    int rc = 0;

    if (row->type != BC_OPTION_STRINGS) {
        return bc_options_load_value(load, row, where, text);
    }
    items = strdup(text);
    if (items == NULL) {
        return bc_options_fail(load->error, -ENOMEM, "%s: out of memory", where);
    }
    rest = items;
    while (rc == 0 && (item = strsep(&rest, ",")) != NULL) {
        rc = bc_options_load_value(load, row, where, item);
    }
    free(items);
    return rc;
}

int bc_options_defaults(const struct bc_option_table *table, void *values,
                        struct bc_options_error *error)
{
    struct bc_options_load load;
    int rc;

    bc_options_load_init(&load, table, values, error);
    for (size_t i = 0; i < table->row_count; i++) {
        const struct bc_option *row = &table->rows[i];

        if (row->default_text == NULL) {
            continue;
        }
        rc = load_joined(&load, row, row->name, row->default_text);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

int bc_options_load_env(const struct bc_option_table *table, void *values,
                        struct bc_options_error *error)
{
    struct bc_options_load load;
    int rc;

    bc_options_load_init(&load, table, values, error);
    for (size_t i = 0; i < table->row_count; i++) {
        const struct bc_option *row = &table->rows[i];
        const char *text = row->env == NULL ? NULL : getenv(row->env);

        if (text == NULL || *text == '\0') {
            continue;
        }
        rc = load_joined(&load, row, row->env, text);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

int bc_options_set(const struct bc_option_table *table, void *values, const char *name,
                   const char *text, struct bc_options_error *error)
{
    const struct bc_option *row = bc_options_find(table, name, strlen(name));
    struct bc_options_load load;

    bc_options_load_init(&load, table, values, error);
    if (row == NULL) {
        return bc_options_fail(error, -EINVAL, "%s is not an option of %s; see %s --help", name,
                               table->program, table->program);
    }
    return set_value(&load, row, row->name, text);
}

void bc_options_fini(const struct bc_option_table *table, void *values)
{
    for (size_t i = 0; i < table->row_count; i++) {
        const struct bc_option *row = &table->rows[i];

        if (row->type == BC_OPTION_STRING) {
            char **value = value_at(values, row);

            free(*value);
            *value = NULL;
        } else if (row->type == BC_OPTION_STRINGS) {
            strings_clear(value_at(values, row));
        }
    }
}
