/* SPDX-License-Identifier: Apache-2.0 */
/* emu_loop.c - the limit that the agent is compared with: the same DMA engine, two processes, the
 * same kinds of memory, chunks and depth, and nothing else. No control channel, no store, no
 * checksums, nobody to answer.
 *
 *   emu_loop [memory=shared|malloc|huge] [ring=BYTES] [depth=TASKS] [chunk=BYTES]
 *
 *   round COUNT SIZE REQUESTS SEED
 *       Copies REQUESTS times COUNT blocks of SIZE bytes from the host's process, then all of them
 *       back; the tasks of one request are drained before the next one starts. The host's process
 *       overwrites what a request has copied from it before the next one, and the clock stands
 *       still meanwhile. Everything is checked.
 *
 * Tasks and bufs are made once and only pointed elsewhere, which is the least that the API allows.
 * The loop polls; the host's process sleeps meanwhile. */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <doca_buf.h>
#include <doca_buf_inventory.h>
#include <doca_ctx.h>
#include <doca_dev.h>
#include <doca_dma.h>
#include <doca_error.h>
#include <doca_mmap.h>
#include <doca_pe.h>

#include "emu_device.h"
#include "harness.h"
#include "host_side.h"
#include "ring.h"

#define HOST_PCI  "0000:ba:00.0"
#define DPU_PCI   "0000:03:00.0"
#define DEPTH_MAX 4096u
#define PAUSES    32u
#define WAIT_NS   (60 * BC_HARNESS_NS_PER_S)

struct slot {
    struct doca_buf *local;
    struct doca_buf *remote;
    struct doca_dma_task_memcpy *task;
};

struct engine {
    struct bc_host_side host;
    struct doca_dev *dev;
    struct doca_pe *pe;
    struct doca_dma *dma;
    struct doca_mmap *local_mmap;
    struct doca_mmap *remote_mmap;
    struct doca_buf_inventory *inventory;
    uint8_t *ring;
    uint64_t ring_len;
    uint64_t chunk;
    uint32_t depth;
    struct slot *slots;
    uint32_t *free_slots;
    uint32_t free_count;
    bool failed;
};

static struct doca_mmap *make_mmap(struct doca_dev *dev, void *addr, size_t len, uint32_t rights)
{
    struct doca_mmap *mmap = NULL;

    bc_doca_must(doca_mmap_create(&mmap), "doca_mmap_create");
    bc_doca_must(doca_mmap_add_dev(mmap, dev), "doca_mmap_add_dev");
    bc_doca_must(doca_mmap_set_memrange(mmap, addr, len), "doca_mmap_set_memrange");
    bc_doca_must(doca_mmap_set_permissions(mmap, rights), "doca_mmap_set_permissions");
    bc_doca_must(doca_mmap_start(mmap), "doca_mmap_start");
    return mmap;
}

/* In the host's process. Its mmap lives as long as that process. */
static uint32_t export_ring(void *ring, size_t len, uint8_t desc[BC_HOST_SIDE_DESC_MAX])
{
    struct doca_dev *dev = bc_doca_open_device(HOST_PCI);
    struct doca_mmap *mmap = make_mmap(
        dev, ring, len, DOCA_ACCESS_FLAG_LOCAL_READ_WRITE | DOCA_ACCESS_FLAG_PCI_READ_WRITE);
    const void *exported = NULL;
    size_t exported_len = 0;

    bc_doca_must(doca_mmap_export_pci(mmap, dev, &exported, &exported_len), "doca_mmap_export_pci");
    if (exported_len > BC_HOST_SIDE_DESC_MAX) {
        bc_harness_fail("the export descriptor has %zu bytes", exported_len);
    }
    memcpy(desc, exported, exported_len);
    return (uint32_t)exported_len;
}

/* ---- set-up --------------------------------------------------------------------------------- */

static void copy_done(struct doca_dma_task_memcpy *task, union doca_data task_data,
                      union doca_data ctx_data)
{
    struct engine *engine = ctx_data.ptr;

    (void)task;
    engine->free_slots[engine->free_count++] = (uint32_t)task_data.u64;
}

static void copy_failed(struct doca_dma_task_memcpy *task, union doca_data task_data,
                        union doca_data ctx_data)
{
    struct engine *engine = ctx_data.ptr;

