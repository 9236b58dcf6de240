/* SPDX-License-Identifier: Apache-2.0 */
/* cursor.h - the only way untrusted bytes are read and messages are written: every step is bounded.
 * A cursor that was asked for more than it has goes into a failed state; every later step fails as
 * well, so a decoder may read a whole structure and check once. All integers are little-endian.
 * Any thread; the buffer belongs to the caller and may be NULL when it is empty. */
#ifndef BC_BASE_CURSOR_H
#define BC_BASE_CURSOR_H

#include <stdbool.h>

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

struct bc_reader {
    const uint8_t *data;
    size_t len;
    size_t pos;
    bool failed;
};

struct bc_writer {
    uint8_t *data;
    size_t len;
    size_t pos;
    bool failed;
};

void bc_reader_init(struct bc_reader *reader, const void *data, size_t len);
size_t bc_reader_left(const struct bc_reader *reader); /* 0 once failed */
uint8_t bc_reader_u8(struct bc_reader *reader);        /* 0 when failed, as for the others */
uint16_t bc_reader_u16(struct bc_reader *reader);
uint32_t bc_reader_u32(struct bc_reader *reader);
uint64_t bc_reader_u64(struct bc_reader *reader);
/* Copies len bytes; zeroes `out` when failed. */
void bc_reader_copy(struct bc_reader *reader, void *out, size_t len);
/* A view of len bytes inside the buffer; NULL when failed. Valid as long as the buffer. */
const uint8_t *bc_reader_view(struct bc_reader *reader, size_t len);
/* 0 when nothing failed and every byte was consumed, else -EBADMSG. */
BC_MUST_USE int bc_reader_finish(const struct bc_reader *reader);

void bc_writer_init(struct bc_writer *writer, void *data, size_t len);
void bc_writer_u8(struct bc_writer *writer, uint8_t value);
void bc_writer_u16(struct bc_writer *writer, uint16_t value);
void bc_writer_u32(struct bc_writer *writer, uint32_t value);
void bc_writer_u64(struct bc_writer *writer, uint64_t value);
void bc_writer_copy(struct bc_writer *writer, const void *data, size_t len);
/* Room for len bytes to be filled in by the caller; NULL when failed. */
uint8_t *bc_writer_reserve(struct bc_writer *writer, size_t len);
/* 0, or -EMSGSIZE when something did not fit. */
BC_MUST_USE int bc_writer_finish(const struct bc_writer *writer, size_t *len_out);

BC_EXTERN_C_END

#endif
