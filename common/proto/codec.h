/* SPDX-License-Identifier: Apache-2.0 */
/* codec.h - what the codecs of this room share. Private to common/proto.
 * Any thread; allocates nothing. */
#ifndef BC_PROTO_CODEC_H
#define BC_PROTO_CODEC_H

#include <errno.h>

#include "base/assert.h"
#include "proto/proto.h"

BC_EXTERN_C_BEGIN

/* Most elements of any list; REGISTER and UNREGISTER have a smaller limit of their own. */
#define BC_PROTO_LIST_MAX BC_QUERY_KEYS_MAX

/* The result of an encoder: 0, or -EMSGSIZE once anything did not fit. */
static inline int bc_proto_written(const struct bc_writer *writer)
{
    return writer->failed ? -EMSGSIZE : 0;
}

/* The values of enum bc_status grow over time, so a decoder takes those it does not know: they are
 * failures to whoever reads them. IN_PROGRESS would never be followed by an answer. */
static inline bool bc_proto_status_valid(uint32_t status)
{
    return status != BC_STATUS_IN_PROGRESS;
}

static inline struct bc_bytes bc_proto_view(struct bc_reader *reader, size_t len)
{
    struct bc_bytes bytes = {.data = bc_reader_view(reader, len), .len = len};

    return bytes;
}

/* Reads a bc_wire_list. -EBADMSG, -E2BIG when it counts more than count_max. */
BC_MUST_USE int bc_proto_list_decode(struct bc_reader *reader, uint32_t count_max,
                                     uint32_t *count_out);

/* A body that is a bc_wire_list of elements of one length, and nothing else; seen in place.
 * -EBADMSG, -E2BIG. */
BC_MUST_USE int bc_proto_array_decode(const void *body, size_t len, uint32_t count_max,
                                      size_t element_len, const uint8_t **elements_out,
                                      uint32_t *count_out);

/* -EBADMSG when one of count u32 at `statuses` is no valid status. */
BC_MUST_USE int bc_proto_statuses_check(const uint8_t *statuses, uint32_t count);

BC_EXTERN_C_END

#endif
