/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.c - TRANSFER: a header, its entries, the key table, and TLVs.
 * The entries of a decoded transfer are read in place: up to 65,536 of them cost no copy.
 * Any thread; allocates nothing; errors as in proto.h. */
#include "proto/codec.h"

#include <string.h>

size_t bc_transfer_body_len(uint32_t entry_count, uint32_t key_count, size_t key_bytes,
                            size_t tlv_len)
{
    return sizeof(struct bc_wire_transfer) + (size_t)entry_count * sizeof(struct bc_wire_entry) +
           (size_t)key_count * sizeof(struct bc_wire_key) + key_bytes + tlv_len;
}

static int header_check(const struct bc_wire_transfer *wire)
{
    if ((wire->op != BC_TRANSFER_PUSH && wire->op != BC_TRANSFER_PULL) || wire->priority != 0 ||
        wire->flags != 0 || wire->reserved != 0 || wire->key_count == 0 || wire->entry_count == 0) {
        return -EBADMSG;
    }
    if (wire->key_count > BC_TRANSFER_ENTRIES_MAX || wire->entry_count > BC_TRANSFER_ENTRIES_MAX ||
        wire->tlv_len > BC_TLV_BYTES_MAX) {
        return -E2BIG;
    }
    return 0;
}

int bc_transfer_header_encode(struct bc_writer *writer, const struct bc_wire_transfer *header)
{
    int rc = header_check(header);

    if (rc != 0) {
        return rc;
    }
    bc_writer_copy(writer, header, sizeof(*header));
    return bc_proto_written(writer);
}

int bc_transfer_entry_encode(struct bc_writer *writer, const struct bc_wire_entry *entry)
{
    uint8_t *out = bc_writer_reserve(writer, sizeof(*entry));

    if (out == NULL) {
        return -EMSGSIZE;
    }
    memcpy(out, entry, sizeof(*entry));
    ((struct bc_wire_entry *)out)->reserved = 0;
    return 0;
}

int bc_transfer_key_encode(struct bc_writer *writer, const struct bc_key_desc *key)
{
    struct bc_wire_key wire = key->wire;

    if (key->key.len > UINT16_MAX) {
        return -E2BIG;
    }
    wire.key_len = (uint16_t)key->key.len;
    wire.flags = (uint16_t)((wire.flags & ~BC_KEY_FLAG_HAS_META) |
                            (key->meta != NULL ? BC_KEY_FLAG_HAS_META : 0));
    wire.reserved = 0;
    bc_writer_copy(writer, &wire, sizeof(wire));
    bc_writer_copy(writer, key->key.data, key->key.len);
    if (key->meta != NULL) {
        bc_writer_copy(writer, key->meta, BC_OBJECT_META_LEN);
    }
    return bc_proto_written(writer);
}

static int entries_check(const struct bc_wire_entry *entries, uint32_t entry_count,
                         uint32_t key_count)
{
    for (uint32_t i = 0; i < entry_count; i++) {
        const struct bc_wire_entry *entry = &entries[i];

        if (entry->key_index >= key_count || entry->reserved != 0 ||
            entry->length > UINT64_MAX - entry->memory_offset ||
            entry->length > UINT64_MAX - entry->object_offset) {
            return -EBADMSG;
        }
    }
    return 0;
}

/* Reads one element of the key table; false when it is malformed. */
static bool key_decode(struct bc_reader *reader, struct bc_key_desc *key_out)
{
    struct bc_wire_key *wire = &key_out->wire;

    bc_reader_copy(reader, wire, sizeof(*wire));
    key_out->key = bc_proto_view(reader, wire->key_len);
    key_out->meta = NULL;
    if ((wire->flags & BC_KEY_FLAG_HAS_META) != 0) {
        key_out->meta = bc_reader_view(reader, BC_OBJECT_META_LEN);
    }
    return !reader->failed && (wire->flags & ~BC_KEY_FLAGS_KNOWN) == 0 && wire->reserved == 0;
}

/* Walks the key table. Its length is not on the wire: it ends after key_count keys. */
static int keys_check(struct bc_reader *reader, const struct bc_wire_transfer *wire)
{
    struct bc_key_desc key;

    for (uint32_t i = 0; i < wire->key_count; i++) {
        if (!key_decode(reader, &key) ||
            (wire->op == BC_TRANSFER_PULL && key.wire.object_size != 0)) {
            return -EBADMSG;
        }
    }
    return 0;
}

