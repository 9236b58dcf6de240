/* SPDX-License-Identifier: Apache-2.0 */
/* proto.h - encodes and decodes the body of every message of dma_transfer.h through the bounded
 * cursor.
 * Decoders validate everything that can be validated without state: lengths, counts against the
 * protocol's limits, enums, zero reserved fields, indexes; after 0 every view lies inside the body,
 * and an iterator yields exactly the counted elements. A status may be any value but IN_PROGRESS,
 * since statuses are added over time: one that is not known is a failure. Outputs are written only
 * on success.
 * Encoders fill in the lengths and flags that follow from what they are given (desc_len, key_len,
 * HAS_META, ...) and zero the reserved fields, whatever the wire part says.
 * Nothing is allocated. Views are valid as long as the body buffer.
 * Errors: -EBADMSG malformed, -E2BIG over a protocol limit, -EMSGSIZE (encoders) the buffer is too
 * small; the writer then stays failed.
 * Any thread. Must not know: sockets, sessions, DOCA. */
#ifndef BC_PROTO_PROTO_H
#define BC_PROTO_PROTO_H

#include <stdbool.h>

#include "base/cursor.h"
#include "base/metrics.h"
#include "base/status.h"
#include "dma_transfer.h"

BC_EXTERN_C_BEGIN

struct bc_bytes {
    const uint8_t *data;
    size_t len;
};

/* HELLO. Lengths of auth and name come from the views. */
struct bc_hello {
    struct bc_wire_hello wire;
    struct bc_bytes auth;
    struct bc_bytes name;
};
BC_MUST_USE int bc_hello_encode(struct bc_writer *writer, const struct bc_hello *hello);
/* Checks also that the versions are a range that does not start at 0. */
BC_MUST_USE int bc_hello_decode(const void *body, size_t len, struct bc_hello *hello_out);

struct bc_hello_ack {
    struct bc_wire_hello_ack wire;
    struct bc_bytes name;
};
BC_MUST_USE int bc_hello_ack_encode(struct bc_writer *writer, const struct bc_hello_ack *ack);
/* With status OK, checks also that the version and every credit and limit (requests, entries,
 * bytes, regions, message, object size) are not 0, and that none is over the protocol's. */
BC_MUST_USE int bc_hello_ack_decode(const void *body, size_t len, struct bc_hello_ack *ack_out);

/* The bc_wire_list that starts REGISTER, STATS_RESULT, ...; its elements follow one by one. */
BC_MUST_USE int bc_list_begin_encode(struct bc_writer *writer, uint32_t count);

/* REGISTER. Encode: bc_list_begin_encode, then bc_memory_encode per memory.
 * Decode: bc_register_decode validates all, then iterate. A reserved kind, an access of 0 and a
 * length of 0 are no errors here (such a memory gets a status of its own). */
struct bc_memory_desc {
    struct bc_wire_memory wire;
    struct bc_bytes descriptor;
};
BC_MUST_USE int bc_memory_encode(struct bc_writer *writer, const struct bc_memory_desc *memory);
struct bc_register_iter {
    struct bc_reader reader;
    uint32_t left;
};
BC_MUST_USE int bc_register_decode(const void *body, size_t len, uint32_t *count_out,
                                   struct bc_register_iter *iter_out);
bool bc_register_next(struct bc_register_iter *iter, struct bc_memory_desc *memory_out);

/* UNREGISTER: names in place (packed, any alignment). */
BC_MUST_USE int bc_unregister_encode(struct bc_writer *writer,
                                     const struct bc_wire_memory_name *names, uint32_t count);
BC_MUST_USE int bc_unregister_decode(const void *body, size_t len,
                                     const struct bc_wire_memory_name **names_out,
                                     uint32_t *count_out);

/* REGISTER_ACK, UNREGISTER_ACK, REMOVE_RESULT: a list of statuses. The view is not aligned: read it
 * with bc_statuses_get; index < count is the caller's duty. */
BC_MUST_USE int bc_statuses_encode(struct bc_writer *writer, const uint32_t *statuses,
                                   uint32_t count);
BC_MUST_USE int bc_statuses_decode(const void *body, size_t len, const uint8_t **statuses_out,
                                   uint32_t *count_out);
uint32_t bc_statuses_get(const uint8_t *statuses, uint32_t index);

/* TRANSFER */
struct bc_key_desc {
    struct bc_wire_key wire;
    struct bc_bytes key;
    const uint8_t *meta; /* BC_OBJECT_META_LEN bytes or NULL */
};
struct bc_transfer {
    struct bc_wire_transfer wire;
    const struct bc_wire_entry *entries; /* entry_count, in place (packed, any alignment) */
    struct bc_bytes keys;                /* the raw key table */
    struct bc_bytes tlvs;
    const uint8_t *groups; /* key_count u64, read with bc_transfer_group; NULL: no TLV GROUP */
};
/* Size of the body for these counts; key_bytes is the sum of key_len + (HAS_META ?
 * BC_OBJECT_META_LEN : 0), tlv_len that of 4 + the length of each TLV's value. */
size_t bc_transfer_body_len(uint32_t entry_count, uint32_t key_count, size_t key_bytes,
                            size_t tlv_len);
/* Order: header, every entry, every key, TLVs. The header is checked as a decoder would. */
BC_MUST_USE int bc_transfer_header_encode(struct bc_writer *writer,
                                          const struct bc_wire_transfer *header);
