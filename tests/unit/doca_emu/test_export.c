/* SPDX-License-Identifier: Apache-2.0 */
/* test_export.c - export in one process, import and DMA in another, for every kind of memory; and
 * what is refused. */
#include "peer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RW DOCA_ACCESS_FLAG_PCI_READ_WRITE
#define RO DOCA_ACCESS_FLAG_PCI_READ_ONLY

struct pair {
    struct peer host;
    struct peer dpu;
    struct peer_reply exported;
};

static void start_pair(struct pair *pair, enum peer_memory kind, uint32_t permissions,
                       const char *host_env)
{
    peer_start(&pair->host, HOST_PCI, host_env);
    peer_start(&pair->dpu, DPU_PCI, NULL);
    pair->exported = peer_ask(
        &pair->host, (struct peer_request){
                         .op = PEER_EXPORT, .kind = kind, .permissions = permissions, .seed = 1});
    assert_ok(pair->exported.status);
}

static struct peer_reply import(struct pair *pair)
{
    struct peer_request request = {.op = PEER_IMPORT, .blob_len = pair->exported.blob_len};
    memcpy(request.blob, pair->exported.blob, request.blob_len);
    return peer_ask(&pair->dpu, request);
}

static struct peer_reply pull(struct pair *pair, uint64_t offset, uint64_t len, uint32_t seed)
{
    return peer_ask(&pair->dpu, (struct peer_request){
                                    .op = PEER_PULL, .offset = offset, .len = len, .seed = seed});
}

static struct peer_reply push(struct pair *pair, uint64_t offset, uint64_t len, uint32_t seed)
{
    return peer_ask(&pair->dpu, (struct peer_request){
                                    .op = PEER_PUSH, .offset = offset, .len = len, .seed = seed});
}

static void end_pair(struct pair *pair)
{
    assert_ok(peer_ask(&pair->dpu, (struct peer_request){.op = PEER_DESTROY}).status);
    assert_ok(peer_ask(&pair->host, (struct peer_request){.op = PEER_DESTROY}).status);
    peer_quit(&pair->dpu);
    peer_quit(&pair->host);
}

/* The exporter's addresses are used by the importer, both ways. */
static void round_trip(enum peer_memory kind, const char *host_env, enum doca_emu_memory expected)
{
    struct pair pair;
    start_pair(&pair, kind, RW, host_env);
    struct peer_reply imported = import(&pair);
    assert_ok(imported.status);
    assert_int_equal(imported.addr, pair.exported.addr);
    assert_int_equal(pair.exported.memory, expected);
    assert_int_equal(imported.memory, expected);
    struct peer_reply pulled = pull(&pair, 0, 2 << 20, 1);
    assert_ok(pulled.status);
    assert_true(pulled.match);
    assert_ok(push(&pair, 1000001, 700001, 9).status);
    struct peer_request check = {.op = PEER_CHECK, .offset = 1000001, .len = 700001, .seed = 9};
    assert_true(peer_ask(&pair.host, check).match);
    check = (struct peer_request){.op = PEER_CHECK, .offset = 0, .len = 1000001, .seed = 1};
    assert_true(peer_ask(&pair.host, check).match);
    /* What the exporter writes later is seen as well. */
    (void)peer_ask(&pair.host, (struct peer_request){.op = PEER_FILL, .seed = 5});
    assert_true(pull(&pair, 0, 65536, 5).match);
    end_pair(&pair);
}

static void malloc_memory_is_copied_by_system_calls(void **state)
{
    (void)state;
    round_trip(PEER_MALLOC, NULL, DOCA_EMU_MEMORY_PROCESS_VM);
}

static void memfd_memory_is_mapped(void **state)
{
    (void)state;
    round_trip(PEER_MEMFD, NULL, DOCA_EMU_MEMORY_SHARED);
}

static void dmabuf_range_is_mapped(void **state)
{
    (void)state;
    round_trip(PEER_DMABUF_MEMFD, NULL, DOCA_EMU_MEMORY_SHARED);
}

static void unsealable_memfd_is_not_mapped(void **state)
{
    (void)state;
    round_trip(PEER_SHARED_UNSEAL, NULL, DOCA_EMU_MEMORY_PROCESS_VM);
}

static void anonymous_memory_is_remapped_on_request(void **state)
{
    (void)state;
    round_trip(PEER_ANON, "DOCA_EMU_REMAP_ANON=1", DOCA_EMU_MEMORY_SHARED);
    round_trip(PEER_ANON, NULL, DOCA_EMU_MEMORY_PROCESS_VM);
}

