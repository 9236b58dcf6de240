/* SPDX-License-Identifier: Apache-2.0 */
/* list.c - bc_wire_list, the lists of statuses that answer REGISTER, UNREGISTER and REMOVE, and
 * COMPLETION, whose entries have a status each.
 * Any thread; allocates nothing; errors as in proto.h. */
#include "proto/codec.h"

#include <string.h>

int bc_list_begin_encode(struct bc_writer *writer, uint32_t count)
{
    struct bc_wire_list list = {.count = count, .reserved = 0};

    if (count > BC_PROTO_LIST_MAX) {
        return -E2BIG;
    }
    bc_writer_copy(writer, &list, sizeof(list));
    return bc_proto_written(writer);
}

int bc_proto_list_decode(struct bc_reader *reader, uint32_t count_max, uint32_t *count_out)
{
    struct bc_wire_list list;

    bc_reader_copy(reader, &list, sizeof(list));
    if (reader->failed || list.reserved != 0) {
        return -EBADMSG;
    }
    if (list.count > count_max) {
        return -E2BIG;
    }
    *count_out = list.count;
    return 0;
}

int bc_proto_array_decode(const void *body, size_t len, uint32_t count_max, size_t element_len,
                          const uint8_t **elements_out, uint32_t *count_out)
{
    struct bc_reader reader;
    const uint8_t *elements;
    uint32_t count;
    int rc;

    bc_reader_init(&reader, body, len);
    rc = bc_proto_list_decode(&reader, count_max, &count);
    if (rc != 0) {
        return rc;
    }
    elements = bc_reader_view(&reader, count * element_len);
    rc = bc_reader_finish(&reader);
    if (rc != 0) {
        return rc;
    }
    *elements_out = elements;
    *count_out = count;
    return 0;
}

int bc_statuses_encode(struct bc_writer *writer, const uint32_t *statuses, uint32_t count)
{
    int rc = bc_list_begin_encode(writer, count);

    if (rc != 0) {
        return rc;
    }
    BC_DASSERT(bc_proto_statuses_check((const uint8_t *)statuses, count) == 0);
    bc_writer_copy(writer, statuses, count * sizeof(*statuses));
    return bc_proto_written(writer);
}

int bc_statuses_decode(const void *body, size_t len, const uint8_t **statuses_out,
                       uint32_t *count_out)
{
    const uint8_t *statuses;
    uint32_t count;
    int rc =
        bc_proto_array_decode(body, len, BC_PROTO_LIST_MAX, sizeof(uint32_t), &statuses, &count);

    if (rc != 0) {
        return rc;
    }
    if (bc_proto_statuses_check(statuses, count) != 0) {
        return -EBADMSG;
    }
    *statuses_out = statuses;
    *count_out = count;
    return 0;
}

uint32_t bc_statuses_get(const uint8_t *statuses, uint32_t index)
{
    uint32_t status;

    memcpy(&status, statuses + (size_t)index * sizeof(status), sizeof(status));
    return status;
}

int bc_proto_statuses_check(const uint8_t *statuses, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!bc_proto_status_valid(bc_statuses_get(statuses, i))) {
            return -EBADMSG;
        }
    }
    return 0;
}

/* Both directions: the statuses lie inside the largest request that can be. */
static int completion_check_range(const struct bc_wire_completion *header)
{
    if (header->entry_count > BC_TRANSFER_ENTRIES_MAX ||
        header->first_entry > BC_TRANSFER_ENTRIES_MAX - header->entry_count) {
        return -E2BIG;
    }
    return 0;
}

int bc_completion_encode(struct bc_writer *writer, const struct bc_wire_completion *header,
                         const uint32_t *statuses)
{
    struct bc_wire_completion wire = *header;
    int rc = completion_check_range(header);

    if (rc != 0) {
        return rc;
    }
    BC_DASSERT(bc_proto_status_valid(wire.status));
    BC_DASSERT(bc_proto_statuses_check((const uint8_t *)statuses, wire.entry_count) == 0);
    wire.reserved = 0;
    bc_writer_copy(writer, &wire, sizeof(wire));
    bc_writer_copy(writer, statuses, wire.entry_count * sizeof(*statuses));
    return bc_proto_written(writer);
}

int bc_completion_decode(const void *body, size_t len, struct bc_completion *completion_out)
{
    struct bc_reader reader;
    struct bc_completion completion;
    int rc;

    bc_reader_init(&reader, body, len);
    bc_reader_copy(&reader, &completion.wire, sizeof(completion.wire));
    if (reader.failed || (completion.wire.flags & ~BC_COMPLETION_FLAG_MORE) != 0 ||
        completion.wire.reserved != 0 || !bc_proto_status_valid(completion.wire.status)) {
        return -EBADMSG;
    }
    rc = completion_check_range(&completion.wire);
    if (rc != 0) {
        return rc;
    }
    completion.statuses = bc_reader_view(&reader, completion.wire.entry_count * sizeof(uint32_t));
    if (bc_reader_finish(&reader) != 0 ||
        bc_proto_statuses_check(completion.statuses, completion.wire.entry_count) != 0) {
        return -EBADMSG;
    }
    *completion_out = completion;
    return 0;
}