BC_MUST_USE int bc_transfer_entry_encode(struct bc_writer *writer,
                                         const struct bc_wire_entry *entry);
BC_MUST_USE int bc_transfer_key_encode(struct bc_writer *writer, const struct bc_key_desc *key);
/* Checks: op known, counts within limits and not 0, key_index < key_count, offset + length without
 * overflow, object_size 0 on a pull, key table walks exactly, TLVs walk exactly, GROUP is that of
 * a push, there once, with a value for each key.
 * No errors here: a key of length 0 or over BC_KEY_LEN_MAX (its entries get a status of their own),
 * an object_size over BC_OBJECT_SIZE_MAX, a key that no entry names, entries that do not tile. */
BC_MUST_USE int bc_transfer_decode(const void *body, size_t len, struct bc_transfer *transfer_out);
struct bc_key_iter {
    struct bc_reader reader;
    uint32_t left;
};
void bc_transfer_keys(const struct bc_transfer *transfer, struct bc_key_iter *iter_out);
bool bc_transfer_key_next(struct bc_key_iter *iter, struct bc_key_desc *key_out);
/* Group of the key of this index, which is below key_count; 0: none. */
uint64_t bc_transfer_group(const struct bc_transfer *transfer, uint32_t key_index);
/* TLVs: init a reader over transfer.tlvs; false at the end. */
struct bc_tlv {
    uint16_t type;
    struct bc_bytes value;
};
BC_MUST_USE int bc_tlv_encode(struct bc_writer *writer, const struct bc_tlv *tlv);
bool bc_tlv_next(struct bc_reader *reader, struct bc_tlv *tlv_out);
/* The TLV GROUP of `count` keys begins; that many bc_writer_u64 follow. -E2BIG over
 * BC_GROUP_KEYS_MAX. Its length with header: bc_tlv_group_len. */
BC_MUST_USE int bc_tlv_group_begin(struct bc_writer *writer, uint32_t count);
static inline size_t bc_tlv_group_len(uint32_t count)
{
    return BC_TLV_HEADER_LEN + (size_t)count * sizeof(uint64_t);
}

/* COMPLETION: statuses may be NULL with entry_count 0. */
struct bc_completion {
    struct bc_wire_completion wire;
    const uint8_t *statuses; /* entry_count u32, read with bc_statuses_get */
};
BC_MUST_USE int bc_completion_encode(struct bc_writer *writer,
                                     const struct bc_wire_completion *header,
                                     const uint32_t *statuses);
/* Checks that first_entry + entry_count is within the protocol's limit, not within the request. */
BC_MUST_USE int bc_completion_decode(const void *body, size_t len,
                                     struct bc_completion *completion_out);

/* QUERY, REMOVE: keys of any length <= 65535 (too long ones get their own status). */
BC_MUST_USE int bc_keys_encode(struct bc_writer *writer, const struct bc_bytes *keys,
                               uint32_t count);
struct bc_keys_iter {
    struct bc_reader reader;
    uint32_t left;
};
BC_MUST_USE int bc_keys_decode(const void *body, size_t len, uint32_t *count_out,
                               struct bc_keys_iter *iter_out);
bool bc_keys_next(struct bc_keys_iter *iter, struct bc_bytes *key_out);
BC_MUST_USE int bc_query_result_encode(struct bc_writer *writer,
                                       const struct bc_wire_query_result *results, uint32_t count);
BC_MUST_USE int bc_query_result_decode(const void *body, size_t len,
                                       const struct bc_wire_query_result **results_out,
                                       uint32_t *count_out);

/* CANCEL */
BC_MUST_USE int bc_cancel_encode(struct bc_writer *writer, uint64_t request_id);
BC_MUST_USE int bc_cancel_decode(const void *body, size_t len, uint64_t *request_id_out);

/* PING, PONG: the body is the payload, only its length is bounded. */
BC_MUST_USE int bc_ping_decode(const void *body, size_t len, struct bc_bytes *payload_out);

/* STATS, GOODBYE: -EBADMSG unless the body is empty. */
BC_MUST_USE int bc_empty_decode(size_t len);

/* STATS_RESULT. Encode: bc_list_begin_encode, then bc_metric_encode per metric. Names are 1 to 255
 * bytes. */
struct bc_metric_desc {
    struct bc_wire_metric wire;
    struct bc_bytes name;
};
BC_MUST_USE int bc_metric_encode(struct bc_writer *writer, const struct bc_metric_desc *metric);
struct bc_stats_iter {
    struct bc_reader reader;
    uint32_t left;
};
BC_MUST_USE int bc_stats_decode(const void *body, size_t len, uint32_t *count_out,
                                struct bc_stats_iter *iter_out);
bool bc_stats_next(struct bc_stats_iter *iter, struct bc_metric_desc *metric_out);

/* ERROR: status is a failure; text may be NULL and is cut to BC_ERROR_TEXT_LEN_MAX bytes. */
struct bc_error_message {
    uint32_t status;
    struct bc_bytes text;
};
BC_MUST_USE int bc_error_encode(struct bc_writer *writer, uint32_t status, const char *text);
BC_MUST_USE int bc_error_decode(const void *body, size_t len, struct bc_error_message *error_out);

/* Name of a message type for logs; "unknown". */
const char *bc_message_type_name(uint8_t type);

BC_EXTERN_C_END

#endif
