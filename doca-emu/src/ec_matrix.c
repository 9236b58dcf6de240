/* SPDX-License-Identifier: Apache-2.0 */
/* ec_matrix.c - the matrices of erasure coding. */
#include "ec.h"

#include <isa-l/erasure_code.h>
#include <stdlib.h>
#include <string.h>

static struct doca_ec_matrix *matrix_new(enum emu_ec_matrix_kind kind, uint32_t data, uint32_t rdnc,
                                         uint32_t inputs, uint32_t outputs)
{
    struct doca_ec_matrix *matrix = calloc(1, sizeof(*matrix));
    if (matrix == NULL) {
        return NULL;
    }
    *matrix = (struct doca_ec_matrix){.kind = kind,
                                      .data = data,
                                      .rdnc = rdnc,
                                      .inputs = inputs,
                                      .outputs = outputs,
                                      .rows = calloc(inputs, outputs),
                                      .tables = malloc((size_t)32 * inputs * outputs)};
    if (matrix->rows == NULL || matrix->tables == NULL) {
        (void)doca_ec_matrix_destroy(matrix);
        return NULL;
    }
    return matrix;
}

static void matrix_finish(struct doca_ec_matrix *matrix)
{
    ec_init_tables((int)matrix->inputs, (int)matrix->outputs, matrix->rows, matrix->tables);
}

static uint8_t coefficient(enum doca_ec_matrix_type type, size_t i, size_t j, size_t data)
{
    if (type == DOCA_EC_MATRIX_TYPE_CAUCHY) {
        return gf_inv((uint8_t)(i ^ (j + data)));
    }
    uint8_t power = 1;
    for (size_t n = 0; n < j; n++) {
        power = gf_mul(power, (uint8_t)(i + 1));
    }
    return power;
}

static bool counts_valid(size_t data, size_t rdnc)
{
    return data >= 1 && data <= EMU_EC_DATA_MAX && rdnc >= 1 && rdnc <= EMU_EC_RDNC_MAX;
}

