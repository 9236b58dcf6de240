/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_stats.c - bluecache stats: every metric of the agent, grouped by module, in units for people;
 * again and again with --watch. A metric's name says all that is needed to show it:
 * bluecache_<module>_<noun>_<unit>[_total]. */
#include "cli.h"
#include "json.h"
#include "units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "bluecache_"

static struct {
    uint64_t watch_ms;
    uint64_t count;
} values;

static const struct bc_cli_option rows[] = {
    {"watch", 'w', BC_CLI_SECONDS, offsetof(__typeof__(values), watch_ms), "SECONDS",
     "show them again every SECONDS, with what counters gained a second", 10, 86400000, NULL},
    {"count", 'c', BC_CLI_U64, offsetof(__typeof__(values), count), "N",
     "with --watch: end after N times (until interrupted)", 1, UINT32_MAX, NULL},
};

/* ---- what the agent said ------------------------------------------------------------------- */

struct metric {
    struct bc_stat stat;
    char name[256];
    const char *module; /* inside name */
    int module_len;
    const char *noun; /* behind the module */
};

struct snapshot {
    struct metric *metrics;
    size_t count;
    size_t room;
    uint64_t taken_ns;
    bool out_of_memory;
};

static void split_name(struct metric *metric)
{
    const char *end;

    metric->module = metric->name;
    if (strncmp(metric->name, PREFIX, strlen(PREFIX)) == 0) {
        metric->module += strlen(PREFIX);
    }
    end = strchr(metric->module, '_');
    metric->noun = end != NULL ? end + 1 : metric->module;
    metric->module_len =
        (int)(end != NULL ? (size_t)(end - metric->module) : strlen(metric->module));
}

static void collect(void *arg, const struct bc_stat *stat)
{
    struct snapshot *snapshot = arg;
    struct metric *metric;

    if (snapshot->count == snapshot->room) {
        size_t room = snapshot->room == 0 ? 64 : 2 * snapshot->room;
        struct metric *metrics = realloc(snapshot->metrics, room * sizeof(*metrics));

        if (metrics == NULL) {
            snapshot->out_of_memory = true;
            return;
        }
        snapshot->metrics = metrics;
        snapshot->room = room;
    }
    metric = &snapshot->metrics[snapshot->count++];
    *metric = (struct metric){.stat = *stat};
    (void)snprintf(metric->name, sizeof(metric->name), "%s", stat->name);
}

static int take(struct bc_cli *cli, struct snapshot *snapshot)
{
    int rc;

    snapshot->count = 0;
    rc = bc_stats(cli->client, 0, collect, snapshot);
    snapshot->taken_ns = bc_cli_now_ns();
    if (rc == 0 && snapshot->out_of_memory) {
        rc = -ENOMEM;
    }
    for (size_t i = 0; i < snapshot->count; i++) {
        split_name(&snapshot->metrics[i]); /* now that they do not move any more */
    }
    return rc == 0 ? BC_CLI_DONE : bc_cli_failed(cli, "stats", rc);
}

static const struct metric *find(const struct snapshot *snapshot, const char *name)
{
    for (size_t i = 0; i < snapshot->count; i++) {
        if (strcmp(snapshot->metrics[i].name, name) == 0) {
            return &snapshot->metrics[i];
        }
    }
    return NULL;
}

/* ---- for people ---------------------------------------------------------------------------- */

static bool has_unit(const struct metric *metric, const char *unit)
{
    size_t len = strlen(metric->name);
    size_t unit_len = strlen(unit);

    if (len > strlen("_total") && strcmp(metric->name + len - strlen("_total"), "_total") == 0) {
        len -= strlen("_total");
    }
    return len > unit_len && strncmp(metric->name + len - unit_len, unit, unit_len) == 0 &&
           metric->name[len - unit_len - 1] == '_';
}

static const char *show(char *buf, const struct metric *metric, int64_t value)
{
    if (value >= 0 && has_unit(metric, "bytes")) {
        return bc_cli_size(buf, (uint64_t)value);
    }
    if (value >= 0 && (has_unit(metric, "ns") || has_unit(metric, "nanoseconds"))) {
        return bc_cli_duration(buf, (uint64_t)value);
    }
    return bc_cli_number(buf, value);
}

static void print_metric(const struct metric *metric, const struct metric *before, uint64_t ns)
{
    const struct bc_stat *stat = &metric->stat;
    char texts[4][BC_CLI_UNITS_LEN];

    if (stat->kind == BC_STAT_HISTOGRAM) {
        (void)printf("  %-28s %14s", metric->noun, bc_cli_number(texts[0], stat->value));
        if (stat->value > 0) {
            (void)printf("  p50 %s, p99 %s, mean %s", show(texts[1], metric, (int64_t)stat->p50),
                         show(texts[2], metric, (int64_t)stat->p99),
                         show(texts[3], metric, (int64_t)(stat->sum / (uint64_t)stat->value)));
        }
    } else {
        (void)printf("  %-28s %14s", metric->noun, show(texts[0], metric, stat->value));
        if (before != NULL && stat->kind == BC_STAT_COUNTER && ns > 0) {
            double rate = (double)(stat->value - before->stat.value) * 1e9 / (double)ns;

            if (rate > 0 && has_unit(metric, "bytes")) {
                (void)printf("  %s", bc_cli_rate(texts[1], (uint64_t)rate, 1000000000));
            } else if (rate > 0) {
                (void)printf("  %.*f a second", rate < 100 ? 1 : 0, rate);
            }
        }
    }
    (void)printf("\n");
}