static void write_to_read_only_export_fails(void **state)
{
    (void)state;
    static const enum peer_memory kinds[] = {PEER_MALLOC, PEER_MEMFD};
    for (size_t i = 0; i < 2; i++) {
        struct pair pair;
        start_pair(&pair, kinds[i], RO, NULL);
        assert_ok(import(&pair).status);
        assert_doca(push(&pair, 0, 4096, 2).status, DOCA_ERROR_IO_FAILED);
        struct peer_reply pulled = pull(&pair, 0, 1 << 20, 1);
        assert_ok(pulled.status);
        assert_true(pulled.match);
        end_pair(&pair);
    }
}

static void dead_exporter_fails_copies(void **state)
{
    (void)state;
    static const enum peer_memory kinds[] = {PEER_MALLOC, PEER_MEMFD, PEER_DMABUF_MEMFD};
    for (size_t i = 0; i < 3; i++) {
        struct pair pair;
        start_pair(&pair, kinds[i], RW, NULL);
        assert_ok(import(&pair).status);
        assert_ok(pull(&pair, 0, 4096, 1).status);
        peer_kill(&pair.host);
        assert_doca(pull(&pair, 0, 1 << 20, 1).status, DOCA_ERROR_IO_FAILED);
        assert_doca(push(&pair, 0, 4096, 1).status, DOCA_ERROR_IO_FAILED);
        assert_ok(peer_ask(&pair.dpu, (struct peer_request){.op = PEER_DESTROY}).status);
        assert_doca(import(&pair).status, DOCA_ERROR_DRIVER);
        peer_quit(&pair.dpu);
    }
}

static void exporter_that_execs_takes_its_private_memory_along(void **state)
{
    (void)state;
    struct pair pair;
    start_pair(&pair, PEER_MALLOC, RW, NULL);
    assert_ok(import(&pair).status);
    assert_ok(peer_ask(&pair.host, (struct peer_request){.op = PEER_EXEC}).status);
    assert_doca(pull(&pair, 0, 4096, 1).status, DOCA_ERROR_IO_FAILED);
    assert_doca(push(&pair, 0, 4096, 1).status, DOCA_ERROR_IO_FAILED);
    assert_ok(peer_ask(&pair.dpu, (struct peer_request){.op = PEER_DESTROY}).status);
    /* The new image exports under the same pid and start time. */
    pair.exported = peer_ask(
        &pair.host, (struct peer_request){
                        .op = PEER_EXPORT, .kind = PEER_MALLOC, .permissions = RW, .seed = 1});
    assert_ok(import(&pair).status);
    assert_true(pull(&pair, 0, 4096, 1).match);
    end_pair(&pair);
}

static void unmapped_memory_fails_copies(void **state)
{
    (void)state;
    struct pair pair;
    start_pair(&pair, PEER_ANON, RW, NULL);
    assert_ok(import(&pair).status);
    (void)peer_ask(&pair.host,
                   (struct peer_request){.op = PEER_UNMAP, .offset = 1 << 20, .len = 65536});
    assert_doca(pull(&pair, (1 << 20) - 4096, 8192, 1).status, DOCA_ERROR_IO_FAILED);
    assert_doca(push(&pair, (1 << 20) + 4096, 8192, 1).status, DOCA_ERROR_IO_FAILED);
    assert_true(pull(&pair, 0, 1 << 20, 1).match);
    end_pair(&pair);
}

static void wrong_function_or_world_is_refused(void **state)
{
    (void)state;
    struct pair pair;
    start_pair(&pair, PEER_MALLOC, RW, "DOCA_EMU_WORLD=elsewhere");
    assert_doca(import(&pair).status, DOCA_ERROR_DRIVER);
    peer_quit(&pair.dpu);
    peer_start(&pair.dpu, DPU_PCI, "DOCA_EMU_WORLD=elsewhere");
    assert_ok(import(&pair).status);
    end_pair(&pair);
    peer_start(&pair.dpu, HOST_PCI, NULL);
    assert_doca(import(&pair).status, DOCA_ERROR_NOT_SUPPORTED);
    peer_quit(&pair.dpu);
}

