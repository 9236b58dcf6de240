/* SPDX-License-Identifier: Apache-2.0 */
/* cursor.c - bounded reads and writes of little-endian integers and bytes.
 * Invariant: pos <= len, and once failed is set nothing moves any more. Integers are put together
 * byte by byte, so neither alignment nor the machine's byte order matters. */
#include "base/cursor.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"

/* An empty buffer may be NULL; a view of no bytes still has to differ from a failure. */
static uint8_t empty_buffer[1];

void bc_reader_init(struct bc_reader *reader, const void *data, size_t len)
{
    BC_ASSERT(data != NULL || len == 0);
    reader->data = data != NULL ? data : empty_buffer;
    reader->len = len;
    reader->pos = 0;
    reader->failed = false;
}

size_t bc_reader_left(const struct bc_reader *reader)
{
    return reader->failed ? 0 : reader->len - reader->pos;
}

const uint8_t *bc_reader_view(struct bc_reader *reader, size_t len)
{
    const uint8_t *view;

    if (reader->failed || len > reader->len - reader->pos) {
        reader->failed = true;
        return NULL;
    }
    view = reader->data + reader->pos;
    reader->pos += len;
    return view;
}

/* An integer of len bytes, 1 to 8. */
static uint64_t read_le(struct bc_reader *reader, size_t len)
{
    const uint8_t *bytes = bc_reader_view(reader, len);
    uint64_t value = 0;

    if (bytes == NULL) {
        return 0;
    }
    for (size_t i = 0; i < len; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

uint8_t bc_reader_u8(struct bc_reader *reader)
{
    return (uint8_t)read_le(reader, 1);
}

uint16_t bc_reader_u16(struct bc_reader *reader)
{
    return (uint16_t)read_le(reader, 2);
}

uint32_t bc_reader_u32(struct bc_reader *reader)
{
    return (uint32_t)read_le(reader, 4);
}

uint64_t bc_reader_u64(struct bc_reader *reader)
{
    return read_le(reader, 8);
}

void bc_reader_copy(struct bc_reader *reader, void *out, size_t len)
{
    const uint8_t *bytes = bc_reader_view(reader, len);

    if (len == 0) {
        return;
    }
    if (bytes == NULL) {
        memset(out, 0, len);
    } else {
        memcpy(out, bytes, len);
    }
}

int bc_reader_finish(const struct bc_reader *reader)
{
    return reader->failed || reader->pos != reader->len ? -EBADMSG : 0;
}

void bc_writer_init(struct bc_writer *writer, void *data, size_t len)
{
    BC_ASSERT(data != NULL || len == 0);
    writer->data = data != NULL ? data : empty_buffer;
    writer->len = len;
    writer->pos = 0;
    writer->failed = false;
}

static void write_le(struct bc_writer *writer, uint64_t value, size_t len)
{
    uint8_t *bytes = bc_writer_reserve(writer, len);

    if (bytes == NULL) {
        return;
    }
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

void bc_writer_u8(struct bc_writer *writer, uint8_t value)
{
    write_le(writer, value, 1);
}

void bc_writer_u16(struct bc_writer *writer, uint16_t value)
{
    write_le(writer, value, 2);
}

void bc_writer_u32(struct bc_writer *writer, uint32_t value)
{
    write_le(writer, value, 4);
}

void bc_writer_u64(struct bc_writer *writer, uint64_t value)
{
    write_le(writer, value, 8);
}

void bc_writer_copy(struct bc_writer *writer, const void *data, size_t len)
{
    uint8_t *bytes = bc_writer_reserve(writer, len);

    if (bytes != NULL && len > 0) {
        memcpy(bytes, data, len);
    }
}

uint8_t *bc_writer_reserve(struct bc_writer *writer, size_t len)
{
    uint8_t *bytes;

    if (writer->failed || len > writer->len - writer->pos) {
        writer->failed = true;
        return NULL;
    }
    bytes = writer->data + writer->pos;
    writer->pos += len;
    return bytes;
}

int bc_writer_finish(const struct bc_writer *writer, size_t *len_out)
{
    if (writer->failed) {
        return -EMSGSIZE;
    }
    *len_out = writer->pos;
    return 0;
}