static bool same_module(const struct metric *a, const struct metric *b)
{
    return a->module_len == b->module_len &&
           strncmp(a->module, b->module, (size_t)a->module_len) == 0;
}

/* Modules in the order in which they are met first. */
static void print_table(const struct bc_cli *cli, const struct snapshot *now,
                        const struct snapshot *before)
{
    (void)printf("%s at %s%s\n", cli->info.agent, cli->info.dpu_addr,
                 cli->info.emulated ? " (DMA emulated)" : "");
    for (size_t i = 0; i < now->count; i++) {
        const struct metric *first = &now->metrics[i];
        bool known = false;

        for (size_t j = 0; j < i && !known; j++) {
            known = same_module(&now->metrics[j], first);
        }
        if (known) {
            continue;
        }
        (void)printf("\n%.*s\n", first->module_len, first->module);
        for (size_t j = i; j < now->count; j++) {
            const struct metric *metric = &now->metrics[j];

            if (same_module(metric, first)) {
                print_metric(metric, find(before, metric->name), now->taken_ns - before->taken_ns);
            }
        }
    }
    (void)fflush(stdout);
}

/* ---- for machines -------------------------------------------------------------------------- */

static void print_json(const struct bc_cli *cli, const struct snapshot *now)
{
    static const char *const kinds[] = {[BC_STAT_COUNTER] = "counter",
                                        [BC_STAT_GAUGE] = "gauge",
                                        [BC_STAT_HISTOGRAM] = "histogram"};
    struct bc_json json;

    bc_json_begin(&json, stdout);
    bc_json_string(&json, "command", "stats");
    bc_json_string(&json, "agent", cli->info.agent);
    bc_json_string(&json, "dpu_addr", cli->info.dpu_addr);
    bc_json_bool(&json, "emulated", cli->info.emulated);
    bc_json_object(&json, "metrics");
    for (size_t i = 0; i < now->count; i++) {
        const struct bc_stat *stat = &now->metrics[i].stat;

        bc_json_object(&json, now->metrics[i].name);
        bc_json_string(&json, "kind", (uint32_t)stat->kind < 3 ? kinds[stat->kind] : NULL);
        bc_json_i64(&json, stat->kind == BC_STAT_HISTOGRAM ? "count" : "value", stat->value);
        if (stat->kind == BC_STAT_HISTOGRAM) {
            bc_json_u64(&json, "p50", stat->p50);
            bc_json_u64(&json, "p99", stat->p99);
            bc_json_u64(&json, "sum", stat->sum);
        }
        bc_json_close(&json);
    }
    bc_json_end(&json);
}

static int run(struct bc_cli *cli, char **operands, uint32_t count)
{
    struct snapshot snapshots[2] = {{.count = 0}, {.count = 0}};
    bool clear = values.watch_ms > 0 && !cli->json && isatty(STDOUT_FILENO) == 1;
    uint64_t times = values.watch_ms == 0 ? 1 : values.count == 0 ? UINT64_MAX : values.count;
    int status = bc_cli_open(cli);

    (void)operands;
    (void)count;
    for (uint64_t i = 0; status == BC_CLI_DONE && i < times; i++) {
        if (i > 0) {
            bc_cli_sleep_ms(values.watch_ms);
            if (bc_cli_interrupted()) {
                break;
            }
        }
        status = take(cli, &snapshots[i % 2]);
        if (status != BC_CLI_DONE) {
            break;
        }
        if (clear) {
            (void)fputs("\033[H\033[2J", stdout);
        } else if (i > 0 && !cli->json) {
            (void)fputc('\n', stdout);
        }
        if (cli->json) {
            print_json(cli, &snapshots[i % 2]);
        } else {
            print_table(cli, &snapshots[i % 2], &snapshots[(i + 1) % 2]);
        }
        if (ferror(stdout)) {
            break; /* nobody reads any more */
        }
    }
    free(snapshots[0].metrics);
    free(snapshots[1].metrics);
    return status;
}

const struct bc_cli_command bc_cli_stats = {
    .name = "stats",
    .operands = "",
    .summary = "show the agent's counters, gauges and latencies",
    .details = "Shows every metric of the agent, grouped by module.\n",
    .options = {.rows = rows, .count = sizeof(rows) / sizeof(rows[0]), .values = &values},
    .operands_min = 0,
    .operands_max = 0,
    .run = run,
};