static void garbage_is_refused_and_never_harms(void **state)
{
    (void)state;
    struct peer host;
    struct doca_dev *dev = open_device(DPU_PCI);
    struct doca_mmap *mmap = NULL;
    uint8_t bytes[2048];
    peer_start(&host, HOST_PCI, NULL);
    struct peer_reply exported = peer_ask(
        &host,
        (struct peer_request){.op = PEER_EXPORT, .kind = PEER_MEMFD, .permissions = RW, .seed = 1});
    const doca_error_t bad = DOCA_ERROR_INVALID_VALUE;
    /* Every single bit flipped, every shorter and some longer lengths, and noise. */
    for (size_t bit = 0; bit < exported.blob_len * 8; bit++) {
        memcpy(bytes, exported.blob, exported.blob_len);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_doca(doca_mmap_create_from_export(NULL, bytes, exported.blob_len, dev, &mmap), bad);
    }
    for (size_t len = 0; len < sizeof(bytes); len++) {
        fill_pattern(bytes, sizeof(bytes), (uint32_t)len);
        assert_doca(doca_mmap_create_from_export(NULL, bytes, len, dev, &mmap), bad);
        memcpy(bytes, exported.blob, exported.blob_len);
        if (len != exported.blob_len) {
            assert_doca(doca_mmap_create_from_export(NULL, bytes, len, dev, &mmap), bad);
        }
    }
    assert_doca(doca_mmap_create_from_export(NULL, NULL, 184, dev, &mmap), bad);
    assert_doca(doca_mmap_create_from_export(NULL, exported.blob, exported.blob_len, NULL, &mmap),
                bad);
    assert_ok(doca_mmap_create_from_export(NULL, exported.blob, exported.blob_len, dev, &mmap));
    assert_ok(doca_mmap_destroy(mmap));
    assert_ok(doca_dev_close(dev));
    peer_quit(&host);
}

static void set_crc(uint8_t *blob, size_t len)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len - 4; i++) {
        crc ^= blob[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1u)));
        }
    }
    crc = ~crc;
    memcpy(blob + len - 4, &crc, 4);
}

/* A liar who knows the format: one field wrong, the checksum right. Some bits are unused. */
static void forged_descriptor_never_harms(void **state)
{
    (void)state;
    struct peer host;
    struct doca_dev *dev = open_device(DPU_PCI);
    unsigned accepted = 0;
    peer_start(&host, HOST_PCI, NULL);
    struct peer_reply exported = peer_ask(
        &host,
        (struct peer_request){.op = PEER_EXPORT, .kind = PEER_MEMFD, .permissions = RW, .seed = 1});
    const size_t len = exported.blob_len;
    for (size_t bit = 0; bit < (len - 4) * 8; bit++) {
        struct doca_mmap *mmap = NULL;
        uint8_t bytes[PEER_BLOB];
        memcpy(bytes, exported.blob, len);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        set_crc(bytes, len);
        if (doca_mmap_create_from_export(NULL, bytes, len, dev, &mmap) == DOCA_SUCCESS) {
            accepted++;
            assert_ok(doca_mmap_destroy(mmap));
        }
    }
    assert_in_range(accepted, 1, 67 * 8);
    assert_ok(doca_dev_close(dev));
    peer_quit(&host);
}

static void one_export_serves_several_importers(void **state)
{
    (void)state;
    struct pair pair;
    struct pair second;
    start_pair(&pair, PEER_MEMFD, RW, NULL);
    second = pair;
    peer_start(&second.dpu, DPU_PCI, NULL);
    assert_ok(import(&pair).status);
    assert_ok(import(&second).status);
    assert_ok(push(&pair, 0, 4096, 8).status);
    assert_true(pull(&second, 0, 4096, 8).match);
    assert_ok(peer_ask(&second.dpu, (struct peer_request){.op = PEER_DESTROY}).status);
    assert_true(pull(&pair, 0, 4096, 8).match);
    peer_quit(&second.dpu);
    end_pair(&pair);
}

int main(int argc, char **argv)
{
    peer_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malloc_memory_is_copied_by_system_calls),
        cmocka_unit_test(memfd_memory_is_mapped),
        cmocka_unit_test(dmabuf_range_is_mapped),
        cmocka_unit_test(unsealable_memfd_is_not_mapped),
        cmocka_unit_test(anonymous_memory_is_remapped_on_request),
        cmocka_unit_test(write_to_read_only_export_fails),
        cmocka_unit_test(dead_exporter_fails_copies),
        cmocka_unit_test(exporter_that_execs_takes_its_private_memory_along),
        cmocka_unit_test(unmapped_memory_fails_copies),
        cmocka_unit_test(wrong_function_or_world_is_refused),
        cmocka_unit_test(garbage_is_refused_and_never_harms),
        cmocka_unit_test(forged_descriptor_never_harms),
        cmocka_unit_test(one_export_serves_several_importers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
