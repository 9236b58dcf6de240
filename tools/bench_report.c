/* SPDX-License-Identifier: Apache-2.0 */
/* bench_report.c - the benchmark's results: a table for people, JSON for machines; see bench.h. */
#include "bench.h"

#include "json.h"
#include "units.h"

static const char *const ops[] = {"push", "pull"};

/* Host CPU time of this process, in milliseconds for each GiB moved. */
static double cpu_ms_per_gib(const struct bc_bench_report *report, int op)
{
    double gib = (double)report->results[op].bytes / (double)(UINT64_C(1) << 30);

    return gib > 0 ? (double)report->cpu_ns[op] / 1e6 / gib : 0;
}

static double seconds(const struct bc_bench_report *report, int op)
{
    return report->ns[op] > 0 ? (double)report->ns[op] / 1e9 : 1e-9;
}

static void print_settings(const struct bc_bench *bench)
{
    const struct bc_bench_settings *settings = &bench->settings;
    const struct bc_client_info *info = &bench->cli->info;
    char size[BC_CLI_UNITS_LEN];

    (void)printf("%s at %s%s\n", info->agent, info->dpu_addr,
                 info->emulated ? " (DMA emulated: host CPUs of this machine do the copying)" : "");
    (void)printf(
        "%llu object%s of %s, %llu a request; %llu thread%s with %llu request%s in flight; "
        "%s memory%s%s\n\n",
        (unsigned long long)settings->keys, settings->keys == 1 ? "" : "s",
        bc_cli_size(size, settings->size), (unsigned long long)settings->batch,
        (unsigned long long)settings->threads, settings->threads == 1 ? "" : "s",
        (unsigned long long)settings->depth, settings->depth == 1 ? "" : "s",
        settings->memory == BC_BENCH_SHARED ? "shared" : "malloc",
        settings->fresh ? "; fresh keys each round" : "",
        settings->verify ? "; contents verified, which the rates include" : "");
}

static void print_table(const struct bc_bench *bench, const struct bc_bench_report *report)
{
    print_settings(bench);
    (void)printf("%-5s %10s %12s %12s %10s %10s %10s %12s\n", "", "requests", "requests/s", "rate",
                 "p50", "p99", "max", "CPU ms/GiB");
    for (int op = 0; op < 2; op++) {
        const struct bc_bench_result *result = &report->results[op];
        char texts[5][BC_CLI_UNITS_LEN];

        if (!report->has[op]) {
            continue;
        }
        (void)printf("%-5s %10s %12.1f %12s %10s %10s %10s %12.2f\n", ops[op],
                     bc_cli_number(texts[0], (int64_t)result->requests),
                     (double)result->requests / seconds(report, op),
                     bc_cli_rate(texts[1], result->bytes, report->ns[op]),
                     bc_cli_duration(texts[2], bc_cli_histogram_quantile(&result->times, 0.5)),
                     bc_cli_duration(texts[3], bc_cli_histogram_quantile(&result->times, 0.99)),
                     bc_cli_duration(texts[4], result->times.max), cpu_ms_per_gib(report, op));
    }
    for (int op = 0; op < 2; op++) {
        const struct bc_bench_result *result = &report->results[op];

        if (result->misses > 0 || result->mismatches > 0) {
            (void)printf("%s: %llu objects missed, %llu with wrong contents\n", ops[op],
                         (unsigned long long)result->misses,
                         (unsigned long long)result->mismatches);
        }
    }
}

static void put_settings(struct bc_json *json, const struct bc_bench_settings *settings)
{
    bc_json_object(json, "settings");
    bc_json_u64(json, "size", settings->size);
    bc_json_u64(json, "batch", settings->batch);
    bc_json_u64(json, "depth", settings->depth);
    bc_json_u64(json, "threads", settings->threads);
    bc_json_u64(json, "keys", settings->keys);
    bc_json_string(json, "memory", settings->memory == BC_BENCH_SHARED ? "shared" : "malloc");
    bc_json_bool(json, "verify", settings->verify);
    bc_json_bool(json, "fresh", settings->fresh);
    bc_json_close(json);
}

static void put_result(struct bc_json *json, const struct bc_bench_report *report, int op)
{
    const struct bc_bench_result *result = &report->results[op];
    double time = seconds(report, op);

    bc_json_object(json, NULL);
    bc_json_string(json, "op", ops[op]);
    bc_json_u64(json, "requests", result->requests);
    bc_json_u64(json, "objects", result->objects);
    bc_json_u64(json, "bytes", result->bytes);
    bc_json_real(json, "seconds", time);
    bc_json_real(json, "requests_per_s", (double)result->requests / time);
    bc_json_real(json, "gb_per_s", (double)result->bytes / 1e9 / time);
    bc_json_u64(json, "p50_ns", bc_cli_histogram_quantile(&result->times, 0.5));
    bc_json_u64(json, "p99_ns", bc_cli_histogram_quantile(&result->times, 0.99));
    bc_json_u64(json, "max_ns", result->times.max);
    bc_json_real(json, "cpu_ms_per_gib", cpu_ms_per_gib(report, op));
    bc_json_u64(json, "misses", result->misses);
    bc_json_u64(json, "mismatches", result->mismatches);
    bc_json_close(json);
}

static void print_json(const struct bc_bench *bench, const struct bc_bench_report *report)
{
    const struct bc_client_info *info = &bench->cli->info;
    struct bc_json json;

    bc_json_begin(&json, stdout);
    bc_json_string(&json, "command", "bench");
    bc_json_string(&json, "agent", info->agent);
    bc_json_string(&json, "dpu_addr", info->dpu_addr);
    bc_json_bool(&json, "emulated", info->emulated);
    put_settings(&json, &bench->settings);
    bc_json_array(&json, "results");
    for (int op = 0; op < 2; op++) {
        if (report->has[op]) {
            put_result(&json, report, op);
        }
    }
    bc_json_end(&json);
}

void bc_bench_print(const struct bc_bench *bench, const struct bc_bench_report *report)
{
    if (bench->cli->json) {
        print_json(bench, report);
    } else {
        print_table(bench, report);
    }
}
