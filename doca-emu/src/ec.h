/* SPDX-License-Identifier: Apache-2.0 */
/* ec.h - inside of erasure coding. Every task is the same thing, a matrix times the source's blocks:
 * the kinds differ in which matrices they take.
 * GF(2^8) with the polynomial 0x11d, which is the emulation's choice: the SDK documents none.
 * Thread: the one of the context's progress engine, but for emu_ec_run(). */
#ifndef EMU_EC_H
#define EMU_EC_H

#include "ctx.h"
#include "dev.h"
#include "engine.h"

#include "doca_erasure_coding.h"

/* The SDK's own sample works with up to so many. */
#define EMU_EC_DATA_MAX  128
#define EMU_EC_RDNC_MAX  32
#define EMU_EC_BLOCK_MIN 64

enum emu_ec_kind { EMU_EC_GALOIS_MUL, EMU_EC_CREATE, EMU_EC_UPDATE, EMU_EC_RECOVER, EMU_EC_KINDS };

enum emu_ec_matrix_kind { EMU_EC_MATRIX_CODING, EMU_EC_MATRIX_UPDATE, EMU_EC_MATRIX_RECOVER };

struct doca_ec_matrix {
    enum emu_ec_matrix_kind kind;
    uint32_t data; /* of the code */
    uint32_t rdnc;
    uint32_t inputs; /* blocks of the source */
    uint32_t outputs;
    uint8_t *rows;   /* a row of `inputs` coefficients for each output */
    uint8_t *tables; /* the same as the arithmetic wants it */
};

/* A task of any kind; the public types are names for it. */
struct emu_ec_task {
    struct doca_task task; /* first */
    enum emu_ec_kind kind;
    const struct doca_ec_matrix *matrix;
    const struct doca_buf *src;
    struct doca_buf *dst;
};

/* The four kinds have callbacks of one shape, but for the type of the task. */
typedef void (*emu_ec_cb)(struct emu_ec_task *task, union doca_data task_user_data,
                          union doca_data ctx_user_data);

struct emu_ec_pool {
    emu_ec_cb done_cb;
    emu_ec_cb error_cb;
    uint32_t num_tasks; /* 0: this kind was not configured */
    struct emu_ec_task *tasks;
    struct emu_task_list free_tasks;
};

struct doca_ec {
    struct doca_ctx ctx; /* first */
    struct doca_dev *dev;
    struct emu_ec_pool pools[EMU_EC_KINDS];
    struct emu_engine *engine;
};

/* --- ec.c, for the functions of each kind ----------------------------------------------------- */

doca_error_t emu_ec_set_conf(struct doca_ec *ec, enum emu_ec_kind kind, emu_ec_cb done_cb,
                             emu_ec_cb error_cb, uint32_t num_tasks);
doca_error_t emu_ec_allocate(struct doca_ec *ec, enum emu_ec_kind kind,
                             const struct doca_ec_matrix *matrix, const struct doca_buf *src,
                             struct doca_buf *dst, union doca_data user_data,
                             struct emu_ec_task **task);
/* False, and a word about misuse: the task is in flight or was freed. */
bool emu_ec_changeable(const struct emu_ec_task *task);

/* --- ec_work.c -------------------------------------------------------------------------------- */

/* Whether a device would accept the task. block_out (may be NULL) is the block's size. */
bool emu_ec_valid(const struct emu_ec_task *task, uint64_t *block_out);
/* On an engine thread, a valid task: does the work. IO_FAILED as with emu_transfer_run(). */
doca_error_t emu_ec_run(const struct emu_ec_task *task, uint64_t block);

#endif /* EMU_EC_H */
