/* SPDX-License-Identifier: Apache-2.0 */
/* doca_comch_producer.h - the sending end of Comch's data path. Its prototypes are those of release
 * 3.0, or those of 2.7 when DOCA_EMU_API_2_7 is defined; the functions for the DPA are left out.
 * Thread: the one of the context's progress engine. */
#ifndef DOCA_COMCH_PRODUCER_H_
#define DOCA_COMCH_PRODUCER_H_

#include <stdint.h>

#include "doca_compat.h"
#include "doca_error.h"
#include "doca_types.h"

#ifdef __cplusplus
extern "C" {
#endif

struct doca_buf;
struct doca_comch_connection;
struct doca_comch_producer;
struct doca_comch_producer_task_send;
struct doca_ctx;
struct doca_devinfo;
struct doca_task;

/* Release 3.0 made the task argument of the getters const. */
#ifdef DOCA_EMU_API_2_7
#define DOCA_COMCH_TASK_CONST
#else
#define DOCA_COMCH_TASK_CONST const
#endif

typedef void (*doca_comch_producer_task_send_completion_cb_t)(
    struct doca_comch_producer_task_send *task, union doca_data task_user_data,
    union doca_data ctx_user_data);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t doca_comch_producer_create(
    struct doca_comch_connection *comch_connection, struct doca_comch_producer **producer);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t
doca_comch_producer_destroy(struct doca_comch_producer *producer);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t
doca_comch_producer_cap_is_supported(const struct doca_devinfo *devinfo);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t
doca_comch_producer_get_id(const struct doca_comch_producer *producer, uint32_t *id);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t doca_comch_producer_cap_get_max_num_tasks(
    const struct doca_devinfo *devinfo, uint32_t *max_num_tasks);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t doca_comch_producer_cap_get_max_buf_size(
    const struct doca_devinfo *devinfo, uint32_t *max_buf_size);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t doca_comch_producer_cap_get_max_buf_list_len(
    const struct doca_devinfo *devinfo, uint32_t *max_buf_list_len);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t doca_comch_producer_cap_get_max_producers(
    const struct doca_devinfo *devinfo, uint32_t *max_producers);
DOCA_EMU_STABLE_SINCE_2_8 struct doca_ctx *doca_comch_producer_as_ctx(
    struct doca_comch_producer *producer);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t doca_comch_producer_task_send_set_conf(
    struct doca_comch_producer *producer,
    doca_comch_producer_task_send_completion_cb_t task_completion_cb,
    doca_comch_producer_task_send_completion_cb_t task_error_cb, uint32_t num_send_tasks);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t doca_comch_producer_task_send_alloc_init(
    struct doca_comch_producer *producer, const struct doca_buf *buf, uint8_t *imm_data,
    uint32_t imm_data_len, uint32_t consumer_id, struct doca_comch_producer_task_send **task);
DOCA_EMU_STABLE_SINCE_2_8 const struct doca_buf *doca_comch_producer_task_send_get_buf(
    DOCA_COMCH_TASK_CONST struct doca_comch_producer_task_send *task);
DOCA_EMU_STABLE_SINCE_2_8 void doca_comch_producer_task_send_set_buf(
    struct doca_comch_producer_task_send *task, const struct doca_buf *buf);
DOCA_EMU_STABLE_SINCE_2_8 uint32_t doca_comch_producer_task_send_get_consumer_id(
    DOCA_COMCH_TASK_CONST struct doca_comch_producer_task_send *task);
DOCA_EMU_STABLE_SINCE_2_8 void doca_comch_producer_task_send_set_consumer_id(
    struct doca_comch_producer_task_send *task, const uint32_t consumer_id);
DOCA_EMU_STABLE_SINCE_2_8 uint8_t *doca_comch_producer_task_send_get_imm_data(
    DOCA_COMCH_TASK_CONST struct doca_comch_producer_task_send *task);
DOCA_EMU_STABLE_SINCE_2_8 uint32_t doca_comch_producer_task_send_get_imm_data_len(
    DOCA_COMCH_TASK_CONST struct doca_comch_producer_task_send *task);
DOCA_EMU_STABLE_SINCE_2_8 void doca_comch_producer_task_send_set_imm_data(
    struct doca_comch_producer_task_send *task, uint8_t *imm_data, uint32_t imm_data_len);
DOCA_EMU_STABLE_SINCE_2_8 struct doca_task *doca_comch_producer_task_send_as_task(
    struct doca_comch_producer_task_send *task);

#ifdef __cplusplus
}
#endif

#endif /* DOCA_COMCH_PRODUCER_H_ */
