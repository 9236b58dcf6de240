/* SPDX-License-Identifier: Apache-2.0 */
/* json.h - writes one JSON document on one line.
 *
 *   bc_json_begin(&json, stdout);              {"size":42,"list":[1]}
 *   bc_json_u64(&json, "size", 42);
 *   bc_json_array(&json, "list");
 *   bc_json_u64(&json, NULL, 1);
 *   bc_json_close(&json);
 *   bc_json_end(&json);
 *
 * `name` is the member's name inside an object and NULL inside an array.
 * Thread: one. Errors: those of the stream, which the caller asks for (ferror). */
#ifndef BC_TOOLS_JSON_H
#define BC_TOOLS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BC_JSON_DEPTH_MAX 8

struct bc_json {
    FILE *out;
    char closing[BC_JSON_DEPTH_MAX];
    uint32_t depth;
    bool comma;
};

/* Opens the document, an object. */
void bc_json_begin(struct bc_json *json, FILE *out);
/* Closes what is open, and the line. */
void bc_json_end(struct bc_json *json);

void bc_json_object(struct bc_json *json, const char *name);
void bc_json_array(struct bc_json *json, const char *name);
void bc_json_close(struct bc_json *json);

/* `text` is UTF-8; bytes that are none become U+FFFD. NULL writes null. */
void bc_json_string(struct bc_json *json, const char *name, const char *text);
void bc_json_u64(struct bc_json *json, const char *name, uint64_t value);
void bc_json_i64(struct bc_json *json, const char *name, int64_t value);
void bc_json_real(struct bc_json *json, const char *name, double value);
void bc_json_bool(struct bc_json *json, const char *name, bool value);

/* Length of the UTF-8 character at `text`; 0 when it is none (overlong forms, surrogates and what
 * is past U+10FFFF are none). */
size_t bc_json_utf8_len(const char *text, size_t len);

#ifdef __cplusplus
}
#endif

#endif
