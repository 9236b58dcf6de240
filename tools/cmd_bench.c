/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_bench.c - bluecache bench: options, and the order of the phases; see bench.h for the rest. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MS_DEFAULT UINT64_C(5000)

static const char *const op_names[] = {"both", "push", "pull", NULL};
static const char *const memory_names[] = {"shared", "malloc", NULL};

static struct bc_bench_settings values = {
    .size = UINT64_C(1) << 20, .batch = 16, .depth = 2, .threads = 1, .warmup = UINT64_MAX};

#define FIELD(name) offsetof(struct bc_bench_settings, name)

/* clang-format off */
static const struct bc_cli_option rows[] = {
    {"op", 0, BC_CLI_CHOICE, FIELD(op), "OP",
     "push, pull or both, one after the other (both)", 0, 0, op_names},
    {"size", 's', BC_CLI_SIZE, FIELD(size), "SIZE",
     "bytes of an object (1M)", 1, BC_CLIENT_OBJECT_SIZE_MAX, NULL},
    {"batch", 'b', BC_CLI_U64, FIELD(batch), "N", "objects in a request (16)", 1, 65536, NULL},
    {"depth", 0, BC_CLI_U64, FIELD(depth), "N",
     "requests in flight of each thread (2)", 1, 4096, NULL},
    {"threads", 't', BC_CLI_U64, FIELD(threads), "N",
     "threads, each with a connection of its own (1)", 1, 256, NULL},
    {"seconds", 0, BC_CLI_SECONDS, FIELD(ms), "S",
     "measure each operation for so long (5)", 1, 86400000, NULL},
    {"count", 'c', BC_CLI_U64, FIELD(count), "N",
     "measure N requests of each operation instead", 1, INT64_MAX, NULL},
    {"warmup", 0, BC_CLI_U64, FIELD(warmup), "N",
     "requests of each thread before the clock starts (2 x depth)", 0, 1000000000, NULL},
    {"keys", 'k', BC_CLI_U64, FIELD(keys), "N",
     "objects to work on, in whole requests (as many as are in flight)", 1, 100000000, NULL},
    {"fresh", 0, BC_CLI_FLAG, FIELD(fresh), NULL,
     "push objects of new names always, instead of replacing", 0, 0, NULL},
    {"verify", 0, BC_CLI_FLAG, FIELD(verify), NULL,
     "fill every object anew, and check what is pulled", 0, 0, NULL},
    {"memory", 0, BC_CLI_CHOICE, FIELD(memory), "KIND",
     "shared (bc_memory_alloc) or malloc (shared)", 0, 0, memory_names},
    {"prefix", 0, BC_CLI_STRING, FIELD(prefix), "TEXT",
     "what keys begin with (bench/PID)", 0, 0, NULL},
    {"keep", 0, BC_CLI_FLAG, FIELD(keep), NULL, "leave the objects in the store", 0, 0, NULL},
};
/* clang-format on */

/* Sets what was not given. */
static int complete(struct bc_bench_settings *settings, char *prefix, size_t prefix_len)
{
    uint64_t block = settings->threads * settings->batch;
    uint64_t least = block * settings->depth;

    if (settings->ms > 0 && settings->count > 0) {
        return bc_cli_usage("bench", "--seconds and --count exclude each other");
    }
    if (settings->ms == 0 && settings->count == 0) {
        settings->ms = MS_DEFAULT;
    }
    if (settings->warmup == UINT64_MAX) {
        settings->warmup = 2 * settings->depth;
    }
    if (settings->keys == 0) {
        settings->keys = least;
    }
    if (settings->keys < least) {
        return bc_cli_usage("bench",
                            "--keys: at least %llu, as many as are in flight "
                            "(threads x depth x batch)",
                            (unsigned long long)least);
    }
    settings->keys = (settings->keys + block - 1) / block * block;
    if (settings->prefix == NULL) {
        (void)snprintf(prefix, prefix_len, "bench/%ld", (long)getpid());
        settings->prefix = prefix;
    }
    if (strlen(settings->prefix) > 900) {
        return bc_cli_usage("bench", "--prefix: at most 900 bytes");
    }
    return BC_CLI_DONE;
}

static int measure(struct bc_bench *bench, enum bc_bench_phase phase,
                   struct bc_bench_report *report)
{
    int op = phase == BC_BENCH_PULLING ? 1 : 0;
    int status = bc_bench_run(bench, phase, &report->results[op]);

    report->has[op] = report->results[op].requests > 0;
    report->ns[op] = bench->phase_ns;
    report->cpu_ns[op] = bench->cpu_ns;
    return status;
}

/* Pull needs all of its keys, and measures nothing of what it takes to get them there. */
static int run_phases(struct bc_bench *bench, struct bc_bench_report *report)
{
    uint32_t op = bench->settings.op;
    int status = BC_CLI_DONE;

    if (op != BC_BENCH_PULL) {
        status = measure(bench, BC_BENCH_PUSHING, report);
    }
    if (status == BC_CLI_DONE && op != BC_BENCH_PUSH && !bc_bench_stopped(bench)) {
        status = bc_bench_run(bench, BC_BENCH_FILL, &report->results[1]);
    }
    if (status == BC_CLI_DONE && op != BC_BENCH_PUSH && !bc_bench_stopped(bench)) {
        status = measure(bench, BC_BENCH_PULLING, report);
    }
    return status;
}

static int run(struct bc_cli *cli, char **operands, uint32_t count)
{
    struct bc_bench_report *report = calloc(1, sizeof(*report));
    struct bc_bench bench = {.cli = cli};
    char prefix[64];
    int status = complete(&values, prefix, sizeof(prefix));

    (void)operands;
    (void)count;
    if (report == NULL) {
        return bc_cli_failed(cli, "bench", -ENOMEM);
    }
    if (status != BC_CLI_DONE) {
        free(report);
        return status;
    }
    status = bc_bench_open(&bench, cli, &values);
    if (status == BC_CLI_DONE) {
        status = run_phases(&bench, report);
        if (!values.keep && status != BC_CLI_UNREACHABLE) {
            bc_bench_clean(&bench);
        }
        bc_bench_print(&bench, report);
    }
    for (int op = 0; op < 2 && status == BC_CLI_DONE; op++) {
        if (report->results[op].misses > 0 || report->results[op].mismatches > 0) {
            status = BC_CLI_FAILED;
        }
    }
    bc_bench_close(&bench);
    free(report);
    return status;
}

const struct bc_cli_command bc_cli_bench = {
    .name = "bench",
    .operands = "",
    .summary = "measure rates and latencies of pushes and pulls",
    .details =
        "Pushes objects, pulls them, and prints for each the rate, the latency of a request, and\n"
        "the CPU time of this process for each GiB. The objects are removed at the end. Exit\n"
        "status 1 when an object was missed (the store is too small for --keys) or, with\n"
        "--verify, had wrong bytes.\n",
    .options = {.rows = rows, .count = sizeof(rows) / sizeof(rows[0]), .values = &values},
    .operands_min = 0,
    .operands_max = 0,
    .run = run,
};
