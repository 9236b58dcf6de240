/* SPDX-License-Identifier: Apache-2.0 */
/* ec_tasks.c - the public functions of the four kinds of tasks, which differ in nothing but names: each
 * kind's task and callback types stand for struct emu_ec_task and emu_ec_cb. */
#include "ec.h"

#define CB(callback) ((emu_ec_cb)(void (*)(void))(callback))

/* KIND and its matrix, source and destination as the SDK names them; GET is the name of the
 * destination's getter, which is not always the setter's. */
#define EC_TASK(NAME, KIND, MATRIX, SRC, DST, GET)                                                 \
    doca_error_t doca_ec_cap_task_##NAME##_is_supported(const struct doca_devinfo *devinfo)        \
    {                                                                                              \
        return devinfo == NULL ? DOCA_ERROR_INVALID_VALUE : DOCA_SUCCESS;                          \
    }                                                                                              \
    doca_error_t doca_ec_task_##NAME##_set_conf(                                                   \
        struct doca_ec *ec, doca_ec_task_##NAME##_completion_cb_t successful_task_completion_cb,   \
        doca_ec_task_##NAME##_completion_cb_t error_task_completion_cb, uint32_t num_tasks)        \
    {                                                                                              \
        return emu_ec_set_conf(ec, KIND, CB(successful_task_completion_cb),                        \
                               CB(error_task_completion_cb), num_tasks);                           \
    }                                                                                              \
    doca_error_t doca_ec_task_##NAME##_allocate_init(                                              \
        struct doca_ec *ec, const struct doca_ec_matrix *MATRIX, const struct doca_buf *SRC,       \
        struct doca_buf *DST, union doca_data user_data, struct doca_ec_task_##NAME **task)        \
    {                                                                                              \
        struct emu_ec_task *fresh = NULL;                                                          \
        doca_error_t result =                                                                      \
            task == NULL ? DOCA_ERROR_INVALID_VALUE                                                \
                         : emu_ec_allocate(ec, KIND, MATRIX, SRC, DST, user_data, &fresh);         \
        if (result == DOCA_SUCCESS) {                                                              \
            *task = (struct doca_ec_task_##NAME *)fresh;                                           \
        }                                                                                          \
        return result;                                                                             \
    }                                                                                              \
    struct doca_task *doca_ec_task_##NAME##_as_task(struct doca_ec_task_##NAME *task)              \
    {                                                                                              \
        return (struct doca_task *)task;                                                           \
    }                                                                                              \
    void doca_ec_task_##NAME##_set_##MATRIX(struct doca_ec_task_##NAME *task,                      \
                                            const struct doca_ec_matrix *MATRIX)                   \
    {                                                                                              \
        struct emu_ec_task *work = (struct emu_ec_task *)task;                                     \
        if (emu_ec_changeable(work)) {                                                             \
            work->matrix = MATRIX;                                                                 \
        }                                                                                          \
    }                                                                                              \
    const struct doca_ec_matrix *doca_ec_task_##NAME##_get_##MATRIX(                               \
        const struct doca_ec_task_##NAME *task)                                                    \
    {                                                                                              \
        return task == NULL ? NULL : ((const struct emu_ec_task *)task)->matrix;                   \
    }                                                                                              \
    void doca_ec_task_##NAME##_set_##SRC(struct doca_ec_task_##NAME *task,                         \
                                         const struct doca_buf *SRC)                               \
    {                                                                                              \
        struct emu_ec_task *work = (struct emu_ec_task *)task;                                     \
        if (emu_ec_changeable(work)) {                                                             \
            work->src = SRC;                                                                       \
        }                                                                                          \
    }                                                                                              \
    const struct doca_buf *doca_ec_task_##NAME##_get_##SRC(const struct doca_ec_task_##NAME *task) \
    {                                                                                              \
        return task == NULL ? NULL : ((const struct emu_ec_task *)task)->src;                      \
    }                                                                                              \
    void doca_ec_task_##NAME##_set_##DST(struct doca_ec_task_##NAME *task, struct doca_buf *DST)   \
    {                                                                                              \
        struct emu_ec_task *work = (struct emu_ec_task *)task;                                     \
        if (emu_ec_changeable(work)) {                                                             \
            work->dst = DST;                                                                       \
        }                                                                                          \
    }                                                                                              \
    struct doca_buf *doca_ec_task_##NAME##_get_##GET(const struct doca_ec_task_##NAME *task)       \
    {                                                                                              \
        return task == NULL ? NULL : ((const struct emu_ec_task *)task)->dst;                      \
    }                                                                                              \
    struct emu_ec_task /* takes the semicolon after the macro */

EC_TASK(galois_mul, EMU_EC_GALOIS_MUL, coding_matrix, src_buf, dst_buf, dst_buf);
EC_TASK(create, EMU_EC_CREATE, coding_matrix, original_data_blocks, rdnc_blocks, rdnc_blocks);
EC_TASK(update, EMU_EC_UPDATE, update_matrix, original_updated_and_rdnc_blocks, updated_rdnc_blocks,
        updated_rdnc_blocks);
EC_TASK(recover, EMU_EC_RECOVER, recover_matrix, available_blocks, recovered_data_blocks,
        recovered_data);