/* Those that have no meaning here are only walked. */
static int tlvs_decode(struct bc_transfer *transfer)
{
    const struct bc_wire_transfer *wire = &transfer->wire;
    struct bc_reader reader;
    struct bc_tlv tlv;

    transfer->groups = NULL;
    bc_reader_init(&reader, transfer->tlvs.data, transfer->tlvs.len);
    while (bc_tlv_next(&reader, &tlv)) {
        if (tlv.type != BC_TLV_GROUP) {
            continue;
        }
        if (wire->op != BC_TRANSFER_PUSH || transfer->groups != NULL ||
            tlv.value.len != (size_t)wire->key_count * sizeof(uint64_t)) {
            return -EBADMSG;
        }
        transfer->groups = tlv.value.data;
    }
    return bc_reader_finish(&reader);
}

int bc_transfer_decode(const void *body, size_t len, struct bc_transfer *transfer_out)
{
    struct bc_reader reader;
    struct bc_transfer transfer;
    int rc;

    bc_reader_init(&reader, body, len);
    bc_reader_copy(&reader, &transfer.wire, sizeof(transfer.wire));
    if (reader.failed) {
        return -EBADMSG;
    }
    rc = header_check(&transfer.wire);
    if (rc != 0) {
        return rc;
    }
    transfer.entries = (const struct bc_wire_entry *)bc_reader_view(
        &reader, transfer.wire.entry_count * sizeof(struct bc_wire_entry));
    if (transfer.entries == NULL ||
        entries_check(transfer.entries, transfer.wire.entry_count, transfer.wire.key_count) != 0) {
        return -EBADMSG;
    }
    transfer.keys.data = reader.data + reader.pos;
    rc = keys_check(&reader, &transfer.wire);
    if (rc != 0) {
        return rc;
    }
    transfer.keys.len = (size_t)(reader.data + reader.pos - transfer.keys.data);
    transfer.tlvs = bc_proto_view(&reader, transfer.wire.tlv_len);
    if (bc_reader_finish(&reader) != 0 || tlvs_decode(&transfer) != 0) {
        return -EBADMSG;
    }
    *transfer_out = transfer;
    return 0;
}

void bc_transfer_keys(const struct bc_transfer *transfer, struct bc_key_iter *iter_out)
{
    bc_reader_init(&iter_out->reader, transfer->keys.data, transfer->keys.len);
    iter_out->left = transfer->wire.key_count;
}

bool bc_transfer_key_next(struct bc_key_iter *iter, struct bc_key_desc *key_out)
{
    if (iter->left == 0 || !key_decode(&iter->reader, key_out)) {
        return false;
    }
    iter->left--;
    return true;
}

uint64_t bc_transfer_group(const struct bc_transfer *transfer, uint32_t key_index)
{
    struct bc_reader reader;

    if (transfer->groups == NULL) {
        return 0;
    }
    bc_reader_init(&reader, transfer->groups + (size_t)key_index * sizeof(uint64_t),
                   sizeof(uint64_t));
    return bc_reader_u64(&reader);
}

int bc_tlv_group_begin(struct bc_writer *writer, uint32_t count)
{
    if (count > BC_GROUP_KEYS_MAX) {
        return -E2BIG;
    }
    bc_writer_u16(writer, BC_TLV_GROUP);
    bc_writer_u16(writer, (uint16_t)(count * sizeof(uint64_t)));
    return bc_proto_written(writer);
}

int bc_tlv_encode(struct bc_writer *writer, const struct bc_tlv *tlv)
{
    if (tlv->value.len > UINT16_MAX) {
        return -E2BIG;
    }
    bc_writer_u16(writer, tlv->type);
    bc_writer_u16(writer, (uint16_t)tlv->value.len);
    bc_writer_copy(writer, tlv->value.data, tlv->value.len);
    return bc_proto_written(writer);
}

bool bc_tlv_next(struct bc_reader *reader, struct bc_tlv *tlv_out)
{
    struct bc_tlv tlv;

    if (bc_reader_left(reader) == 0) {
        return false;
    }
    tlv.type = bc_reader_u16(reader);
    tlv.value = bc_proto_view(reader, bc_reader_u16(reader));
    if (reader->failed) {
        return false;
    }
    *tlv_out = tlv;
    return true;
}
