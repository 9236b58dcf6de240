/* SPDX-License-Identifier: Apache-2.0 */
/* ec_work.c - does an erasure coding task, column by column: a slice of every block at a time, so that a
 * revocation is seen soon. A slice that lies in one piece in this process is worked on where it lies;
 * any other goes through a bounce buffer. */
#include "access.h"
#include "ec.h"
#include "faults.h"

#include <isa-l/erasure_code.h>
#include <stdlib.h>
#include <string.h>

#define SLICE ((size_t)16 << 10)

/* Where each block's slice is worked on, and the bounce buffers behind that. */
struct work {
    const struct emu_ec_task *task;
    uint64_t block;
    uint8_t **at;    /* of the inputs, then of the outputs */
    uint8_t *bounce; /* SLICE bytes for each of them */
};

bool emu_ec_valid(const struct emu_ec_task *task, uint64_t *block_out)
{
    const struct doca_ec *ec = (const struct doca_ec *)task->task.ctx;
    const struct emu_limits *limits = &ec->dev->info.world->limits;
    const struct doca_ec_matrix *matrix = task->matrix;
    uint64_t bytes = 0;
    if (task->src == NULL || task->dst == NULL || matrix == NULL ||
        !emu_bufs_readable(ec->dev, task->src, limits->max_list_len, &bytes)) {
        return false;
    }
    uint64_t block = bytes / matrix->inputs;
    if (block_out != NULL) {
        *block_out = block;
    }
    return bytes % matrix->inputs == 0 && block != 0 && block % EMU_EC_BLOCK_MIN == 0 &&
           block <= limits->max_ec_block &&
           emu_bufs_writable(ec->dev, task->dst, limits->max_list_len, block * matrix->outputs);
}

/* The part of a list's element that holds byte `offset` of its data windows, or of its room. */
struct part {
    const struct doca_buf *buf;
    uint64_t addr;
    uint64_t len;
};

static struct part find_part(const struct doca_buf *buf, bool room, uint64_t offset)
{
    for (;; buf = buf->next) {
        uint64_t start = room ? emu_buf_free_start(buf) : (uintptr_t)buf->data;
        uint64_t len = room ? emu_buf_free_room(buf) : buf->data_len;
        if (offset < len) {
            return (struct part){buf, start + offset, len - offset};
        }
        offset -= len;
    }
}

/* Between a bounce buffer and the list. */
static bool move(const struct doca_buf *list, bool write, uint64_t offset, uint8_t *bytes,
                 size_t len)
{
    bool good = true;
    while (good && len != 0) {
        struct part part = find_part(list, write, offset);
        size_t count = part.len < len ? (size_t)part.len : len;
        uint8_t *pointer = emu_mmap_pointer(part.buf->mmap, part.addr);
        if (pointer != NULL) {
            memcpy(write ? pointer : bytes, write ? bytes : pointer, count);
        } else if (write) {
            good = emu_mmap_write(part.buf->mmap, part.addr, bytes, count);
        } else {
            good = emu_mmap_read(part.buf->mmap, bytes, part.addr, count);
        }
        offset += count;
        bytes += count;
        len -= count;
    }
    return good;
}

/* Where the slice can be worked on in place, or NULL. */
static uint8_t *in_place(const struct doca_buf *list, bool write, uint64_t offset, size_t len)
{
    struct part part = find_part(list, write, offset);
    return part.len < len ? NULL : emu_mmap_pointer(part.buf->mmap, part.addr);
}

static bool do_slice(const struct work *work, uint64_t column, size_t len)
{
    const struct emu_ec_task *task = work->task;
    uint32_t inputs = task->matrix->inputs;
    uint32_t outputs = task->matrix->outputs;
    bool good = true;
    for (uint32_t i = 0; good && i < inputs + outputs; i++) {
        bool write = i >= inputs;
        const struct doca_buf *list = write ? task->dst : task->src;
        uint64_t offset = (write ? i - inputs : i) * work->block + column;
        work->at[i] = in_place(list, write, offset, len);
        if (work->at[i] == NULL) {
            work->at[i] = work->bounce + (size_t)i * SLICE;
            good = write || move(list, false, offset, work->at[i], len);
        }
    }
    if (!good) {
        return false;
    }
    ec_encode_data((int)len, (int)inputs, (int)outputs, task->matrix->tables, work->at,
                   work->at + inputs);
    for (uint32_t j = 0; good && j < outputs; j++) {
        if (work->at[inputs + j] == work->bounce + (size_t)(inputs + j) * SLICE) {
            good = move(task->dst, true, j * work->block + column, work->at[inputs + j], len);
        }
    }
    return good;
}

/* Enters the mmaps of a list up to `end`; false, and nothing to leave, when one of them is gone. */
static bool leave(const struct doca_buf *list, const struct doca_buf *end)
{
    bool good = true;
    for (; list != end; list = list->next) {
        good = emu_mmap_leave(list->mmap) && good;
    }
    return good;
}

static bool enter(const struct doca_buf *list)
{
    for (const struct doca_buf *buf = list; buf != NULL; buf = buf->next) {
        if (!emu_mmap_enter(buf->mmap)) {
            (void)leave(list, buf);
            return false;
        }
    }
    return true;
}

static bool live(const struct doca_buf *list)
{
    while (list != NULL && emu_mmap_live(list->mmap)) {
        list = list->next;
    }
    return list == NULL;
}

static bool do_all(const struct work *work)
{
    const struct emu_ec_task *task = work->task;
    if (!enter(task->src)) {
        return false;
    }
    bool good = enter(task->dst);
    bool entered = good;
    for (uint64_t column = 0; good && column < work->block; column += SLICE) {
        size_t len = work->block - column < SLICE ? (size_t)(work->block - column) : SLICE;
        emu_faults_in_copy();
        good = live(task->src) && live(task->dst) && do_slice(work, column, len);
    }
    if (entered) {
        good = leave(task->dst, NULL) && good;
    }
    return leave(task->src, NULL) && good;
}

doca_error_t emu_ec_run(const struct emu_ec_task *task, uint64_t block)
{
    size_t blocks = (size_t)task->matrix->inputs + task->matrix->outputs;
    struct work work = {.task = task,
                        .block = block,
                        .at = calloc(blocks, sizeof(uint8_t *)),
                        .bounce = malloc(blocks * SLICE)};
    doca_error_t result = DOCA_ERROR_NO_MEMORY;
    if (work.at != NULL && work.bounce != NULL) {
        result = do_all(&work) ? DOCA_SUCCESS : DOCA_ERROR_IO_FAILED;
    }
    free(work.at);
    free(work.bounce);
    if (result == DOCA_SUCCESS) {
        emu_bufs_grow(task->dst, block * task->matrix->outputs);
    }
    return result;
}
