/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - see json.h. */
#include "json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

size_t bc_json_utf8_len(const char *text, size_t len)
{
    const unsigned char *at = (const unsigned char *)text;
    /* What the second byte may be depends on the first. */
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    size_t need;

    if (len == 0) {
        return 0;
    }
    if (at[0] < 0x80) {
        return 1;
    }
    if (at[0] >= 0xc2 && at[0] <= 0xdf) {
        need = 2;
    } else if (at[0] >= 0xe0 && at[0] <= 0xef) {
        need = 3;
        low = at[0] == 0xe0 ? 0xa0 : 0x80;
        high = at[0] == 0xed ? 0x9f : 0xbf;
    } else if (at[0] >= 0xf0 && at[0] <= 0xf4) {
        need = 4;
        low = at[0] == 0xf0 ? 0x90 : 0x80;
        high = at[0] == 0xf4 ? 0x8f : 0xbf;
    } else {
        return 0;
    }
    if (len < need || at[1] < low || at[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < need; i++) {
        if (at[i] < 0x80 || at[i] > 0xbf) {
            return 0;
        }
    }
    return need;
}

static void put_string(FILE *out, const char *text)
{
    size_t len = strlen(text);

    (void)fputc('"', out);
    for (size_t i = 0; i < len;) {
        unsigned char byte = (unsigned char)text[i];
        size_t char_len = bc_json_utf8_len(text + i, len - i);

        if (byte == '"' || byte == '\\') {
            (void)fprintf(out, "\\%c", byte);
        } else if (byte < 0x20 || byte == 0x7f) {
            (void)fprintf(out, "\\u%04x", byte);
        } else if (char_len == 0) {
            (void)fputs("\\ufffd", out);
        } else {
            (void)fwrite(text + i, 1, char_len, out);
        }
        i += char_len == 0 ? 1 : char_len;
    }
    (void)fputc('"', out);
}

static void put_name(struct bc_json *json, const char *name)
{
    if (json->comma) {
        (void)fputc(',', json->out);
    }
    json->comma = true;
    if (name != NULL) {
        put_string(json->out, name);
        (void)fputc(':', json->out);
    }
}

static void open_level(struct bc_json *json, char opening, char closing)
{
    assert(json->depth < BC_JSON_DEPTH_MAX);
    (void)fputc(opening, json->out);
    json->closing[json->depth++] = closing;
    json->comma = false;
}

void bc_json_begin(struct bc_json *json, FILE *out)
{
    memset(json, 0, sizeof(*json));
    json->out = out;
    open_level(json, '{', '}');
}

void bc_json_end(struct bc_json *json)
{
    while (json->depth > 0) {
        bc_json_close(json);
    }
    (void)fputc('\n', json->out);
    (void)fflush(json->out);
}

void bc_json_object(struct bc_json *json, const char *name)
{
    put_name(json, name);
    open_level(json, '{', '}');
}

void bc_json_array(struct bc_json *json, const char *name)
{
    put_name(json, name);
    open_level(json, '[', ']');
}

void bc_json_close(struct bc_json *json)
{
    assert(json->depth > 0);
    (void)fputc(json->closing[--json->depth], json->out);
    json->comma = true;
}

void bc_json_string(struct bc_json *json, const char *name, const char *text)
{
    put_name(json, name);
    if (text == NULL) {
        (void)fputs("null", json->out);
    } else {
        put_string(json->out, text);
    }
}

void bc_json_u64(struct bc_json *json, const char *name, uint64_t value)
{
    put_name(json, name);
    (void)fprintf(json->out, "%" PRIu64, value);
}

void bc_json_i64(struct bc_json *json, const char *name, int64_t value)
{
    put_name(json, name);
    (void)fprintf(json->out, "%" PRId64, value);
}

void bc_json_real(struct bc_json *json, const char *name, double value)
{
    put_name(json, name);
    if (isfinite(value)) {
        (void)fprintf(json->out, "%.6g", value);
    } else {
        (void)fputs("null", json->out);
    }
}

void bc_json_bool(struct bc_json *json, const char *name, bool value)
{
    put_name(json, name);
    (void)fputs(value ? "true" : "false", json->out);
}
