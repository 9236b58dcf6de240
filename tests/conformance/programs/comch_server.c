/* SPDX-License-Identifier: Apache-2.0 */
/* comch_server.c - waits for a client's message, prints it, answers with a text, and ends when the client is gone. */
#include "common.h"

#include <doca_comch.h>
#include <doca_version.h>

#include <stdio.h>

DOCA_LOG_REGISTER(COMCH_SERVER);

#ifndef DOCA_ARCH_DPU
#error "runs on the DPU"
#endif

struct program {
    struct core core; /* first: the context's user data */
    struct doca_comch_server *server;
    struct doca_dev_rep *rep;
    const char *answer;
};

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
    struct doca_comch_server *server = doca_comch_server_get_server_ctx(connection);
    struct program *program = (struct program *)doca_comch_connection_get_user_data(connection).ptr;
    struct doca_comch_task_send *task = NULL;
    (void)event;
    printf("message: %.*s\n", (int)msg_len, (const char *)recv_buffer);
    fflush(stdout);
    doca_error_t result = doca_comch_server_task_send_alloc_init(
        server, connection, program->answer, (uint32_t)strlen(program->answer), &task);
    if (result == DOCA_SUCCESS) {
        result = doca_task_submit(doca_comch_task_send_as_task(task));
    }
    DOCA_ERROR_PROPAGATE(program->core.status, result);
}

static void on_connected(struct doca_comch_event_connection_status_changed *event,
                         struct doca_comch_connection *connection, uint8_t change_successful)
{
    struct doca_comch_server *server = doca_comch_server_get_server_ctx(connection);
    union doca_data user_data = {0};
    (void)event;
    if (change_successful &&
        doca_ctx_get_user_data(doca_comch_server_as_ctx(server), &user_data) == DOCA_SUCCESS) {
        (void)doca_comch_connection_set_user_data(connection, user_data);
    }
}

static void on_disconnected(struct doca_comch_event_connection_status_changed *event,
                            struct doca_comch_connection *connection, uint8_t change_successful)
{
    struct doca_comch_server *server = doca_comch_server_get_server_ctx(connection);
    (void)event;
    (void)change_successful;
    printf("client is gone\n");
    (void)doca_ctx_stop(doca_comch_server_as_ctx(server));
}

static doca_error_t open_rep(struct program *program, const struct options *options)
{
    struct doca_devinfo_rep **list = NULL;
    uint32_t count = 0;
    doca_error_t result = DOCA_ERROR_NOT_FOUND;
    TRY(doca_devinfo_rep_create_list(program->core.dev, DOCA_DEVINFO_REP_FILTER_NET, &list,
                                     &count));
    for (uint32_t i = 0; i < count && result != DOCA_SUCCESS; i++) {
        uint8_t equal = 0;
        TRY(doca_devinfo_rep_is_equal_pci_addr(list[i], options->rep, &equal));
        if (equal) {
            result = doca_dev_rep_open(list[i], &program->rep);
        }
    }
    (void)doca_devinfo_rep_destroy_list(list);
    return result;
}

static doca_error_t can_serve(struct doca_devinfo *info)
{
    return doca_comch_cap_server_is_supported(info);
}

static doca_error_t serve(struct program *program, const struct options *options)
{
    struct core *core = &program->core;
    uint32_t size = 0;
    TRY(open_device(options->pci, can_serve, &core->dev));
    TRY(open_rep(program, options));
    TRY(create_core(core, 1));
    TRY(doca_comch_server_create(core->dev, program->rep, "conformance", &program->server));
    TRY(connect_ctx(core, doca_comch_server_as_ctx(program->server)));
    TRY(doca_comch_cap_get_max_msg_size(doca_dev_as_devinfo(core->dev), &size));
    TRY(doca_comch_server_set_max_msg_size(program->server, size));
    TRY(doca_comch_server_set_recv_queue_size(program->server, 16));
    TRY(doca_comch_server_task_send_set_conf(program->server, on_sent, on_not_sent, 16));
    TRY(doca_comch_server_event_msg_recv_register(program->server, on_message));
#if DOCA_VERSION_LTE_CURRENT(3, 0, 0)
    TRY(doca_comch_server_event_connection_status_changed_register(program->server, on_connected,
                                                                   on_disconnected));
#else
    TRY(doca_comch_server_event_connection_register(program->server, on_connected,
                                                    on_disconnected));
#endif
    TRY(doca_ctx_start(core->ctx));
    printf("ready\n");
    fflush(stdout);
    progress_until_idle(core);
    TRY(doca_comch_server_destroy(program->server));
    TRY(doca_dev_rep_close(program->rep));
    TRY(destroy_core(core));
    return core->status;
}

int main(int argc, char **argv)
{
    struct options options;
    struct program program = {0};
    program.answer = options.text;
    if (begin("comch_server", &options, argc, argv) != DOCA_SUCCESS) {
        return EXIT_FAILURE;
    }
    return serve(&program, &options) == DOCA_SUCCESS ? EXIT_SUCCESS : EXIT_FAILURE;
}
