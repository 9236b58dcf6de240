/* SPDX-License-Identifier: Apache-2.0 */
/* comch.c - configuration, capabilities and life cycle of Comch's contexts. */
#include "comch.h"

#include "faults.h"
#include "pe.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define RECV_QUEUE_DEFAULT 64

/* --- limits ------------------------------------------------------------------------------------ */

static uint32_t limit(const char *name, uint32_t fallback, uint32_t max)
{
    return (uint32_t)emu_env_u64(name, fallback, 1, max);
}

uint32_t emu_comch_cap_msg_size(void)
{
    return limit("DOCA_EMU_COMCH_MAX_MSG", 4080, 1u << 20);
}

uint32_t emu_comch_cap_recv_queue(void)
{
    return limit("DOCA_EMU_COMCH_RECV_QUEUE", 1024, 8192);
}

uint32_t emu_comch_cap_clients(void)
{
    return limit("DOCA_EMU_COMCH_MAX_CLIENTS", 512, 4096);
}

uint32_t emu_comch_cap_send_tasks(void)
{
    return limit("DOCA_EMU_COMCH_SEND_TASKS", 8192, 65536);
}

uint32_t emu_comch_cap_name_len(void)
{
    return 120;
}

static doca_error_t get_cap(const struct doca_devinfo *devinfo, uint32_t value, uint32_t *out)
{
    if (devinfo == NULL || out == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *out = value;
    return DOCA_SUCCESS;
}

doca_error_t doca_comch_cap_get_max_name_len(const struct doca_devinfo *devinfo,
                                             uint32_t *max_name_len)
{
    return get_cap(devinfo, emu_comch_cap_name_len(), max_name_len);
}

doca_error_t doca_comch_cap_get_max_msg_size(const struct doca_devinfo *devinfo, uint32_t *size)
{
    return get_cap(devinfo, emu_comch_cap_msg_size(), size);
}

doca_error_t doca_comch_cap_get_max_recv_queue_size(const struct doca_devinfo *devinfo,
                                                    uint32_t *size)
{
    return get_cap(devinfo, emu_comch_cap_recv_queue(), size);
}

doca_error_t doca_comch_cap_get_max_clients(const struct doca_devinfo *devinfo,
                                            uint32_t *num_clients)
{
    return get_cap(devinfo, emu_comch_cap_clients(), num_clients);
}

doca_error_t doca_comch_cap_get_max_send_tasks(const struct doca_devinfo *devinfo,
                                               uint32_t *max_send_tasks)
{
    return get_cap(devinfo, emu_comch_cap_send_tasks(), max_send_tasks);
}

doca_error_t doca_comch_cap_server_is_supported(const struct doca_devinfo *devinfo)
{
    if (devinfo == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return emu_devinfo_function(devinfo)->dpu ? DOCA_SUCCESS : DOCA_ERROR_NOT_SUPPORTED;
}

doca_error_t doca_comch_cap_client_is_supported(const struct doca_devinfo *devinfo)
{
    if (devinfo == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return emu_devinfo_function(devinfo)->dpu ? DOCA_ERROR_NOT_SUPPORTED : DOCA_SUCCESS;
}

/* --- life cycle -------------------------------------------------------------------------------- */

doca_error_t emu_comch_init(struct emu_comch *comch, const struct emu_comch_role *role,
                            const struct emu_ctx_ops *ops, struct doca_dev *dev, const char *name)
{
    size_t len = strnlen(name, EMU_COMCH_NAME_MAX);
    if (len == 0 || len >= emu_comch_cap_name_len()) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    comch->set = epoll_create1(EPOLL_CLOEXEC);
    if (comch->set < 0) {
        return DOCA_ERROR_NO_MEMORY;
    }
    emu_faults_init();
    emu_ctx_init(&comch->ctx, ops);
    emu_dev_use(dev);
    comch->role = role;
    comch->dev = dev;
    memcpy(comch->name, name, len + 1);
    comch->max_msg = emu_comch_cap_msg_size();
    uint32_t max_queue = emu_comch_cap_recv_queue();
    comch->recv_queue = max_queue < RECV_QUEUE_DEFAULT ? max_queue : RECV_QUEUE_DEFAULT;
    comch->max_waiting = emu_env_u64("DOCA_EMU_COMCH_SEND_QUEUE", UINT32_MAX, 1, UINT32_MAX);
    comch->events = emu_env_u64("DOCA_EMU_COMCH_NO_EVENTS", 0, 0, 1) == 0;
    comch->ctx.wait_fd = comch->events ? comch->set : -1;
    return DOCA_SUCCESS;
}

doca_error_t emu_comch_fini(struct emu_comch *comch)
{
    doca_error_t result = emu_ctx_fini(&comch->ctx);
    if (result != DOCA_SUCCESS) {
        return result;
    }
    emu_comch_free_closed(comch);
    if (comch->gone != NULL) {
        *comch->gone = true;
    }
    close(comch->set);
    emu_dev_unuse(comch->dev);
    emu_comch_free_rx(comch);
    free(comch->tasks);
    return DOCA_SUCCESS;
}

static bool make_tasks(struct emu_comch *comch)
{
    if (comch->tasks != NULL) {
        return true;
    }
    comch->tasks = calloc(comch->num_tasks, sizeof(comch->tasks[0]));
    if (comch->tasks == NULL) {
        return false;
    }
    comch->free_tasks = (struct emu_task_list){NULL, NULL};
    for (uint32_t i = 0; i < comch->num_tasks; i++) {
        emu_task_list_add(&comch->free_tasks, &comch->tasks[i].task);
    }
    return true;
}

doca_error_t emu_comch_start(struct emu_comch *comch)
{
    if (comch->done_cb == NULL || comch->recv_cb == NULL || !make_tasks(comch) ||
        !emu_comch_new_rx(comch)) {
        return DOCA_ERROR_INITIALIZATION;
    }
    comch->pid = getpid();
    comch->looked_ns = 0;
    return DOCA_SUCCESS;
}

/* --- configuration ----------------------------------------------------------------------------- */

doca_error_t emu_comch_set_u32(struct emu_comch *comch, uint32_t *value, uint32_t given,
                               uint32_t max)
{
    if (comch == NULL || given == 0 || given > max) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (comch->ctx.state != DOCA_CTX_STATE_IDLE) {
        return DOCA_ERROR_BAD_STATE;
    }
    *value = given;
    return DOCA_SUCCESS;
}

doca_error_t emu_comch_set_tasks(struct emu_comch *comch, doca_comch_task_send_completion_cb_t done,
                                 doca_comch_task_send_completion_cb_t error, uint32_t num_tasks)
{
    if (comch == NULL || done == NULL || error == NULL || num_tasks == 0 ||
        num_tasks > emu_comch_cap_send_tasks()) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (comch->ctx.state != DOCA_CTX_STATE_IDLE) {
        return DOCA_ERROR_BAD_STATE;
    }
    free(comch->tasks);
    comch->tasks = NULL;
    comch->done_cb = done;
    comch->error_cb = error;
    comch->num_tasks = num_tasks;
    return DOCA_SUCCESS;
}

doca_error_t emu_comch_set_recv(struct emu_comch *comch, doca_comch_event_msg_recv_cb_t recv)
{
    if (comch == NULL || recv == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (comch->ctx.state != DOCA_CTX_STATE_IDLE) {
        return DOCA_ERROR_BAD_STATE;
    }
    comch->recv_cb = recv;
    return DOCA_SUCCESS;
}

doca_error_t emu_comch_set_consumer(struct emu_comch *comch,
                                    doca_comch_event_consumer_cb_t new_consumer,
                                    doca_comch_event_consumer_cb_t expired_consumer)
{
    if (comch == NULL || new_consumer == NULL || expired_consumer == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (comch->ctx.state != DOCA_CTX_STATE_IDLE) {
        return DOCA_ERROR_BAD_STATE;
    }
    comch->consumer_new_cb = new_consumer;
    comch->consumer_expired_cb = expired_consumer;
    return DOCA_SUCCESS;
}

/* --- tasks ------------------------------------------------------------------------------------- */

static struct doca_comch_task_send *send_of(struct doca_task *task)
{
    return (struct doca_comch_task_send *)task;
}

doca_error_t emu_comch_alloc(struct emu_comch *comch, struct doca_comch_connection *peer,
                             const void *msg, uint32_t len, struct doca_comch_task_send **task)
{
    if (comch == NULL || peer == NULL || msg == NULL || task == NULL || len == 0 ||
        peer->owner != comch) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (comch->ctx.state != DOCA_CTX_STATE_RUNNING) {
        return DOCA_ERROR_BAD_STATE;
    }
    if ((peer->state != EMU_COMCH_OPEN && peer->state != EMU_COMCH_LOST) ||
        len > peer->link.max_msg) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (emu_fault_strikes(DOCA_EMU_FAULT_COMCH_TASK_NO_MEMORY)) {
        return DOCA_ERROR_NO_MEMORY;
    }
    struct doca_task *fresh = emu_task_list_pop(&comch->free_tasks);
    if (fresh == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    emu_task_init(fresh, &comch->ctx, (union doca_data){.u64 = 0});
    send_of(fresh)->conn = peer;
    send_of(fresh)->msg = msg;
    send_of(fresh)->len = len;
    peer->tasks++;
    *task = send_of(fresh);
    return DOCA_SUCCESS;
}

struct doca_task *doca_comch_task_send_as_task(struct doca_comch_task_send *task)
{
    return task == NULL ? NULL : &task->task;
}

bool emu_comch_task_valid(const struct doca_task *task)
{
    const struct doca_comch_task_send *send = (const struct doca_comch_task_send *)task;
    return send->conn->state == EMU_COMCH_OPEN;
}

void emu_comch_complete(struct doca_task *task)
{
    const struct emu_comch *comch = emu_comch_of(task->ctx);
    (task->status == DOCA_SUCCESS ? comch->done_cb : comch->error_cb)(
        send_of(task), task->user_data, task->ctx->user_data);
}

void emu_comch_free_task(struct doca_task *task)
{
    send_of(task)->conn->tasks--;
    emu_task_list_add(&emu_comch_of(task->ctx)->free_tasks, task);
}

/* --- connections ------------------------------------------------------------------------------- */

doca_error_t doca_comch_connection_set_user_data(struct doca_comch_connection *connection,
                                                 union doca_data user_data)
{
    if (connection == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    connection->user_data = user_data;
    return DOCA_SUCCESS;
}

union doca_data doca_comch_connection_get_user_data(const struct doca_comch_connection *connection)
{
    return connection == NULL ? (union doca_data){.u64 = 0} : connection->user_data;
}

doca_error_t doca_comch_connection_update_info(struct doca_comch_connection *comch_connection)
{
    if (comch_connection == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (comch_connection->state == EMU_COMCH_HELLO) {
        return DOCA_ERROR_CONNECTION_INPROGRESS;
    }
    if (comch_connection->state != EMU_COMCH_OPEN) {
        return DOCA_ERROR_CONNECTION_ABORTED;
    }
    memcpy(comch_connection->shown, comch_connection->counters, sizeof(comch_connection->shown));
    return DOCA_SUCCESS;
}

doca_error_t doca_comch_connection_get_counter(const struct doca_comch_connection *comch_connection,
                                               enum doca_comch_counter counter_type,
                                               uint64_t *counter_value)
{
    if (comch_connection == NULL || counter_value == NULL ||
        (unsigned)counter_type < DOCA_COMCH_COUNTER_SENT_MESSAGES ||
        (unsigned)counter_type > DOCA_COMCH_COUNTER_RECV_BYTES) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *counter_value = comch_connection->shown[counter_type];
    return DOCA_SUCCESS;
}
