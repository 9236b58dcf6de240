/* SPDX-License-Identifier: Apache-2.0 */
/* doca_comch_consumer.h - the receiving end of Comch's data path: buffers that a producer of the
 * peer fills. Its prototypes are those of release 3.0, or those of 2.7 when DOCA_EMU_API_2_7 is
 * defined; the functions for the DPA are left out.
 * Thread: the one of the context's progress engine. */
#ifndef DOCA_COMCH_CONSUMER_H_
#define DOCA_COMCH_CONSUMER_H_

#include <stdint.h>

#include "doca_compat.h"
#include "doca_error.h"
#include "doca_types.h"

#ifdef __cplusplus
extern "C" {
#endif

struct doca_buf;
struct doca_comch_connection;
struct doca_comch_consumer;
struct doca_comch_consumer_task_post_recv;
struct doca_ctx;
struct doca_devinfo;
struct doca_mmap;
struct doca_task;

/* Release 3.0 made the task argument of the getters const. */
#ifdef DOCA_EMU_API_2_7
#define DOCA_COMCH_TASK_CONST
#else
#define DOCA_COMCH_TASK_CONST const
#endif

typedef void (*doca_comch_consumer_task_post_recv_completion_cb_t)(
    struct doca_comch_consumer_task_post_recv *task, union doca_data task_user_data,
    union doca_data ctx_user_data);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t
doca_comch_consumer_create(struct doca_comch_connection *comch_connection,
                           struct doca_mmap *buf_mmap, struct doca_comch_consumer **consumer);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t
doca_comch_consumer_destroy(struct doca_comch_consumer *consumer);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t
doca_comch_consumer_cap_is_supported(const struct doca_devinfo *devinfo);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t
doca_comch_consumer_get_id(const struct doca_comch_consumer *consumer, uint32_t *id);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t doca_comch_consumer_cap_get_max_num_tasks(
    const struct doca_devinfo *devinfo, uint32_t *max_num_tasks);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t doca_comch_consumer_cap_get_max_buf_size(
    const struct doca_devinfo *devinfo, uint32_t *max_buf_size);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t doca_comch_consumer_cap_get_max_buf_list_len(
    const struct doca_devinfo *devinfo, uint32_t *max_buf_list_len);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t doca_comch_consumer_cap_get_max_consumers(
    const struct doca_devinfo *devinfo, uint32_t *max_consumers);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t doca_comch_consumer_cap_get_max_imm_data_len(
    const struct doca_devinfo *devinfo, uint32_t *max_imm_data_len);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t doca_comch_consumer_get_imm_data_len(
    const struct doca_comch_consumer *consumer, uint32_t *imm_data_len);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t
doca_comch_consumer_set_imm_data_len(struct doca_comch_consumer *consumer, uint32_t imm_data_len);
DOCA_EMU_STABLE_SINCE_2_8 struct doca_ctx *doca_comch_consumer_as_ctx(
    struct doca_comch_consumer *consumer);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t doca_comch_consumer_task_post_recv_set_conf(
    struct doca_comch_consumer *consumer,
    doca_comch_consumer_task_post_recv_completion_cb_t task_completion_cb,
    doca_comch_consumer_task_post_recv_completion_cb_t task_error_cb, uint32_t num_post_recv_tasks);
DOCA_EMU_STABLE_SINCE_2_8 doca_error_t doca_comch_consumer_task_post_recv_alloc_init(
    struct doca_comch_consumer *consumer, struct doca_buf *buf,
    struct doca_comch_consumer_task_post_recv **task);
DOCA_EMU_STABLE_SINCE_2_8 struct doca_buf *doca_comch_consumer_task_post_recv_get_buf(
    DOCA_COMCH_TASK_CONST struct doca_comch_consumer_task_post_recv *task);
DOCA_EMU_STABLE_SINCE_2_8 void doca_comch_consumer_task_post_recv_set_buf(
    struct doca_comch_consumer_task_post_recv *task, struct doca_buf *buf);
DOCA_EMU_STABLE_SINCE_2_8 uint32_t doca_comch_consumer_task_post_recv_get_producer_id(
    DOCA_COMCH_TASK_CONST struct doca_comch_consumer_task_post_recv *task);
DOCA_EMU_STABLE_SINCE_2_8 DOCA_COMCH_TASK_CONST uint8_t *
doca_comch_consumer_task_post_recv_get_imm_data(
    DOCA_COMCH_TASK_CONST struct doca_comch_consumer_task_post_recv *task);
DOCA_EMU_STABLE_SINCE_2_8 uint32_t doca_comch_consumer_task_post_recv_get_imm_data_len(
    DOCA_COMCH_TASK_CONST struct doca_comch_consumer_task_post_recv *task);
DOCA_EMU_STABLE_SINCE_2_8 struct doca_task *doca_comch_consumer_task_post_recv_as_task(
    struct doca_comch_consumer_task_post_recv *task);

#ifdef __cplusplus
}
#endif

#endif /* DOCA_COMCH_CONSUMER_H_ */