/* raw may be NULL: then the type tells the coefficients. */
static doca_error_t create_coding(enum doca_ec_matrix_type type, const uint8_t *raw, size_t data,
                                  size_t rdnc, struct doca_ec_matrix **matrix_out)
{
    struct doca_ec_matrix *matrix = matrix_new(EMU_EC_MATRIX_CODING, (uint32_t)data, (uint32_t)rdnc,
                                               (uint32_t)data, (uint32_t)rdnc);
    if (matrix == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    for (size_t i = 0; i < data; i++) {
        for (size_t j = 0; j < rdnc; j++) {
            matrix->rows[j * data + i] =
                raw == NULL ? coefficient(type, i, j, data) : raw[i * rdnc + j];
        }
    }
    matrix_finish(matrix);
    *matrix_out = matrix;
    return DOCA_SUCCESS;
}

doca_error_t doca_ec_matrix_create(struct doca_ec *ec, enum doca_ec_matrix_type type,
                                   size_t data_block_count, size_t rdnc_block_count,
                                   struct doca_ec_matrix **matrix)
{
    if (ec == NULL || matrix == NULL || !counts_valid(data_block_count, rdnc_block_count) ||
        (type != DOCA_EC_MATRIX_TYPE_CAUCHY && type != DOCA_EC_MATRIX_TYPE_VANDERMONDE)) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return create_coding(type, NULL, data_block_count, rdnc_block_count, matrix);
}

doca_error_t doca_ec_matrix_create_from_raw(struct doca_ec *ec, uint8_t *data,
                                            size_t data_block_count, size_t rdnc_block_count,
                                            struct doca_ec_matrix **matrix)
{
    if (ec == NULL || data == NULL || matrix == NULL ||
        !counts_valid(data_block_count, rdnc_block_count)) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return create_coding(DOCA_EC_MATRIX_TYPE_CAUCHY, data, data_block_count, rdnc_block_count,
                         matrix);
}

static bool ascending(const uint32_t *indices, size_t count, uint32_t limit)
{
    for (size_t i = 0; i < count; i++) {
        if (indices[i] >= limit || (i != 0 && indices[i] <= indices[i - 1])) {
            return false;
        }
    }
    return true;
}

doca_error_t doca_ec_matrix_create_update(struct doca_ec *ec,
                                          const struct doca_ec_matrix *coding_matrix,
                                          uint32_t update_indices[], size_t n_updates,
                                          struct doca_ec_matrix **matrix)
{
    if (ec == NULL || coding_matrix == NULL || coding_matrix->kind != EMU_EC_MATRIX_CODING ||
        update_indices == NULL || matrix == NULL || n_updates == 0 ||
        n_updates > coding_matrix->data ||
        !ascending(update_indices, n_updates, coding_matrix->data)) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    uint32_t data = coding_matrix->data;
    uint32_t rdnc = coding_matrix->rdnc;
    uint32_t inputs = (uint32_t)n_updates * 2 + rdnc;
    struct doca_ec_matrix *fresh = matrix_new(EMU_EC_MATRIX_UPDATE, data, rdnc, inputs, rdnc);
    if (fresh == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    /* Adding is subtracting: the old block's part goes out as the new one's comes in. */
    for (uint32_t j = 0; j < rdnc; j++) {
        uint8_t *row = &fresh->rows[(size_t)j * inputs];
        for (size_t u = 0; u < n_updates; u++) {
            row[2 * u] = row[2 * u + 1] = coding_matrix->rows[(size_t)j * data + update_indices[u]];
        }
        row[2 * n_updates + j] = 1;
    }
    matrix_finish(fresh);
    *matrix = fresh;
    return DOCA_SUCCESS;
}

/* The blocks of data and redundancy, one after another: row `index` of the whole code. */
static void code_row(const struct doca_ec_matrix *coding, uint32_t index, uint8_t *row)
{
    if (index >= coding->data) {
        memcpy(row, &coding->rows[(size_t)(index - coding->data) * coding->data], coding->data);
        return;
    }
    memset(row, 0, coding->data);
    row[index] = 1;
}

/* Inverts the rows of the blocks that are left. False: they do not determine the data. */
static bool invert_left(const struct doca_ec_matrix *coding, const uint32_t *missing, size_t count,
                        uint8_t *left, uint8_t *inverse)
{
    uint32_t rows = 0;
    size_t next = 0;
    for (uint32_t index = 0; index < coding->data + coding->rdnc && rows < coding->data; index++) {
        if (next < count && missing[next] == index) {
            next++;
        } else {
            code_row(coding, index, &left[(size_t)rows++ * coding->data]);
        }
    }
    return rows == coding->data && gf_invert_matrix(left, inverse, (int)coding->data) == 0;
}

/* The row that makes block `index` of the code out of the blocks that are left. */
static void recover_row(const struct doca_ec_matrix *coding, const uint8_t *inverse, uint32_t index,
                        uint8_t *row)
{
    uint32_t data = coding->data;
    uint8_t code[EMU_EC_DATA_MAX];
    code_row(coding, index, code);
    for (uint32_t i = 0; i < data; i++) {
        row[i] = 0;
        for (uint32_t k = 0; k < data; k++) {
            row[i] ^= gf_mul(code[k], inverse[(size_t)k * data + i]);
        }
    }
}

doca_error_t doca_ec_matrix_create_recover(struct doca_ec *ec,
                                           const struct doca_ec_matrix *coding_matrix,
                                           uint32_t missing_indices[], size_t n_missing,
                                           struct doca_ec_matrix **matrix)
{
    if (ec == NULL || coding_matrix == NULL || coding_matrix->kind != EMU_EC_MATRIX_CODING ||
        missing_indices == NULL || matrix == NULL || n_missing == 0 ||
        n_missing > coding_matrix->rdnc ||
        !ascending(missing_indices, n_missing, coding_matrix->data + coding_matrix->rdnc)) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    uint32_t data = coding_matrix->data;
    uint8_t *left = malloc((size_t)2 * data * data);
    struct doca_ec_matrix *fresh =
        matrix_new(EMU_EC_MATRIX_RECOVER, data, coding_matrix->rdnc, data, (uint32_t)n_missing);
    doca_error_t result = DOCA_SUCCESS;
    if (left == NULL || fresh == NULL) {
        result = DOCA_ERROR_NO_MEMORY;
    } else {
        uint8_t *inverse = left + (size_t)data * data;
        if (!invert_left(coding_matrix, missing_indices, n_missing, left, inverse)) {
            result = DOCA_ERROR_INVALID_VALUE;
        }
        for (size_t n = 0; result == DOCA_SUCCESS && n < n_missing; n++) {
            recover_row(coding_matrix, inverse, missing_indices[n], &fresh->rows[n * data]);
        }
    }
    free(left);
    if (result != DOCA_SUCCESS) {
        (void)doca_ec_matrix_destroy(fresh);
        return result;
    }
    matrix_finish(fresh);
    *matrix = fresh;
    return DOCA_SUCCESS;
}

doca_error_t doca_ec_matrix_destroy(struct doca_ec_matrix *matrix)
{
    if (matrix == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    free(matrix->rows);
    free(matrix->tables);
    free(matrix);
    return DOCA_SUCCESS;
}
