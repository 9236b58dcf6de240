/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_ping.c - bluecache ping: round trips of an empty control message. */
#include "cli.h"
#include "histogram.h"
#include "json.h"
#include "units.h"

#include <errno.h>
#include <stdlib.h>

static struct {
    uint64_t count;
    uint64_t interval_ms;
} values = {.count = 10};

static const struct bc_cli_option rows[] = {
    {"count", 'c', BC_CLI_U64, offsetof(__typeof__(values), count), "N", "round trips (10)", 1,
     1000000000, NULL},
    {"interval", 'i', BC_CLI_SECONDS, offsetof(__typeof__(values), interval_ms), "SECONDS",
     "time between two of them (0)", 0, 3600000, NULL},
};

static void report(const struct bc_cli *cli, const struct bc_cli_histogram *times)
{
    char texts[4][BC_CLI_UNITS_LEN];
    uint64_t p50 = bc_cli_histogram_quantile(times, 0.5);
    uint64_t p99 = bc_cli_histogram_quantile(times, 0.99);
    struct bc_json json;

    if (cli->json) {
        bc_json_begin(&json, stdout);
        bc_json_string(&json, "command", "ping");
        bc_json_string(&json, "agent", cli->info.agent);
        bc_json_string(&json, "dpu_addr", cli->info.dpu_addr);
        bc_json_bool(&json, "emulated", cli->info.emulated);
        bc_json_u64(&json, "count", times->count);
        bc_json_u64(&json, "min_ns", times->min);
        bc_json_u64(&json, "p50_ns", p50);
        bc_json_u64(&json, "p99_ns", p99);
        bc_json_u64(&json, "max_ns", times->max);
        bc_json_end(&json);
        return;
    }
    (void)printf("%s at %s%s\n%llu round trips: min %s, p50 %s, p99 %s, max %s\n", cli->info.agent,
                 cli->info.dpu_addr, cli->info.emulated ? " (DMA emulated)" : "",
                 (unsigned long long)times->count, bc_cli_duration(texts[0], times->min),
                 bc_cli_duration(texts[1], p50), bc_cli_duration(texts[2], p99),
                 bc_cli_duration(texts[3], times->max));
}

static int run(struct bc_cli *cli, char **operands, uint32_t count)
{
    struct bc_cli_histogram *times = calloc(1, sizeof(*times));
    int status = times == NULL ? bc_cli_failed(cli, "ping", -ENOMEM) : bc_cli_open(cli);

    (void)operands;
    (void)count;
    for (uint64_t i = 0; status == BC_CLI_DONE && i < values.count && !bc_cli_interrupted(); i++) {
        uint64_t ns;
        int rc = bc_ping(cli->client, 0, &ns);

        if (rc != 0) {
            status = bc_cli_failed(cli, "ping", rc);
            break;
        }
        bc_cli_histogram_add(times, ns);
        if (values.interval_ms > 0 && i + 1 < values.count) {
            bc_cli_sleep_ms(values.interval_ms);
        }
    }
    if (times != NULL && times->count > 0) {
        report(cli, times);
    }
    free(times);
    return status;
}

const struct bc_cli_command bc_cli_ping = {
    .name = "ping",
    .operands = "",
    .summary = "measure the round trip to the agent",
    .details =
        "Sends the agent empty messages, one after the other, and says how long the answers\n"
        "took.\n",
    .options = {.rows = rows, .count = sizeof(rows) / sizeof(rows[0]), .values = &values},
    .operands_min = 0,
    .operands_max = 0,
    .run = run,
};