    engine->failed = true;
    copy_done(task, task_data, ctx_data);
}

static void start_context(struct engine *engine)
{
    struct doca_ctx *ctx;

    bc_doca_must(doca_pe_create(&engine->pe), "doca_pe_create");
    bc_doca_must(doca_dma_create(engine->dev, &engine->dma), "doca_dma_create");
    ctx = doca_dma_as_ctx(engine->dma);
    bc_doca_must(doca_pe_connect_ctx(engine->pe, ctx), "doca_pe_connect_ctx");
    bc_doca_must(doca_dma_task_memcpy_set_conf(engine->dma, copy_done, copy_failed, engine->depth),
                 "doca_dma_task_memcpy_set_conf");
    bc_doca_must(doca_ctx_set_user_data(ctx, (union doca_data){.ptr = engine}),
                 "doca_ctx_set_user_data");
    bc_doca_must(doca_ctx_start(ctx), "doca_ctx_start");
}

static void make_slots(struct engine *engine)
{
    void *remote = (void *)(uintptr_t)engine->host.addr;

    engine->slots = calloc(engine->depth, sizeof(*engine->slots));
    engine->free_slots = calloc(engine->depth, sizeof(*engine->free_slots));
    if (engine->slots == NULL || engine->free_slots == NULL) {
        bc_harness_fail("no memory for %u tasks", engine->depth);
    }
    bc_doca_must(doca_buf_inventory_create((size_t)2 * engine->depth, &engine->inventory),
                 "doca_buf_inventory_create");
    bc_doca_must(doca_buf_inventory_start(engine->inventory), "doca_buf_inventory_start");
    for (uint32_t i = 0; i < engine->depth; i++) {
        struct slot *slot = &engine->slots[i];

        bc_doca_must(doca_buf_inventory_buf_get_by_addr(engine->inventory, engine->local_mmap,
                                                        engine->ring, engine->ring_len,
                                                        &slot->local),
                     "a local buf");
        bc_doca_must(doca_buf_inventory_buf_get_by_addr(engine->inventory, engine->remote_mmap,
                                                        remote, engine->ring_len, &slot->remote),
                     "a remote buf");
        bc_doca_must(doca_dma_task_memcpy_alloc_init(engine->dma, slot->remote, slot->local,
                                                     (union doca_data){.u64 = i}, &slot->task),
                     "doca_dma_task_memcpy_alloc_init");
        engine->free_slots[engine->free_count++] = i;
    }
}

static void open_engine(struct engine *engine, int argc, char **argv)
{
    const char *kind = bc_harness_text(argc, argv, "memory", "shared");

    engine->ring_len = bc_harness_number(argc, argv, "ring", 512 * BC_HARNESS_MIB);
    engine->depth = (uint32_t)bc_harness_number(argc, argv, "depth", 8);
    engine->chunk = bc_harness_number(argc, argv, "chunk", BC_HARNESS_MIB);
    if (engine->depth == 0 || engine->depth > DEPTH_MAX || engine->chunk == 0) {
        bc_harness_fail("depth or chunk is out of range");
    }
    bc_host_side_start(&engine->host, kind, engine->ring_len, export_ring);
    engine->ring = bc_ring_alloc_pool(engine->ring_len);
    engine->dev = bc_doca_open_device(DPU_PCI);
    engine->local_mmap =
        make_mmap(engine->dev, engine->ring, engine->ring_len, DOCA_ACCESS_FLAG_LOCAL_READ_WRITE);
    bc_doca_must(doca_mmap_create_from_export(NULL, engine->host.desc, engine->host.desc_len,
                                              engine->dev, &engine->remote_mmap),
                 "doca_mmap_create_from_export");
    start_context(engine);
    make_slots(engine);
}

/* ---- the loop ------------------------------------------------------------------------------- */

