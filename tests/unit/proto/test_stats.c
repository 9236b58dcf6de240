/* SPDX-License-Identifier: Apache-2.0 */
/* test_stats.c - STATS_RESULT. */
#include "proto_test.h"

#define FIRST sizeof(struct bc_wire_list)

static int decode(const void *data, size_t len)
{
    struct bc_stats_iter iter;
    uint32_t count;

    return bc_stats_decode(data, len, &count, &iter);
}

static void encode(struct body *body)
{
    const struct bc_metric_desc metrics[] = {
        {.wire = {.kind = BC_METRIC_GAUGE, .name_len = 200, .reserved = 1, .value = -5},
         .name = bytes_of("bluecache_session_clients_count")},
        {.wire = {.kind = BC_METRIC_HISTOGRAM, .value = 3, .p50 = 10, .p99 = 20, .sum = 36},
         .name = bytes_of("bluecache_transfer_latency_ns")},
    };

    body_init(body);
    assert_int_equal(bc_list_begin_encode(&body->writer, 2), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(bc_metric_encode(&body->writer, &metrics[i]), 0);
    }
}

static void metrics_come_back(void **state)
{
    struct bc_stats_iter iter;
    struct bc_metric_desc metric;
    struct body body;
    uint32_t count;

    (void)state;
    encode(&body);
    assert_int_equal(bc_stats_decode(body.data, body_len(&body), &count, &iter), 0);
    assert_int_equal(count, 2);
    assert_true(bc_stats_next(&iter, &metric));
    assert_bytes(metric.name, "bluecache_session_clients_count");
    assert_true(metric.wire.value == -5);
    assert_true(bc_stats_next(&iter, &metric));
    assert_int_equal(metric.wire.kind, BC_METRIC_HISTOGRAM);
    assert_int_equal(metric.wire.p50, 10);
    assert_int_equal(metric.wire.p99, 20);
    assert_int_equal(metric.wire.sum, 36);
    assert_false(bc_stats_next(&iter, &metric));
}

static void metrics_refuse_each_bad_field(void **state)
{
    const struct damage damage[] = {
        DAMAGE(0, struct bc_wire_list, count, 1, -EBADMSG),
        DAMAGE(0, struct bc_wire_list, count, 3, -EBADMSG),
        DAMAGE(0, struct bc_wire_list, count, UINT32_MAX, -E2BIG),
        DAMAGE(FIRST, struct bc_wire_metric, kind, BC_METRIC_HISTOGRAM + 1, -EBADMSG),
        DAMAGE(FIRST, struct bc_wire_metric, name_len, 0, -EBADMSG),
        DAMAGE(FIRST, struct bc_wire_metric, name_len, 255, -EBADMSG),
        DAMAGE(FIRST, struct bc_wire_metric, reserved, 1, -EBADMSG),
        DAMAGE(FIRST, struct bc_wire_metric, reserved2, 1, -EBADMSG),
    };
    struct body body;

    (void)state;
    encode(&body);
    assert_damage(&body, damage, BC_ARRAY_LEN(damage), decode);
}

static void metric_name_too_long_is_not_encoded(void **state)
{
    static const uint8_t name[256];
    struct bc_metric_desc metric = {.name = {.data = name, .len = sizeof(name)}};
    struct body body;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_metric_encode(&body.writer, &metric), -E2BIG);
    metric.name.len = 255;
    assert_int_equal(bc_metric_encode(&body.writer, &metric), 0);
}

static void metric_without_a_name_is_refused(void **state)
{
    const struct bc_metric_desc metric = {.wire = {.value = 1}};
    struct body body;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_list_begin_encode(&body.writer, 1), 0);
    assert_int_equal(bc_metric_encode(&body.writer, &metric), 0);
    assert_int_equal(decode(body.data, body_len(&body)), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_come_back),
        cmocka_unit_test(metrics_refuse_each_bad_field),
        cmocka_unit_test(metric_name_too_long_is_not_encoded),
        cmocka_unit_test(metric_without_a_name_is_refused),
    };

    return cmocka_run_group_tests_name("proto_stats", tests, NULL, NULL);
}
