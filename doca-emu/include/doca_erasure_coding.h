/* SPDX-License-Identifier: Apache-2.0 */
/* doca_erasure_coding.h - redundancy for blocks of data, computed by the device.
 * A buf holds whole blocks of one size, one after another; it may be a list, and blocks may lie
 * across its elements. The size is a multiple of 64 bytes, up to the device's cap. With D data blocks
 * and R redundancy blocks:
 *   create      D data blocks -> R redundancy blocks
 *   recover     D blocks that are left, data before redundancy, each by ascending index -> the
 *               missing data blocks
 *   update      old and new content of each updated data block, then the R redundancy blocks -> the
 *               new R redundancy blocks
 *   galois_mul  D blocks times a coding matrix -> R blocks
 * Results go after the destination's data window, whose length grows.
 * Thread: the one of the context's progress engine. Lifetime: a matrix is constant, may be used by
 * many tasks and must outlive them. */
#ifndef DOCA_ERASURE_CODING_H_
#define DOCA_ERASURE_CODING_H_

#include <stddef.h>
#include <stdint.h>

#include "doca_compat.h"
#include "doca_error.h"
#include "doca_types.h"

#ifdef __cplusplus
extern "C" {
#endif

struct doca_buf;
struct doca_ctx;
struct doca_dev;
struct doca_devinfo;
struct doca_ec;
struct doca_ec_matrix;
struct doca_ec_task_create;
struct doca_ec_task_galois_mul;
struct doca_ec_task_recover;
struct doca_ec_task_update;
struct doca_task;

/* With i the index of a data block and j that of a redundancy block, in GF(2^8). */
enum doca_ec_matrix_type {
    DOCA_EC_MATRIX_TYPE_CAUCHY = 1,     /* 1 / (i + (j + D)): any D blocks give the data back */
    DOCA_EC_MATRIX_TYPE_VANDERMONDE = 2 /* (i + 1) ^ j: not all that can be lost can be recovered */
};

typedef void (*doca_ec_task_galois_mul_completion_cb_t)(struct doca_ec_task_galois_mul *task,
                                                        union doca_data task_user_data,
                                                        union doca_data ctx_user_data);
typedef void (*doca_ec_task_create_completion_cb_t)(struct doca_ec_task_create *task,
                                                    union doca_data task_user_data,
                                                    union doca_data ctx_user_data);
typedef void (*doca_ec_task_update_completion_cb_t)(struct doca_ec_task_update *task,
                                                    union doca_data task_user_data,
                                                    union doca_data ctx_user_data);
typedef void (*doca_ec_task_recover_completion_cb_t)(struct doca_ec_task_recover *task,
                                                     union doca_data task_user_data,
                                                     union doca_data ctx_user_data);

/* --- multiplication by a matrix ------------------------------------------------------------------ */

DOCA_EXPERIMENTAL doca_error_t
doca_ec_cap_task_galois_mul_is_supported(const struct doca_devinfo *devinfo);
DOCA_EXPERIMENTAL doca_error_t doca_ec_task_galois_mul_set_conf(
    struct doca_ec *ec, doca_ec_task_galois_mul_completion_cb_t successful_task_completion_cb,
    doca_ec_task_galois_mul_completion_cb_t error_task_completion_cb, uint32_t num_tasks);
DOCA_EXPERIMENTAL doca_error_t doca_ec_task_galois_mul_allocate_init(
    struct doca_ec *ec, const struct doca_ec_matrix *coding_matrix, const struct doca_buf *src_buf,
    struct doca_buf *dst_buf, union doca_data user_data, struct doca_ec_task_galois_mul **task);
DOCA_EXPERIMENTAL struct doca_task *doca_ec_task_galois_mul_as_task(
    struct doca_ec_task_galois_mul *task);
DOCA_EXPERIMENTAL void doca_ec_task_galois_mul_set_coding_matrix(
    struct doca_ec_task_galois_mul *task, const struct doca_ec_matrix *coding_matrix);
DOCA_EXPERIMENTAL const struct doca_ec_matrix *doca_ec_task_galois_mul_get_coding_matrix(
    const struct doca_ec_task_galois_mul *task);
DOCA_EXPERIMENTAL void doca_ec_task_galois_mul_set_src_buf(struct doca_ec_task_galois_mul *task,
                                                           const struct doca_buf *src_buf);
DOCA_EXPERIMENTAL const struct doca_buf *doca_ec_task_galois_mul_get_src_buf(
    const struct doca_ec_task_galois_mul *task);
DOCA_EXPERIMENTAL void doca_ec_task_galois_mul_set_dst_buf(struct doca_ec_task_galois_mul *task,
                                                           struct doca_buf *dst_buf);
DOCA_EXPERIMENTAL struct doca_buf *doca_ec_task_galois_mul_get_dst_buf(
    const struct doca_ec_task_galois_mul *task);

/* --- create -------------------------------------------------------------------------------------- */

DOCA_EXPERIMENTAL doca_error_t
doca_ec_cap_task_create_is_supported(const struct doca_devinfo *devinfo);
DOCA_EXPERIMENTAL doca_error_t doca_ec_task_create_set_conf(
    struct doca_ec *ec, doca_ec_task_create_completion_cb_t successful_task_completion_cb,
    doca_ec_task_create_completion_cb_t error_task_completion_cb, uint32_t num_tasks);
DOCA_EXPERIMENTAL doca_error_t doca_ec_task_create_allocate_init(
    struct doca_ec *ec, const struct doca_ec_matrix *coding_matrix,
    const struct doca_buf *original_data_blocks, struct doca_buf *rdnc_blocks,
    union doca_data user_data, struct doca_ec_task_create **task);
DOCA_EXPERIMENTAL struct doca_task *doca_ec_task_create_as_task(struct doca_ec_task_create *task);
DOCA_EXPERIMENTAL void doca_ec_task_create_set_coding_matrix(
    struct doca_ec_task_create *task, const struct doca_ec_matrix *coding_matrix);
DOCA_EXPERIMENTAL const struct doca_ec_matrix *doca_ec_task_create_get_coding_matrix(
    const struct doca_ec_task_create *task);
DOCA_EXPERIMENTAL void doca_ec_task_create_set_original_data_blocks(
    struct doca_ec_task_create *task, const struct doca_buf *original_data_blocks);
DOCA_EXPERIMENTAL const struct doca_buf *doca_ec_task_create_get_original_data_blocks(
    const struct doca_ec_task_create *task);
DOCA_EXPERIMENTAL void doca_ec_task_create_set_rdnc_blocks(struct doca_ec_task_create *task,
                                                           struct doca_buf *rdnc_blocks);
DOCA_EXPERIMENTAL struct doca_buf *doca_ec_task_create_get_rdnc_blocks(
    const struct doca_ec_task_create *task);

/* --- update -------------------------------------------------------------------------------------- */

DOCA_EXPERIMENTAL doca_error_t
doca_ec_cap_task_update_is_supported(const struct doca_devinfo *devinfo);
DOCA_EXPERIMENTAL doca_error_t doca_ec_task_update_set_conf(
    struct doca_ec *ec, doca_ec_task_update_completion_cb_t successful_task_completion_cb,
    doca_ec_task_update_completion_cb_t error_task_completion_cb, uint32_t num_tasks);
DOCA_EXPERIMENTAL doca_error_t doca_ec_task_update_allocate_init(
    struct doca_ec *ec, const struct doca_ec_matrix *update_matrix,
    const struct doca_buf *original_updated_and_rdnc_blocks, struct doca_buf *updated_rdnc_blocks,
    union doca_data user_data, struct doca_ec_task_update **task);
DOCA_EXPERIMENTAL struct doca_task *doca_ec_task_update_as_task(struct doca_ec_task_update *task);
DOCA_EXPERIMENTAL void doca_ec_task_update_set_update_matrix(
    struct doca_ec_task_update *task, const struct doca_ec_matrix *update_matrix);
DOCA_EXPERIMENTAL const struct doca_ec_matrix *doca_ec_task_update_get_update_matrix(
    const struct doca_ec_task_update *task);
DOCA_EXPERIMENTAL void doca_ec_task_update_set_original_updated_and_rdnc_blocks(
    struct doca_ec_task_update *task, const struct doca_buf *original_updated_and_rdnc_blocks);
DOCA_EXPERIMENTAL const struct doca_buf *doca_ec_task_update_get_original_updated_and_rdnc_blocks(
    const struct doca_ec_task_update *task);
DOCA_EXPERIMENTAL void doca_ec_task_update_set_updated_rdnc_blocks(
    struct doca_ec_task_update *task, struct doca_buf *updated_rdnc_blocks);
DOCA_EXPERIMENTAL struct doca_buf *doca_ec_task_update_get_updated_rdnc_blocks(
    const struct doca_ec_task_update *task);

/* --- recover ------------------------------------------------------------------------------------- */

DOCA_EXPERIMENTAL doca_error_t
doca_ec_cap_task_recover_is_supported(const struct doca_devinfo *devinfo);
DOCA_EXPERIMENTAL doca_error_t doca_ec_task_recover_set_conf(
    struct doca_ec *ec, doca_ec_task_recover_completion_cb_t successful_task_completion_cb,
    doca_ec_task_recover_completion_cb_t error_task_completion_cb, uint32_t num_tasks);
DOCA_EXPERIMENTAL doca_error_t doca_ec_task_recover_allocate_init(
    struct doca_ec *ec, const struct doca_ec_matrix *recover_matrix,
    const struct doca_buf *available_blocks, struct doca_buf *recovered_data_blocks,
    union doca_data user_data, struct doca_ec_task_recover **task);
DOCA_EXPERIMENTAL struct doca_task *doca_ec_task_recover_as_task(struct doca_ec_task_recover *task);
DOCA_EXPERIMENTAL void doca_ec_task_recover_set_recover_matrix(
    struct doca_ec_task_recover *task, const struct doca_ec_matrix *recover_matrix);
DOCA_EXPERIMENTAL const struct doca_ec_matrix *doca_ec_task_recover_get_recover_matrix(
    const struct doca_ec_task_recover *task);
DOCA_EXPERIMENTAL void doca_ec_task_recover_set_available_blocks(
    struct doca_ec_task_recover *task, const struct doca_buf *available_blocks);
DOCA_EXPERIMENTAL const struct doca_buf *doca_ec_task_recover_get_available_blocks(
    const struct doca_ec_task_recover *task);
DOCA_EXPERIMENTAL void doca_ec_task_recover_set_recovered_data_blocks(
    struct doca_ec_task_recover *task, struct doca_buf *recovered_data_blocks);
DOCA_EXPERIMENTAL struct doca_buf *doca_ec_task_recover_get_recovered_data(
    const struct doca_ec_task_recover *task);

/* --- the context --------------------------------------------------------------------------------- */

DOCA_EXPERIMENTAL doca_error_t doca_ec_create(struct doca_dev *dev, struct doca_ec **ec);
DOCA_EXPERIMENTAL doca_error_t doca_ec_destroy(struct doca_ec *ec);
DOCA_EXPERIMENTAL struct doca_ctx *doca_ec_as_ctx(struct doca_ec *ec);
DOCA_EXPERIMENTAL doca_error_t doca_ec_cap_get_max_block_size(const struct doca_devinfo *devinfo,
                                                              uint64_t *max_block_size);
DOCA_EXPERIMENTAL doca_error_t doca_ec_cap_get_max_buf_list_len(const struct doca_devinfo *devinfo,
                                                                uint32_t *max_buf_list_len);

/* --- matrices ------------------------------------------------------------------------------------ */

DOCA_EXPERIMENTAL doca_error_t doca_ec_matrix_create(struct doca_ec *ec,
                                                     enum doca_ec_matrix_type type,
                                                     size_t data_block_count,
                                                     size_t rdnc_block_count,
                                                     struct doca_ec_matrix **matrix);
/* One row a data block, of one number a redundancy block. */
DOCA_EXPERIMENTAL doca_error_t doca_ec_matrix_create_from_raw(struct doca_ec *ec, uint8_t *data,
                                                              size_t data_block_count,
                                                              size_t rdnc_block_count,
                                                              struct doca_ec_matrix **matrix);
/* Indices of data blocks, ascending. */
DOCA_EXPERIMENTAL doca_error_t doca_ec_matrix_create_update(
    struct doca_ec *ec, const struct doca_ec_matrix *coding_matrix, uint32_t update_indices[],
    size_t n_updates, struct doca_ec_matrix **matrix);
/* INVALID_VALUE also when the blocks that are left do not determine the missing ones. */
DOCA_EXPERIMENTAL doca_error_t doca_ec_matrix_create_recover(
    struct doca_ec *ec, const struct doca_ec_matrix *coding_matrix, uint32_t missing_indices[],
    size_t n_missing, struct doca_ec_matrix **matrix);
DOCA_EXPERIMENTAL doca_error_t doca_ec_matrix_destroy(struct doca_ec_matrix *matrix);

#ifdef __cplusplus
}
#endif

#endif /* DOCA_ERASURE_CODING_H_ */