static inline void relax(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static void progress(struct engine *engine, uint64_t end_ns)
{
    if (doca_pe_progress(engine->pe) != 0) {
        return;
    }
    /* Two virtual processors may be one core: a pause leaves it to the thread that copies. And who wakes a
     * thread up often has it beside itself on one processor, for milliseconds, unless it yields. */
    for (unsigned i = 0; i < PAUSES; i++) {
        relax();
    }
    (void)sched_yield();
    if (bc_harness_now_ns() > end_ns) {
        bc_harness_fail("a copy does not end");
    }
}

static void submit(struct engine *engine, bool from_host, uint64_t offset, uint64_t len)
{
    struct slot *slot = &engine->slots[engine->free_slots[--engine->free_count]];
    uint8_t *remote = (uint8_t *)(uintptr_t)engine->host.addr + offset;

    (void)doca_buf_set_data(slot->remote, remote, from_host ? len : 0);
    (void)doca_buf_set_data(slot->local, engine->ring + offset, from_host ? 0 : len);
    doca_dma_task_memcpy_set_src(slot->task, from_host ? slot->remote : slot->local);
    doca_dma_task_memcpy_set_dst(slot->task, from_host ? slot->local : slot->remote);
    bc_doca_must(doca_task_submit(doca_dma_task_memcpy_as_task(slot->task)), "doca_task_submit");
}

static void run_request(struct engine *engine, bool from_host, uint64_t offset, uint64_t count,
                        uint64_t size)
{
    uint64_t end_ns = bc_harness_now_ns() + WAIT_NS;

    for (uint64_t i = 0; i < count; i++) {
        for (uint64_t at = 0; at < size; at += engine->chunk) {
            uint64_t len = size - at < engine->chunk ? size - at : engine->chunk;

            while (engine->free_count == 0) {
                progress(engine, end_ns);
            }
            submit(engine, from_host, offset + i * size + at, len);
        }
    }
    while (engine->free_count < engine->depth) {
        progress(engine, end_ns);
    }
    if (engine->failed) {
        bc_harness_fail("a copy failed");
    }
}

static uint64_t run(struct engine *engine, bool from_host, uint64_t count, uint64_t size,
                    uint64_t requests)
{
    uint64_t total_ns = 0;

    for (uint64_t i = 0; i < requests; i++) {
        uint64_t offset = i * count * size;
        uint64_t begin_ns = bc_harness_now_ns();

        run_request(engine, from_host, offset, count, size);
        total_ns += bc_harness_now_ns() - begin_ns;
        if (from_host) {
            bc_host_side_spoil(&engine->host, offset, count * size);
        }
    }
    return total_ns;
}

static void do_round(struct engine *engine, const char *line)
{
    uint64_t count;
    uint64_t size;
    uint64_t requests;
    uint64_t seed;
    uint64_t bytes;
    uint64_t push_ns;
    uint64_t pull_ns;

    if (sscanf(line, "round %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &count, &size, &requests,
               &seed) != 4) {
        bc_harness_fail("round takes four numbers");
    }
    bytes = count * size * requests;
    if (bytes == 0 || bytes > engine->ring_len || size % 8 != 0) {
        bc_harness_fail("round: more than the ring holds");
    }
    /* In this order: the caches hold the source, as after an application has made its data. */
    bc_ring_spoil(engine->ring, engine->ring_len);
    bc_host_side_fill(&engine->host, seed);
    push_ns = run(engine, true, count, size, requests);
    if (!bc_ring_check(engine->ring, bytes, seed, 0)) {
        bc_harness_fail("other bytes came from the host");
    }
    bc_ring_fill(engine->ring, engine->ring_len, seed + 1, 0);
    bc_host_side_spoil(&engine->host, 0, engine->ring_len);
    pull_ns = run(engine, false, count, size, requests);
    if (bytes == engine->ring_len && !bc_host_side_check(&engine->host, seed + 1)) {
        bc_harness_fail("other bytes came to the host");
    }
    bc_harness_answer("{\"bytes\": %" PRIu64 ", \"push_ns\": %" PRIu64 ", \"pull_ns\": %" PRIu64
                      "}",
                      bytes, push_ns, pull_ns);
}

int main(int argc, char **argv)
{
    struct engine engine = {0};
    char line[BC_HARNESS_LINE_MAX];

    open_engine(&engine, argc, argv);
    bc_harness_answer("{\"ready\": true, \"pool\": \"%s\"}", bc_ring_pages(engine.ring));
    while (bc_harness_command(line)) {
        if (strncmp(line, "round ", 6) != 0) {
            bc_harness_fail("%s: no such command", line);
        }
        do_round(&engine, line);
    }
    return EXIT_SUCCESS;
}
