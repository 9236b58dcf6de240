/* SPDX-License-Identifier: Apache-2.0 */
/* ec_rig.h - an erasure coding context with all four kinds of tasks, bufs over local memory, and slow
 * arithmetic to compare with. Every function fails the test when a step of it does. */
#ifndef DOCA_EMU_EC_RIG_H
#define DOCA_EMU_EC_RIG_H

#include "fixture.h"

#include <doca_erasure_coding.h>

#define EC_MEM ((size_t)1 << 20)

struct ec_rig {
    struct rig rig; /* device, memory, bufs; its DMA context is there for copies */
    struct doca_pe *pe;
    struct doca_ec *ec;
    struct doca_ctx *ctx;
    unsigned completed;
    unsigned failed;
    doca_error_t status; /* of the last task */
};

extern struct ec_rig ec_rig;

int ec_set_up(void **state);
int ec_tear_down(void **state);

/* Coefficients of data block i and redundancy block j, in GF(2^8) done bit by bit. */
typedef uint8_t (*ec_coefficient_fn)(size_t i, size_t j, size_t data);
uint8_t ec_cauchy(size_t i, size_t j, size_t data);
uint8_t ec_vandermonde(size_t i, size_t j, size_t data);

/* Whether rdnc is what the coefficients make of data. */
bool ec_redundancy_is(ec_coefficient_fn coefficient, const uint8_t *data, const uint8_t *rdnc,
                      size_t num_data, size_t num_rdnc, size_t block);

struct doca_buf *ec_source(const uint8_t *bytes, size_t len);
struct doca_buf *ec_target(uint8_t *bytes, size_t len);
void ec_put(struct doca_buf *buf);
struct doca_ec_matrix *ec_matrix(enum doca_ec_matrix_type type, size_t data, size_t rdnc);

/* Submits, progresses until the task has completed, and gives its status. */
doca_error_t ec_run(struct doca_task *task);

#define EC_KIND(KIND)                                                                   \
    void ec_##KIND##_done(struct doca_ec_task_##KIND *task, union doca_data task_data,  \
                          union doca_data ctx_data);                                    \
    void ec_##KIND##_error(struct doca_ec_task_##KIND *task, union doca_data task_data, \
                           union doca_data ctx_data);                                   \
    doca_error_t ec_##KIND(const struct doca_ec_matrix *matrix, struct doca_buf *src,   \
                           struct doca_buf *dst)
/* One task from start to end, of each kind. */
EC_KIND(create);
EC_KIND(recover);
EC_KIND(update);
EC_KIND(galois_mul);
#undef EC_KIND

/* One of these, from bytes to bytes. */
doca_error_t ec_apply(doca_error_t (*task)(const struct doca_ec_matrix *, struct doca_buf *,
                                           struct doca_buf *),
                      const struct doca_ec_matrix *matrix, const uint8_t *from, size_t from_len,
                      uint8_t *to, size_t to_len);

#endif /* DOCA_EMU_EC_RIG_H */
