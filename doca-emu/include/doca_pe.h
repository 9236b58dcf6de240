/* SPDX-License-Identifier: Apache-2.0 */
/* doca_pe.h - the progress engine and tasks.
 * Callbacks run only inside doca_pe_progress(), at most one a call. Thread: one thread an engine,
 * nothing is locked. Lifetime: a submitted task belongs to the library until its callback starts;
 * a refused one stays with the caller. */
#ifndef DOCA_PE_H_
#define DOCA_PE_H_

#include <stddef.h>
#include <stdint.h>

#include "doca_compat.h"
#include "doca_error.h"
#include "doca_types.h"

#ifdef __cplusplus
extern "C" {
#endif

struct doca_ctx;
struct doca_pe;
struct doca_task;

typedef void (*doca_task_completion_cb_t)(struct doca_task *task, union doca_data task_user_data,
                                          union doca_data ctx_user_data);

#if DOCA_EMU_SHOW_NEW
enum doca_task_submit_flag {
    DOCA_TASK_SUBMIT_FLAG_NONE = 0U,                    /* may wait for the next flush */
    DOCA_TASK_SUBMIT_FLAG_FLUSH = (1U << 0),            /* start this one and all before it */
    DOCA_TASK_SUBMIT_FLAG_OPTIMIZE_REPORTS = (1U << 1), /* may be reported with a later task */
};
#endif

#if DOCA_EMU_SHOW_NEW
enum doca_pe_event_mode {
    DOCA_PE_EVENT_MODE_PROGRESS_SELECTIVE, /* progress what signalled */
    DOCA_PE_EVENT_MODE_PROGRESS_ALL        /* progress every context */
};
#endif

DOCA_STABLE doca_error_t doca_pe_create(struct doca_pe **pe);
DOCA_STABLE doca_error_t doca_pe_destroy(struct doca_pe *pe);
/* 1 when something was handled, 0 otherwise. */
DOCA_STABLE uint8_t doca_pe_progress(struct doca_pe *pe);
DOCA_STABLE doca_error_t doca_pe_get_notification_handle(const struct doca_pe *pe,
                                                         doca_notification_handle_t *handle);
#ifdef _WIN32
DOCA_STABLE doca_error_t doca_pe_set_notification_handle(struct doca_pe *pe,
                                                         doca_notification_handle_t handle,
                                                         union doca_data completion_key);
#endif
DOCA_STABLE doca_error_t doca_pe_clear_notification(struct doca_pe *pe,
                                                    doca_notification_handle_t handle);
DOCA_STABLE doca_error_t doca_pe_request_notification(struct doca_pe *pe);
DOCA_STABLE doca_error_t doca_pe_get_num_inflight_tasks(const struct doca_pe *pe,
                                                        size_t *num_inflight_tasks);
DOCA_STABLE doca_error_t doca_task_submit(struct doca_task *task);
#if DOCA_EMU_SHOW_NEW
DOCA_EXPERIMENTAL doca_error_t doca_task_submit_ex(struct doca_task *task, uint32_t flags);
#endif
DOCA_STABLE doca_error_t doca_task_try_submit(struct doca_task *task);
DOCA_STABLE void doca_task_free(struct doca_task *task);
DOCA_STABLE doca_error_t doca_task_get_status(const struct doca_task *task);
DOCA_STABLE void doca_task_set_user_data(struct doca_task *task, union doca_data user_data);
DOCA_STABLE union doca_data doca_task_get_user_data(const struct doca_task *task);
DOCA_STABLE struct doca_ctx *doca_task_get_ctx(const struct doca_task *task);
DOCA_STABLE doca_error_t doca_pe_connect_ctx(struct doca_pe *pe, struct doca_ctx *ctx);
#if DOCA_EMU_SHOW_NEW
DOCA_EXPERIMENTAL doca_error_t doca_pe_set_event_mode(struct doca_pe *pe,
                                                      enum doca_pe_event_mode event_mode);
#endif

#ifdef __cplusplus
}
#endif

#endif /* DOCA_PE_H_ */
