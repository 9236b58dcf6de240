/* SPDX-License-Identifier: Apache-2.0 */
/* options_file.c - a flat YAML mapping of option names to values, read event by event.
 *
 *   stream-start [ document-start mapping-start { key value } mapping-end document-end ] stream-end
 *
 * where a value is a scalar or, for a list, a sequence of scalars. Everything else that YAML can
 * say (nesting, aliases, several documents) is an error with its line. libyaml's events are used
 * and not libcyaml's schemas, since the rows are not known at compile time.
 * Thread: start-up only. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

#include "base/assert.h"
#include "base/options_internal.h"

struct file_load {
    struct bc_options_load load;
    const char *path;
    yaml_parser_t parser;
    yaml_event_t event; /* the one in hand; empty before the first */
};

/* A line of the file in front of every sentence; libyaml counts from 0. */
static int fail_at(struct file_load *file, int rc, size_t line, const char *what,
                   const char *detail)
{
    return bc_options_fail(file->load.error, rc, "%s:%zu: %s%s", file->path, line + 1, what,
                           detail);
}

static int fail_here(struct file_load *file, const char *what, const char *detail)
{
    return fail_at(file, -EINVAL, file->event.start_mark.line, what, detail);
}

static int next_event(struct file_load *file)
{
    yaml_parser_t *parser = &file->parser;

    yaml_event_delete(&file->event);
    if (yaml_parser_parse(parser, &file->event)) {
        return 0;
    }
    /* A failed parse leaves no event behind. */
    memset(&file->event, 0, sizeof(file->event));
    if (parser->error == YAML_MEMORY_ERROR) {
        return bc_options_fail(file->load.error, -ENOMEM, "%s: out of memory", file->path);
    }
    return fail_at(file, -EINVAL, parser->problem_mark.line, "this is not valid YAML: ",
                   parser->problem != NULL ? parser->problem : "unknown error");
}

/* The text of the scalar in hand; NULL, with the sentence written, when it is none: -EINVAL. */
static const char *scalar_text(struct file_load *file)
{
    const char *text = (const char *)file->event.data.scalar.value;

    if (strlen(text) != file->event.data.scalar.length) {
        (void)fail_here(file, "a NUL byte has no place in a value", "");
        return NULL;
    }
    return text;
}

