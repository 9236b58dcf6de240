/* SPDX-License-Identifier: Apache-2.0 */
/* comch_client.c - sends a text to the server, prints its answer, and ends. */
#include "common.h"

#include <doca_comch.h>

#include <stdio.h>
#include <time.h>

DOCA_LOG_REGISTER(COMCH_CLIENT);

#ifndef DOCA_ARCH_HOST
#error "runs on the host"
#endif

static void on_sent(struct doca_comch_task_send *task, union doca_data task_user_data,
                    union doca_data ctx_user_data)
{
    (void)task_user_data;
    (void)ctx_user_data;
    doca_task_free(doca_comch_task_send_as_task(task));
}

static void on_not_sent(struct doca_comch_task_send *task, union doca_data task_user_data,
                        union doca_data ctx_user_data)
{
    struct core *core = (struct core *)ctx_user_data.ptr;
    (void)task_user_data;
    core->status = doca_task_get_status(doca_comch_task_send_as_task(task));
    doca_task_free(doca_comch_task_send_as_task(task));
    (void)doca_ctx_stop(core->ctx);
}

static void on_message(struct doca_comch_event_msg_recv *event, uint8_t *recv_buffer,
                       uint32_t msg_len, struct doca_comch_connection *connection)
{
    struct doca_comch_client *client = doca_comch_client_get_client_ctx(connection);
    (void)event;
    printf("answer: %.*s\n", (int)msg_len, (const char *)recv_buffer);
    (void)doca_ctx_stop(doca_comch_client_as_ctx(client));
}

/* Until the server has taken the connection; NOT_CONNECTED when there is none. */
static doca_error_t wait_for_server(struct core *core)
{
    const struct timespec pause = {0, 10 * 1000};
    enum doca_ctx_states state;
    TRY(doca_ctx_get_state(core->ctx, &state));
    while (state == DOCA_CTX_STATE_STARTING) {
        if (doca_pe_progress(core->pe) == 0) {
            nanosleep(&pause, NULL);
        }
        TRY(doca_ctx_get_state(core->ctx, &state));
    }
    return state == DOCA_CTX_STATE_RUNNING ? DOCA_SUCCESS : DOCA_ERROR_NOT_CONNECTED;
}

static doca_error_t talk(struct core *core, const struct options *options)
{
    struct doca_comch_client *client = NULL;
    struct doca_comch_connection *connection = NULL;
    struct doca_comch_task_send *task = NULL;
    TRY(open_device(options->pci, NULL, &core->dev));
    TRY(create_core(core, 1));
    TRY(doca_comch_client_create(core->dev, "conformance", &client));
    TRY(connect_ctx(core, doca_comch_client_as_ctx(client)));
    TRY(doca_comch_client_task_send_set_conf(client, on_sent, on_not_sent, 16));
    TRY(doca_comch_client_event_msg_recv_register(client, on_message));
    doca_error_t result = doca_ctx_start(core->ctx);
    if (result != DOCA_ERROR_IN_PROGRESS) {
        DOCA_LOG_ERR("A client starts in the background, not with %s", doca_error_get_name(result));
        return DOCA_ERROR_UNEXPECTED;
    }
    result = wait_for_server(core);
    if (result == DOCA_SUCCESS) {
        TRY(doca_comch_client_get_connection(client, &connection));
        TRY(doca_comch_client_task_send_alloc_init(client, connection, options->text,
                                                   (uint32_t)strlen(options->text), &task));
        TRY(doca_task_submit(doca_comch_task_send_as_task(task)));
        progress_until_idle(core);
    } else {
        DOCA_LOG_ERR("There is no server");
    }
    TRY(doca_comch_client_destroy(client));
    TRY(destroy_core(core));
    return result == DOCA_SUCCESS ? core->status : result;
}

int main(int argc, char **argv)
{
    struct options options;
    struct core core = {0};
    if (begin("comch_client", &options, argc, argv) != DOCA_SUCCESS) {
        return EXIT_FAILURE;
    }
    return talk(&core, &options) == DOCA_SUCCESS ? EXIT_SUCCESS : EXIT_FAILURE;
}
