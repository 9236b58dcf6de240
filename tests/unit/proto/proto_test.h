/* SPDX-License-Identifier: Apache-2.0 */
/* proto_test.h - cmocka, and a body that is encoded, broken in one place, and decoded. */
#ifndef BC_TEST_PROTO_TEST_H
#define BC_TEST_PROTO_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/proto.h"

BC_EXTERN_C_BEGIN

struct body {
    struct bc_writer writer;
    uint8_t data[1 << 16];
};

static inline void body_init(struct body *body)
{
    bc_writer_init(&body->writer, body->data, sizeof(body->data));
}

static inline size_t body_len(const struct body *body)
{
    return body->writer.pos;
}

static inline struct bc_bytes bytes_of(const char *text)
{
    return (struct bc_bytes){.data = (const uint8_t *)text, .len = strlen(text)};
}

static inline void assert_bytes(struct bc_bytes bytes, const char *text)
{
    assert_int_equal(bytes.len, strlen(text));
    assert_memory_equal(bytes.data, text, bytes.len);
}

/* A field of a body that is overwritten, and what the decoder has to say to it. */
struct damage {
    size_t offset;
    size_t len;
    uint64_t value;
    int error;
};

#define DAMAGE(base, type, field, new_value, expected)                                  \
    {                                                                                   \
        .offset = (base) + offsetof(type, field), .len = sizeof(((type *)NULL)->field), \
        .value = (new_value), .error = (expected)                                       \
    }

/* Decodes `body`, which is good, then each damaged copy of it. The copies are of exactly the body's
 * size, so that a sanitizer sees one byte too many. */
void assert_damage(const struct body *body, const struct damage *damage, size_t count,
                   int (*decode)(const void *data, size_t len));

BC_EXTERN_C_END

#endif
