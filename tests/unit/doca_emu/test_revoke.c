/* SPDX-License-Identifier: Apache-2.0 */
/* test_revoke.c - once doca_mmap_destroy() has returned SUCCESS nobody writes into the memory any
 * more. */
#include "peer.h"

#include <signal.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RW DOCA_ACCESS_FLAG_PCI_READ_WRITE

struct parts {
    struct doca_dev *host;
    struct peer dpu;
    struct doca_mmap *mmap;
    uint8_t *mem;
    int fd; /* -1: private memory */
};

/* This process exports, the peer imports. */
static void begin(struct parts *parts, bool shared)
{
    const void *blob = NULL;
    struct peer_request request = {.op = PEER_IMPORT};
    setenv("DOCA_EMU_DESTROY_WAIT_MS", "30", 1);
    parts->host = open_device(HOST_PCI);
    parts->fd = -1;
    parts->mem =
        shared ? make_memfd(PEER_LEN, &parts->fd)
               : mmap(NULL, PEER_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fill_pattern(parts->mem, PEER_LEN, 1);
    parts->mmap = make_mmap(parts->host, parts->mem, PEER_LEN, RW);
    assert_ok(doca_mmap_export_pci(parts->mmap, parts->host, &blob, &request.blob_len));
    memcpy(request.blob, blob, request.blob_len);
    peer_start(&parts->dpu, DPU_PCI, NULL);
    struct peer_reply imported = peer_ask(&parts->dpu, request);
    assert_ok(imported.status);
    assert_int_equal(imported.memory, shared ? DOCA_EMU_MEMORY_SHARED : DOCA_EMU_MEMORY_PROCESS_VM);
}

static void end(struct parts *parts)
{
    munmap(parts->mem, PEER_LEN);
    if (parts->fd >= 0) {
        close(parts->fd);
    }
    assert_ok(doca_dev_close(parts->host));
}

static struct peer_request push_of(uint64_t len, uint32_t seed)
{
    return (struct peer_request){.op = PEER_PUSH, .len = len, .seed = seed};
}

static void copies_fail_after_destroy(void **state)
{
    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        struct parts parts;
        begin(&parts, shared);
        assert_ok(peer_ask(&parts.dpu, push_of(1 << 20, 2)).status);
        assert_ok(doca_mmap_destroy(parts.mmap));
        assert_doca(peer_ask(&parts.dpu, push_of(1 << 20, 3)).status, DOCA_ERROR_IO_FAILED);
        struct peer_request pull = {.op = PEER_PULL, .len = 4096, .seed = 2};
        assert_doca(peer_ask(&parts.dpu, pull).status, DOCA_ERROR_IO_FAILED);
        assert_true(check_pattern(parts.mem, 1 << 20, 2));
        peer_quit(&parts.dpu);
        end(&parts);
    }
}

static void stop_in_copy(struct parts *parts)
{
    struct peer_request fault = {
        .op = PEER_FAULT, .fault = DOCA_EMU_FAULT_STOP_IN_COPY, .first = 2};
    struct peer_request push = push_of(1 << 20, 2);
    (void)peer_ask(&parts->dpu, fault);
    peer_send(&parts->dpu, &push);
    peer_wait_stopped(&parts->dpu);
}

static void importer_stopped_in_a_copy_keeps_destroy_in_progress(void **state)
{
    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        struct parts parts;
        uint8_t exported = 0;
        const void *blob = NULL;
        size_t len = 0;
        begin(&parts, shared);
        stop_in_copy(&parts);
        uint64_t start = now_ms();
        assert_doca(doca_mmap_destroy(parts.mmap), DOCA_ERROR_IN_PROGRESS);
        assert_in_range(now_ms() - start, 29, 5000);
        assert_doca(doca_mmap_destroy(parts.mmap), DOCA_ERROR_IN_PROGRESS);
        assert_ok(doca_mmap_get_exported(parts.mmap, &exported));
        assert_int_equal(exported, 1);
        assert_doca(doca_mmap_export_pci(parts.mmap, parts.host, &blob, &len),
                    DOCA_ERROR_NOT_PERMITTED);
        assert_doca(doca_mmap_start(parts.mmap), DOCA_ERROR_NOT_PERMITTED);
        assert_int_equal(kill(parts.dpu.pid, SIGCONT), 0);
        assert_doca(peer_receive(&parts.dpu).status, DOCA_ERROR_IO_FAILED);
        assert_ok(doca_mmap_destroy(parts.mmap));
        /* The first slice had been copied before the stop, none after it. */
        assert_true(check_pattern(parts.mem, 256 << 10, 2));
        fill_pattern(parts.mem, 256 << 10, 1);
        assert_true(check_pattern(parts.mem, PEER_LEN, 1));
        peer_quit(&parts.dpu);
        end(&parts);
    }
}

static void dead_importer_does_not_count(void **state)
{
    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        struct parts parts;
        begin(&parts, shared);
        stop_in_copy(&parts);
        assert_doca(doca_mmap_destroy(parts.mmap), DOCA_ERROR_IN_PROGRESS);
        peer_kill(&parts.dpu);
        assert_ok(doca_mmap_destroy(parts.mmap));
        end(&parts);
    }
}

