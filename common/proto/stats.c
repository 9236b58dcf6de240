/* SPDX-License-Identifier: Apache-2.0 */
/* stats.c - STATS_RESULT: a list of named metrics.
 * Any thread; allocates nothing; errors as in proto.h. */
#include "proto/codec.h"

int bc_metric_encode(struct bc_writer *writer, const struct bc_metric_desc *metric)
{
    struct bc_wire_metric wire = metric->wire;

    if (metric->name.len > UINT8_MAX) {
        return -E2BIG;
    }
    wire.name_len = (uint8_t)metric->name.len;
    wire.reserved = 0;
    wire.reserved2 = 0;
    bc_writer_copy(writer, &wire, sizeof(wire));
    bc_writer_copy(writer, metric->name.data, metric->name.len);
    return bc_proto_written(writer);
}

static bool metric_decode(struct bc_reader *reader, struct bc_metric_desc *metric_out)
{
    struct bc_wire_metric *wire = &metric_out->wire;

    bc_reader_copy(reader, wire, sizeof(*wire));
    metric_out->name = bc_proto_view(reader, wire->name_len);
    return !reader->failed && wire->kind <= BC_METRIC_HISTOGRAM && wire->name_len > 0 &&
           wire->reserved == 0 && wire->reserved2 == 0;
}

int bc_stats_decode(const void *body, size_t len, uint32_t *count_out,
                    struct bc_stats_iter *iter_out)
{
    struct bc_reader reader;
    struct bc_stats_iter iter;
    struct bc_metric_desc metric;
    uint32_t count;
    int rc;

    bc_reader_init(&reader, body, len);
    rc = bc_proto_list_decode(&reader, BC_PROTO_LIST_MAX, &count);
    if (rc != 0) {
        return rc;
    }
    iter.reader = reader;
    iter.left = count;
    for (uint32_t i = 0; i < count; i++) {
        if (!metric_decode(&reader, &metric)) {
            return -EBADMSG;
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

bool bc_stats_next(struct bc_stats_iter *iter, struct bc_metric_desc *metric_out)
{
    if (iter->left == 0 || !metric_decode(&iter->reader, metric_out)) {
        return false;
    }
    iter->left--;
    return true;
}
