/* SPDX-License-Identifier: Apache-2.0 */
/* bench_setup.c - connections, memory and tables of the benchmark's threads; see bench.h. */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "units.h"

#define PAGE_LEN  UINT64_C(4096)
#define ALIGNMENT UINT64_C(64)
#define NAME_ROOM 64u /* behind the prefix: two numbers, a round, separators */

static uint64_t memory_len(const struct bc_bench *bench)
{
    return bench->settings.depth * bench->settings.batch * bench->stride;
}

/* More memory than there is would not fail: the machine would swap, or end some process. */
static bool fits(const struct bc_bench *bench)
{
    long pages = sysconf(_SC_AVPHYS_PAGES);
    uint64_t there = pages > 0 ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) : UINT64_MAX;
    uint64_t share = there / 10 * 9 / bench->settings.threads;
    char texts[2][BC_CLI_UNITS_LEN];

    if (memory_len(bench) > share) {
        bc_cli_error("bench: depth x batch x size is %s of memory for each thread, and %s are free "
                     "for all of them",
                     bc_cli_size(texts[0], memory_len(bench)), bc_cli_size(texts[1], there));
        return false;
    }
    return true;
}

static int check_grant(const struct bc_cli *cli, const struct bc_bench_settings *settings)
{
    const struct bc_client_info *info = &cli->info;

    if (settings->size > info->object_size_max) {
        return bc_cli_usage("bench", "--size: this agent takes objects of at most %llu bytes",
                            (unsigned long long)info->object_size_max);
    }
    if (settings->depth > info->requests_max) {
        return bc_cli_usage("bench", "--depth: this agent takes %u requests in flight",
                            info->requests_max);
    }
    if (settings->batch > info->entries_max) {
        return bc_cli_usage("bench", "--batch: this agent takes %u objects in a request",
                            info->entries_max);
    }
    return BC_CLI_DONE;
}

static int alloc_memory(struct bc_bench_worker *worker)
{
    const struct bc_bench_settings *settings = &worker->bench->settings;
    uint64_t len = memory_len(worker->bench);
    int rc;

    if (settings->memory == BC_BENCH_SHARED) {
        rc = bc_memory_alloc(len, &worker->memory);
    } else {
        rc = -posix_memalign(&worker->memory, PAGE_LEN, len);
    }
    if (rc != 0) {
        worker->memory = NULL;
        return bc_cli_failed(worker->bench->cli, "bench", rc);
    }
    for (uint64_t at = 0; at < len; at += worker->bench->stride) {
        bc_bench_write(worker, at, 0, (char *)worker->memory + at); /* pages are touched as well */
    }
    rc = bc_memory_register(worker->client, worker->memory, len, BC_MEMORY_HOST, 0,
                            &worker->registered);
    return rc == 0 ? BC_CLI_DONE : bc_cli_failed(worker->bench->cli, "bench", rc);
}

static int open_worker(struct bc_bench *bench, uint64_t index)
{
    const struct bc_bench_settings *settings = &bench->settings;
    struct bc_bench_worker *worker = &bench->workers[index];
    int status = BC_CLI_DONE;

    worker->bench = bench;
    worker->index = index;
    worker->blocks = settings->keys / settings->threads / settings->batch;
    worker->slots = calloc(settings->depth, sizeof(*worker->slots));
    worker->entries = calloc(settings->batch, sizeof(*worker->entries));
    worker->names = malloc(settings->batch * bench->name_room);
    worker->rounds = calloc(worker->blocks * settings->batch, sizeof(*worker->rounds));
    if (worker->slots == NULL || worker->entries == NULL || worker->names == NULL ||
        worker->rounds == NULL) {
        return bc_cli_failed(bench->cli, "bench", -ENOMEM);
    }
    if (index == 0) {
        worker->client = bench->cli->client;
    } else {
        status = bc_cli_open_another(bench->cli, &worker->client);
    }
    return status == BC_CLI_DONE ? alloc_memory(worker) : status;
}

int bc_bench_open(struct bc_bench *bench, struct bc_cli *cli,
                  const struct bc_bench_settings *settings)
{
    int status;

    *bench = (struct bc_bench){.cli = cli,
                               .settings = *settings,
                               .name_room = strlen(settings->prefix) + NAME_ROOM,
                               .stride = (settings->size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT,
                               .seed = bc_cli_now_ns() ^ (uint64_t)getpid() << 40};
    if (!fits(bench)) {
        return BC_CLI_FAILED;
    }
    status = bc_cli_open(cli);
    if (status == BC_CLI_DONE) {
        status = check_grant(cli, settings);
    }
    if (status == BC_CLI_DONE) {
        bench->workers = calloc(settings->threads, sizeof(*bench->workers));
        status = bench->workers != NULL ? BC_CLI_DONE : bc_cli_failed(cli, "bench", -ENOMEM);
    }
    for (uint64_t i = 0; status == BC_CLI_DONE && i < settings->threads; i++) {
        status = open_worker(bench, i);
    }
    return status;
}

/* Memory that the DPU may still touch is left to the end of the process. */
static void close_worker(struct bc_bench_worker *worker)
{
    bool shared = worker->bench != NULL && worker->bench->settings.memory == BC_BENCH_SHARED;
    bool ours =
        worker->registered == NULL || bc_memory_unregister(worker->client, worker->registered) == 0;

    if (worker->index > 0 && worker->client != NULL && bc_client_close(worker->client) != 0) {
        ours = false;
    }
    if (ours && shared) {
        bc_memory_free(worker->memory);
    } else if (ours) {
        free(worker->memory);
    }
    free(worker->slots);
    free(worker->entries);
    free(worker->names);
    free(worker->rounds);
}

void bc_bench_close(struct bc_bench *bench)
{
    for (uint64_t i = 0; bench->workers != NULL && i < bench->settings.threads; i++) {
        close_worker(&bench->workers[i]);
    }
    free(bench->workers);
    bench->workers = NULL;
}