static void importer_stopped_between_copies_does_not_count(void **state)
{
    (void)state;
    struct parts parts;
    begin(&parts, true);
    assert_int_equal(kill(parts.dpu.pid, SIGSTOP), 0);
    peer_wait_stopped(&parts.dpu);
    assert_ok(doca_mmap_destroy(parts.mmap));
    assert_int_equal(kill(parts.dpu.pid, SIGCONT), 0);
    assert_doca(peer_ask(&parts.dpu, push_of(4096, 3)).status, DOCA_ERROR_IO_FAILED);
    assert_true(check_pattern(parts.mem, PEER_LEN, 1));
    peer_quit(&parts.dpu);
    end(&parts);
}

/* An importer pushes without pause while the exporter destroys and reuses the memory at once. */
static void no_late_write(bool shared)
{
    struct parts parts;
    struct peer_request push = push_of(2 << 20, 77);
    begin(&parts, shared);
    setenv("DOCA_EMU_DESTROY_WAIT_MS", "10000", 1);
    volatile uint8_t *last = parts.mem + (2 << 20) - 1;
    *last = (uint8_t) ~*last;
    uint8_t before = *last;
    push.op = PEER_PUSH_ON;
    peer_send(&parts.dpu, &push);
    uint64_t deadline = now_ms() + 20000;
    while (*last == before && now_ms() < deadline) {
        sched_yield();
    }
    assert_ok(doca_mmap_destroy(parts.mmap));
    memset(parts.mem, 0x5a, PEER_LEN);
    assert_doca(peer_receive(&parts.dpu).status, DOCA_ERROR_IO_FAILED);
    for (size_t i = 0; i < PEER_LEN; i++) {
        assert_int_equal(parts.mem[i], 0x5a);
    }
    peer_quit(&parts.dpu);
    end(&parts);
}

static void destroy_under_constant_writing_lets_no_write_through(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 6; round++) {
        no_late_write(round % 2 == 0);
    }
}

static void slots_run_out_and_come_back(void **state)
{
    (void)state;
    struct doca_dev *host = open_device(HOST_PCI);
    struct doca_dev *dpu = open_device(DPU_PCI);
    uint8_t *mem = calloc(1, 4096);
    struct doca_mmap *exported = make_mmap(host, mem, 4096, RW);
    struct doca_mmap *imports[60];
    struct doca_mmap *one_more = NULL;
    const void *blob = NULL;
    size_t len = 0;
    assert_ok(doca_mmap_export_pci(exported, host, &blob, &len));
    for (size_t i = 0; i < 60; i++) {
        assert_ok(doca_mmap_create_from_export(NULL, blob, len, dpu, &imports[i]));
    }
    assert_doca(doca_mmap_create_from_export(NULL, blob, len, dpu, &one_more),
                DOCA_ERROR_NO_MEMORY);
    assert_ok(doca_mmap_destroy(imports[7]));
    assert_ok(doca_mmap_create_from_export(NULL, blob, len, dpu, &imports[7]));
    for (size_t i = 0; i < 60; i++) {
        assert_ok(doca_mmap_destroy(imports[i]));
    }
    assert_ok(doca_mmap_destroy(exported));
    assert_ok(doca_dev_close(dpu));
    assert_ok(doca_dev_close(host));
    free(mem);
}

static void stale_descriptor_is_refused_however_many_exports_follow(void **state)
{
    (void)state;
    struct doca_dev *host = open_device(HOST_PCI);
    struct doca_dev *dpu = open_device(DPU_PCI);
    uint8_t *mem = calloc(1, 4096);
    uint8_t stale[PEER_BLOB];
    struct doca_mmap *import = NULL;
    const void *blob = NULL;
    size_t len = 0;
    /* More than an arena of control pages holds. */
    for (unsigned i = 0; i < 4500; i++) {
        struct doca_mmap *exported = make_mmap(host, mem, 4096, RW);
        assert_ok(doca_mmap_export_pci(exported, host, &blob, &len));
        if (i == 0) {
            memcpy(stale, blob, len);
        }
        assert_ok(doca_mmap_destroy(exported));
    }
    assert_true(DOCA_IS_ERROR(doca_mmap_create_from_export(NULL, stale, len, dpu, &import)));
    assert_ok(doca_dev_close(dpu));
    assert_ok(doca_dev_close(host));
    free(mem);
}

int main(int argc, char **argv)
{
    peer_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_fail_after_destroy),
        cmocka_unit_test(importer_stopped_in_a_copy_keeps_destroy_in_progress),
        cmocka_unit_test(dead_importer_does_not_count),
        cmocka_unit_test(importer_stopped_between_copies_does_not_count),
        cmocka_unit_test(destroy_under_constant_writing_lets_no_write_through),
        cmocka_unit_test(slots_run_out_and_come_back),
        cmocka_unit_test(stale_descriptor_is_refused_however_many_exports_follow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