/* `key:` with nothing behind it, or one of YAML's words for nothing. */
static bool scalar_is_null(const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;

    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (*text == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

static int load_scalar(struct file_load *file, const struct bc_option *row)
{
    char where[384];
    const char *text = scalar_text(file);

    if (text == NULL) {
        return -EINVAL;
    }
    if (scalar_is_null(&file->event)) {
        return fail_here(file, row->name, " has no value; give one, or leave the line out");
    }
    (void)snprintf(where, sizeof(where), "%s:%zu: %s", file->path, file->event.start_mark.line + 1,
                   row->name);
    return bc_options_load_value(&file->load, row, where, text);
}

/* The items behind the sequence-start in hand. */
static int load_sequence(struct file_load *file, const struct bc_option *row)
{
    if (row->type != BC_OPTION_STRINGS) {
        return fail_here(file, row->name, " takes one value, not a list");
    }
    for (;;) {
        int rc = next_event(file);

        if (rc != 0) {
            return rc;
        }
        if (file->event.type == YAML_SEQUENCE_END_EVENT) {
            return 0;
        }
        if (file->event.type != YAML_SCALAR_EVENT) {
            return fail_here(file, row->name,
                             " is a list of plain values; one of them is not plain");
        }
        rc = load_scalar(file, row);
        if (rc != 0) {
            return rc;
        }
    }
}

/* The row that the scalar in hand names; NULL, with the sentence written, for a bad key. */
static const struct bc_option *find_key(struct file_load *file)
{
    const struct bc_option *row;
    const char *key = scalar_text(file);

    if (key == NULL) {
        return NULL;
    }
    row = bc_options_find(file->load.table, key, strlen(key));
    if (row == NULL) {
        (void)fail_here(file, key, " is not an option; see --help for those there are");
        return NULL;
    }
    if (row->command_line_only) {
        (void)fail_here(file, key, " is for the command line only");
        return NULL;
    }
    if (!bc_options_load_see(&file->load, row)) {
        (void)fail_here(file, key, " is given twice; leave one");
        return NULL;
    }
    return row;
}

/* Keys and values behind the mapping-start in hand, up to the mapping-end. */
static int load_mapping(struct file_load *file)
{
    for (;;) {
        const struct bc_option *row;
        int rc = next_event(file);

        if (rc != 0) {
            return rc;
        }
        if (file->event.type == YAML_MAPPING_END_EVENT) {
            return 0;
        }
        if (file->event.type != YAML_SCALAR_EVENT) {
            return fail_here(file, "the name of an option is a plain word", "");
        }
        row = find_key(file);
        if (row == NULL) {
            return -EINVAL;
        }
        rc = next_event(file);
        if (rc != 0) {
            return rc;
        }
        if (file->event.type == YAML_SCALAR_EVENT) {
            rc = load_scalar(file, row);
        } else if (file->event.type == YAML_SEQUENCE_START_EVENT) {
            rc = load_sequence(file, row);
        } else {
            rc = fail_here(file, row->name, " takes a plain value; options are not nested");
        }
        if (rc != 0) {
            return rc;
        }
    }
}

/* The document in hand: a mapping, or nothing at all. */
static int load_document(struct file_load *file)
{
    int rc = next_event(file);

    if (rc != 0) {
        return rc;
    }
    if (file->event.type == YAML_MAPPING_START_EVENT) {
        rc = load_mapping(file);
    } else if (file->event.type != YAML_SCALAR_EVENT || !scalar_is_null(&file->event)) {
        rc = fail_here(file, "expected lines of the form 'option: value'", "");
    }
    /* The document-end. */
    return rc == 0 ? next_event(file) : rc;
}

static int load_stream(struct file_load *file)
{
    bool loaded = false;

    for (;;) {
        int rc = next_event(file);

        if (rc != 0) {
            return rc;
        }
        if (file->event.type == YAML_STREAM_END_EVENT) {
            return 0;
        }
        if (file->event.type != YAML_DOCUMENT_START_EVENT) {
            continue; /* the stream-start */
        }
        if (loaded) {
            return fail_here(file, "a second document starts here; the file holds one", "");
        }
        loaded = true;
        rc = load_document(file);
        if (rc != 0) {
            return rc;
        }
    }
}

static int open_file(const char *path, struct bc_options_error *error, FILE **stream_out)
{
    struct stat info;
    FILE *stream = fopen(path, "re");
    int rc;

    if (stream == NULL) {
        rc = -errno;
        return bc_options_fail(error, rc, "%s: the configuration file can't be opened: %s", path,
                               strerror(-rc));
    }
    if (fstat(fileno(stream), &info) == 0 && S_ISDIR(info.st_mode)) {
        (void)fclose(stream);
        return bc_options_fail(error, -EINVAL, "%s is a directory; give a configuration file",
                               path);
    }
    *stream_out = stream;
    return 0;
}

int bc_options_load_file(const struct bc_option_table *table, void *values, const char *path,
                         struct bc_options_error *error)
{
    struct file_load file = {0};
    char *path_copy = strdup(path); /* path may be one of the values that are about to change */
    FILE *stream = NULL;
    int rc;

    bc_options_load_init(&file.load, table, values, error);
    if (path_copy == NULL) {
        return bc_options_fail(error, -ENOMEM, "%s: out of memory", path);
    }
    file.path = path_copy;
    rc = open_file(path_copy, error, &stream);
    if (rc != 0) {
        goto err_free_path;
    }
    if (!yaml_parser_initialize(&file.parser)) {
        rc = bc_options_fail(error, -ENOMEM, "%s: out of memory", path_copy);
        goto err_close;
    }
    yaml_parser_set_input_file(&file.parser, stream);
    rc = load_stream(&file);
    yaml_event_delete(&file.event);
    yaml_parser_delete(&file.parser);
err_close:
    (void)fclose(stream);
err_free_path:
    free(path_copy);
    return rc;
}
