/* SPDX-License-Identifier: Apache-2.0 */
/* fixture.c - set-up that most tests share. */
#include "fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 20000u

uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

struct doca_dev *open_device(const char *pci)
{
    struct doca_devinfo **list = NULL;
    struct doca_dev *dev = NULL;
    uint32_t count = 0;
    assert_ok(doca_devinfo_create_list(&list, &count));
    for (uint32_t i = 0; i < count && dev == NULL; i++) {
        uint8_t equal = 0;
        assert_ok(doca_devinfo_is_equal_pci_addr(list[i], pci, &equal));
        if (equal) {
            assert_ok(doca_dev_open(list[i], &dev));
        }
    }
    assert_ok(doca_devinfo_destroy_list(list));
    return dev;
}

struct doca_mmap *make_mmap(struct doca_dev *dev, void *addr, size_t len, uint32_t permissions)
{
    struct doca_mmap *mmap = NULL;
    assert_ok(doca_mmap_create(&mmap));
    assert_ok(doca_mmap_add_dev(mmap, dev));
    assert_ok(doca_mmap_set_memrange(mmap, addr, len));
    assert_ok(doca_mmap_set_permissions(mmap, permissions));
    assert_ok(doca_mmap_start(mmap));
    return mmap;
}

static uint8_t pattern_at(size_t i, uint32_t seed)
{
    uint32_t x = ((uint32_t)i + seed * 2654435761u) * 2246822519u;
    return (uint8_t)(x >> 24 ^ x >> 8);
}

void fill_pattern(uint8_t *bytes, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++) {
        bytes[i] = pattern_at(i, seed);
    }
}

bool check_pattern(const uint8_t *bytes, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != pattern_at(i, seed)) {
            return false;
        }
    }
    return true;
}

uint8_t *make_memfd(size_t len, int *fd_out)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)len), 0);
    uint8_t *mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(mem != MAP_FAILED);
    *fd_out = fd;
    return mem;
}

static void record(struct doca_dma_task_memcpy *copy, union doca_data ctx_user_data)
{
    struct rig *rig = ctx_user_data.ptr;
    struct doca_task *task = doca_dma_task_memcpy_as_task(copy);
    rig->last_status = doca_task_get_status(task);
    if (rig->completed < 64) {
        rig->order[rig->completed] = doca_task_get_user_data(task).u64;
    }
    rig->completed++;
    if (!rig->keep_tasks) {
        doca_task_free(task);
    }
}

static void done_cb(struct doca_dma_task_memcpy *copy, union doca_data task_user_data,
                    union doca_data ctx_user_data)
{
    (void)task_user_data;
    record(copy, ctx_user_data);
}

static void error_cb(struct doca_dma_task_memcpy *copy, union doca_data task_user_data,
                     union doca_data ctx_user_data)
{
    (void)task_user_data;
    ((struct rig *)ctx_user_data.ptr)->failed++;
    record(copy, ctx_user_data);
}

void rig_init(struct rig *rig, const char *pci, size_t mem_len, uint32_t num_tasks)
{
    union doca_data self = {.ptr = rig};
    memset(rig, 0, sizeof(*rig));
    rig->dev = open_device(pci);
    assert_non_null(rig->dev);
    rig->mem_len = mem_len;
    rig->mem = aligned_alloc(4096, (mem_len + 4095) / 4096 * 4096);
    assert_non_null(rig->mem);
    memset(rig->mem, 0, mem_len);
    rig->local = make_mmap(rig->dev, rig->mem, mem_len, DOCA_ACCESS_FLAG_LOCAL_READ_WRITE);
    assert_ok(doca_buf_inventory_create(256, &rig->inventory));
    assert_ok(doca_buf_inventory_start(rig->inventory));
    assert_ok(doca_pe_create(&rig->pe));
    assert_ok(doca_dma_create(rig->dev, &rig->dma));
    rig->ctx = doca_dma_as_ctx(rig->dma);
    assert_ok(doca_pe_connect_ctx(rig->pe, rig->ctx));
    assert_ok(doca_dma_task_memcpy_set_conf(rig->dma, done_cb, error_cb, num_tasks));
    assert_ok(doca_ctx_set_user_data(rig->ctx, self));
    assert_ok(doca_ctx_start(rig->ctx));
}

void rig_fini(struct rig *rig)
{
    enum doca_ctx_states state;
    assert_ok(doca_ctx_get_state(rig->ctx, &state));
    if (state == DOCA_CTX_STATE_RUNNING) {
        (void)doca_ctx_stop(rig->ctx);
    }
    rig_wait_state(rig, DOCA_CTX_STATE_IDLE);
    assert_ok(doca_dma_destroy(rig->dma));
    assert_ok(doca_pe_destroy(rig->pe));
    assert_ok(doca_buf_inventory_destroy(rig->inventory));
    assert_ok(doca_mmap_destroy(rig->local));
    free(rig->mem);
    assert_ok(doca_dev_close(rig->dev));
}

struct doca_dma_task_memcpy *rig_task(struct rig *rig, struct doca_buf *src, struct doca_buf *dst,
                                      uint64_t number)
{
    struct doca_dma_task_memcpy *task = NULL;
    union doca_data user_data = {.u64 = number};
    assert_ok(doca_dma_task_memcpy_alloc_init(rig->dma, src, dst, user_data, &task));
    return task;
}

void rig_submit(struct doca_dma_task_memcpy *task)
{
    assert_ok(doca_task_submit(doca_dma_task_memcpy_as_task(task)));
}

void rig_wait(struct rig *rig, unsigned completed)
{
    uint64_t deadline = now_ms() + WAIT_MS;
    while (rig->completed < completed) {
        if (doca_pe_progress(rig->pe) == 0) {
            assert_true(now_ms() < deadline);
            sched_yield();
        }
    }
}

void rig_wait_state(struct rig *rig, enum doca_ctx_states wanted)
{
    uint64_t deadline = now_ms() + WAIT_MS;
    enum doca_ctx_states state;
    assert_ok(doca_ctx_get_state(rig->ctx, &state));
    while (state != wanted) {
        (void)doca_pe_progress(rig->pe);
        assert_true(now_ms() < deadline);
        assert_ok(doca_ctx_get_state(rig->ctx, &state));
    }
}

doca_error_t rig_copy(struct rig *rig, struct doca_mmap *src, void *from, struct doca_mmap *dst,
                      void *to, size_t len)
{
    struct doca_buf *src_buf = NULL;
    struct doca_buf *dst_buf = NULL;
    assert_ok(doca_buf_inventory_buf_get_by_data(rig->inventory, src, from, len, &src_buf));
    assert_ok(doca_buf_inventory_buf_get_by_addr(rig->inventory, dst, to, len, &dst_buf));
    rig_submit(rig_task(rig, src_buf, dst_buf, 0));
    rig_wait(rig, rig->completed + 1);
    size_t data_len = 0;
    assert_ok(doca_buf_get_data_len(dst_buf, &data_len));
    assert_int_equal(data_len, rig->last_status == DOCA_SUCCESS ? len : 0);
    assert_ok(doca_buf_dec_refcount(src_buf, NULL));
    assert_ok(doca_buf_dec_refcount(dst_buf, NULL));
    return rig->last_status;
}
