/* SPDX-License-Identifier: Apache-2.0 */
/* stats.c - bc_ping and bc_stats. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "progress.h"
#include "proto/proto.h"

struct ping {
    uint8_t bytes[8];
    uint64_t answered_ns;
};

static int ping_answer(void *arg, const struct bc_message *message)
{
    struct ping *ping = arg;

    if (message->body_len != sizeof(ping->bytes) ||
        memcmp(message->body, ping->bytes, sizeof(ping->bytes)) != 0) {
        return -EBADMSG;
    }
    ping->answered_ns = bc_now_ns();
    return 0;
}

int bc_ping(struct bc_client *client, uint64_t timeout_ms, uint64_t *round_trip_ns_out)
{
    uint64_t deadline_ns = bc_client_deadline(client, timeout_ms);
    struct ping ping = {.bytes = "BlueCch"};
    struct bc_call call = {.type = BC_MSG_PING,
                           .reply_type = BC_MSG_PONG,
                           .body = ping.bytes,
                           .body_len = sizeof(ping.bytes),
                           .answer = ping_answer,
                           .arg = &ping};
    uint64_t start_ns;
    int rc;

    bc_client_lock(client);
    rc = bc_call_wait_session_locked(client,
                                     deadline_ns); /* the wait is no part of the round trip */
    bc_client_unlock(client);
    if (rc != 0) {
        return rc;
    }
    start_ns = bc_now_ns();
    rc = bc_call_run(client, &call, deadline_ns);
    if (rc == 0 && round_trip_ns_out != NULL) {
        *round_trip_ns_out = ping.answered_ns - start_ns;
    }
    return rc;
}

struct stats_body {
    uint8_t *data;
    size_t len;
};

/* The answer is copied: the caller's function must not run under the lock. */
static int stats_answer(void *arg, const struct bc_message *message)
{
    struct stats_body *body = arg;
    struct bc_stats_iter iter;
    uint32_t count;

    if (bc_stats_decode(message->body, message->body_len, &count, &iter) != 0) {
        return -EBADMSG;
    }
    body->data = malloc(message->body_len + 1);
    if (body->data == NULL) {
        return -ENOMEM;
    }
    memcpy(body->data, message->body, message->body_len);
    body->len = message->body_len;
    return 0;
}

static void visit_all(const struct stats_body *body, bc_stat_fn visit, void *arg)
{
    struct bc_metric_desc metric;
    struct bc_stats_iter iter;
    uint32_t count;

    if (bc_stats_decode(body->data, body->len, &count, &iter) != 0) {
        return; /* it was checked when it arrived */
    }
    while (bc_stats_next(&iter, &metric)) {
        char name[UINT8_MAX + 1] = "";
        struct bc_stat stat = {.name = name,
                               .kind = (enum bc_stat_kind)metric.wire.kind,
                               .value = metric.wire.value,
                               .p50 = metric.wire.p50,
                               .p99 = metric.wire.p99,
                               .sum = metric.wire.sum};

        memcpy(name, metric.name.data, metric.name.len < UINT8_MAX ? metric.name.len : UINT8_MAX);
        visit(arg, &stat);
    }
}

int bc_stats(struct bc_client *client, uint64_t timeout_ms, bc_stat_fn visit, void *arg)
{
    struct stats_body body = {0};
    struct bc_call call = {.type = BC_MSG_STATS,
                           .reply_type = BC_MSG_STATS_RESULT,
                           .answer = stats_answer,
                           .arg = &body};
    int rc;

    if (visit == NULL) {
        return -EINVAL;
    }
    rc = bc_call_run(client, &call, bc_client_deadline(client, timeout_ms));
    if (rc == 0) {
        visit_all(&body, visit, arg);
    }
    free(body.data);
    return rc;
}
