/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c - REGISTER and UNREGISTER: lists of memories and of their names.
 * Any thread; allocates nothing; errors as in proto.h. */
#include "proto/codec.h"

int bc_memory_encode(struct bc_writer *writer, const struct bc_memory_desc *memory)
{
    struct bc_wire_memory wire = memory->wire;

    if (memory->descriptor.len > BC_DESCRIPTOR_LEN_MAX) {
        return -E2BIG;
    }
    wire.desc_len = (uint16_t)memory->descriptor.len;
    wire.reserved = 0;
    bc_writer_copy(writer, &wire, sizeof(wire));
    bc_writer_copy(writer, memory->descriptor.data, memory->descriptor.len);
    return bc_proto_written(writer);
}

/* Reads one memory. Reserved kinds, no access and no length pass: the session answers each memory
 * with a status of its own. */
static int memory_decode(struct bc_reader *reader, struct bc_memory_desc *memory_out)
{
    struct bc_wire_memory *wire = &memory_out->wire;
    const uint8_t access_known = BC_MEMORY_ACCESS_READ | BC_MEMORY_ACCESS_WRITE;

    bc_reader_copy(reader, wire, sizeof(*wire));
    if (wire->desc_len > BC_DESCRIPTOR_LEN_MAX) {
        return -E2BIG;
    }
    memory_out->descriptor = bc_proto_view(reader, wire->desc_len);
    if (reader->failed || wire->kind < BC_MEMORY_PCI_EXPORT || wire->kind > BC_MEMORY_INLINE ||
        (wire->access & ~access_known) != 0 || wire->generation == 0 || wire->reserved != 0) {
        return -EBADMSG;
    }
    return 0;
}

int bc_register_decode(const void *body, size_t len, uint32_t *count_out,
                       struct bc_register_iter *iter_out)
{
    struct bc_reader reader;
    struct bc_register_iter iter;
    struct bc_memory_desc memory;
    uint32_t count;
    int rc;

    bc_reader_init(&reader, body, len);
    rc = bc_proto_list_decode(&reader, BC_REGISTER_BATCH_MAX, &count);
    if (rc != 0) {
        return rc;
    }
    iter.reader = reader;
    iter.left = count;
    for (uint32_t i = 0; i < count; i++) {
        rc = memory_decode(&reader, &memory);
        if (rc != 0) {
            return rc;
        }
    }
    rc = bc_reader_finish(&reader);
    if (rc != 0) {
        return rc;
    }
    *count_out = count;
    *iter_out = iter;
    return 0;
}

bool bc_register_next(struct bc_register_iter *iter, struct bc_memory_desc *memory_out)
{
    if (iter->left == 0 || memory_decode(&iter->reader, memory_out) != 0) {
        return false;
    }
    iter->left--;
    return true;
}

int bc_unregister_encode(struct bc_writer *writer, const struct bc_wire_memory_name *names,
                         uint32_t count)
{
    if (count > BC_REGISTER_BATCH_MAX) {
        return -E2BIG;
    }
    if (bc_list_begin_encode(writer, count) != 0) {
        return -EMSGSIZE;
    }
    bc_writer_copy(writer, names, count * sizeof(*names));
    return bc_proto_written(writer);
}

int bc_unregister_decode(const void *body, size_t len, const struct bc_wire_memory_name **names_out,
                         uint32_t *count_out)
{
    const uint8_t *names;
    int rc = bc_proto_array_decode(body, len, BC_REGISTER_BATCH_MAX,
                                   sizeof(struct bc_wire_memory_name), &names, count_out);

    if (rc == 0) {
        *names_out = (const struct bc_wire_memory_name *)names;
    }
    return rc;
}
