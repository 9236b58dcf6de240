/* SPDX-License-Identifier: Apache-2.0 */
/* comch_ping.c - Comch of the emulation without BlueCache: the time of a small message and its
 * answer between two processes that poll, and how many messages a second go one way.
 *
 *   comch_ping [bytes=LENGTH] [apart=0|1]
 *
 *   ping COUNT    one message at a time, answered by the server
 *   flood COUNT   as many as go; the server answers the last one
 *
 * apart=1 gives each process a processor of its own. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <doca_comch.h>
#include <doca_ctx.h>
#include <doca_dev.h>
#include <doca_error.h>
#include <doca_pe.h>

#include "emu_device.h"
#include "harness.h"

#define HOST_PCI  "0000:ba:00.0"
#define DPU_PCI   "0000:03:00.0"
#define SERVICE   "comch_ping"
#define BYTES_MAX 4080u
#define TASKS     64u
#define WAIT_NS   (10 * BC_HARNESS_NS_PER_S)

/* First byte of a message. */
enum kind {
    KIND_ANSWER = 1, /* to be answered */
    KIND_SILENT = 2,
};

struct side {
    struct doca_dev *dev;
    struct doca_dev_rep *rep;
    struct doca_pe *pe;
    struct doca_comch_server *server;
    struct doca_comch_client *client;
    struct doca_ctx *ctx;
    struct doca_comch_connection *peer;
    size_t len;
    uint8_t message[BYTES_MAX];
    uint8_t silent[BYTES_MAX];
    uint64_t received;
    uint64_t sent;
    bool over;
};

static struct side side; /* callbacks of events have no user data but the connection's */

static void open_rep(void)
{
    struct doca_devinfo_rep **list = NULL;
    uint32_t count = 0;

    bc_doca_must(doca_devinfo_rep_create_list(side.dev, DOCA_DEVINFO_REP_FILTER_NET, &list, &count),
                 "doca_devinfo_rep_create_list");
    if (count == 0) {
        bc_harness_fail("no representor");
    }
    bc_doca_must(doca_dev_rep_open(list[0], &side.rep), "doca_dev_rep_open");
    bc_doca_must(doca_devinfo_rep_destroy_list(list), "doca_devinfo_rep_destroy_list");
}

/* ---- both sides ----------------------------------------------------------------------------- */

static void sent_cb(struct doca_comch_task_send *task, union doca_data task_user_data,
                    union doca_data ctx_user_data)
{
    (void)task_user_data;
    (void)ctx_user_data;
    side.sent++;
    doca_task_free(doca_comch_task_send_as_task(task));
}

static void failed_cb(struct doca_comch_task_send *task, union doca_data task_user_data,
                      union doca_data ctx_user_data)
{
    sent_cb(task, task_user_data, ctx_user_data);
    side.over = true;
}

static doca_error_t send_message(const uint8_t *message)
{
    struct doca_comch_task_send *task = NULL;
    doca_error_t result = side.server != NULL
                              ? doca_comch_server_task_send_alloc_init(
                                    side.server, side.peer, message, (uint32_t)side.len, &task)
                              : doca_comch_client_task_send_alloc_init(
                                    side.client, side.peer, message, (uint32_t)side.len, &task);

    return result != DOCA_SUCCESS ? result : doca_task_submit(doca_comch_task_send_as_task(task));
}

static void state_cb(const union doca_data user_data, struct doca_ctx *ctx,
                     enum doca_ctx_states prev, enum doca_ctx_states next)
{
    (void)user_data;
    (void)ctx;
    (void)prev;
    side.over = side.over || next == DOCA_CTX_STATE_IDLE;
}

static void make_engine(struct doca_ctx *ctx)
{
    side.ctx = ctx;
    bc_doca_must(doca_pe_create(&side.pe), "doca_pe_create");
    bc_doca_must(doca_pe_connect_ctx(side.pe, ctx), "doca_pe_connect_ctx");
    bc_doca_must(doca_ctx_set_state_changed_cb(ctx, state_cb), "doca_ctx_set_state_changed_cb");
}

/* ---- the server's process ------------------------------------------------------------------- */

static void server_recv_cb(struct doca_comch_event_msg_recv *event, uint8_t *recv_buffer,
                           uint32_t msg_len, struct doca_comch_connection *connection)
{
    (void)event;
    (void)msg_len;
    side.peer = connection;
    if (recv_buffer[0] == KIND_ANSWER && send_message(side.message) != DOCA_SUCCESS) {
        side.over = true;
    }
}

static void connect_cb(struct doca_comch_event_connection_status_changed *event,
                       struct doca_comch_connection *connection, uint8_t change_successful)
{
    (void)event;
    (void)connection;
    (void)change_successful;
}

static void disconnect_cb(struct doca_comch_event_connection_status_changed *event,
                          struct doca_comch_connection *connection, uint8_t change_successful)
{
    (void)event;
    (void)connection;
    (void)change_successful;
    side.over = true;
}

static void server_main(int ready)
{
    uint8_t byte = 1;

    side.dev = bc_doca_open_device(DPU_PCI);
    open_rep();
    bc_doca_must(doca_comch_server_create(side.dev, side.rep, SERVICE, &side.server),
                 "doca_comch_server_create");
    make_engine(doca_comch_server_as_ctx(side.server));
    bc_doca_must(doca_comch_server_task_send_set_conf(side.server, sent_cb, failed_cb, TASKS),
                 "doca_comch_server_task_send_set_conf");
    bc_doca_must(doca_comch_server_event_msg_recv_register(side.server, server_recv_cb),
                 "doca_comch_server_event_msg_recv_register");
    bc_doca_must(doca_comch_server_event_connection_status_changed_register(side.server, connect_cb,
                                                                            disconnect_cb),
                 "doca_comch_server_event_connection_status_changed_register");
    bc_doca_must(doca_ctx_start(side.ctx), "doca_ctx_start");
    if (write(ready, &byte, 1) != 1) {
        _exit(1);
    }
    while (!side.over) {
        (void)doca_pe_progress(side.pe);
    }
    _exit(0);
}

/* ---- the client's process ------------------------------------------------------------------- */

static void client_recv_cb(struct doca_comch_event_msg_recv *event, uint8_t *recv_buffer,
                           uint32_t msg_len, struct doca_comch_connection *connection)
{
    (void)event;
    (void)recv_buffer;
    (void)msg_len;
    (void)connection;
    side.received++;
}

static void progress(uint64_t end_ns)
{
    if (doca_pe_progress(side.pe) == 0 && bc_harness_now_ns() > end_ns) {
        bc_harness_fail("the answer does not come");
    }
    if (side.over) {
        bc_harness_fail("the connection is lost");
    }
}

static void open_client(void)
{
    enum doca_ctx_states state = DOCA_CTX_STATE_IDLE;
    uint64_t end_ns = bc_harness_now_ns() + WAIT_NS;
    doca_error_t result;

    side.dev = bc_doca_open_device(HOST_PCI);
    bc_doca_must(doca_comch_client_create(side.dev, SERVICE, &side.client),
                 "doca_comch_client_create");
    make_engine(doca_comch_client_as_ctx(side.client));
    bc_doca_must(doca_comch_client_task_send_set_conf(side.client, sent_cb, failed_cb, TASKS),
                 "doca_comch_client_task_send_set_conf");
    bc_doca_must(doca_comch_client_event_msg_recv_register(side.client, client_recv_cb),
                 "doca_comch_client_event_msg_recv_register");
    result = doca_ctx_start(side.ctx);
    if (result != DOCA_ERROR_IN_PROGRESS) {
        bc_doca_must(result, "doca_ctx_start");
    }
    while (state != DOCA_CTX_STATE_RUNNING) {
        progress(end_ns);
        bc_doca_must(doca_ctx_get_state(side.ctx, &state), "doca_ctx_get_state");
    }
    bc_doca_must(doca_comch_client_get_connection(side.client, &side.peer),
                 "doca_comch_client_get_connection");
}

static void do_ping(uint64_t count)
{
    uint64_t *samples = calloc(count, sizeof(*samples));
    uint64_t begin_ns = bc_harness_now_ns();
    uint64_t total_ns;

    if (samples == NULL) {
        bc_harness_fail("no memory for %" PRIu64 " samples", count);
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t start_ns = bc_harness_now_ns();
        uint64_t wanted = side.received + 1;

        bc_doca_must(send_message(side.message), "a send");
        while (side.received < wanted) {
            progress(start_ns + WAIT_NS);
        }
        samples[i] = bc_harness_now_ns() - start_ns;
    }
    total_ns = bc_harness_now_ns() - begin_ns;
    bc_harness_answer("{\"samples\": %" PRIu64 ", \"p50_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64
                      ", \"messages_per_s\": %.0f}",
                      count, bc_harness_percentile(samples, count, 500),
                      bc_harness_percentile(samples, count, 990),
                      2.0 * (double)count * (double)BC_HARNESS_NS_PER_S / (double)total_ns);
    free(samples);
}

static void do_flood(uint64_t count)
{
    uint64_t begin_ns = bc_harness_now_ns();
    uint64_t end_ns = begin_ns + WAIT_NS;
    uint64_t wanted = side.received + 1;
    uint64_t total_ns;

    for (uint64_t i = 0; i < count;) {
        doca_error_t result = send_message(i + 1 < count ? side.silent : side.message);

        if (result == DOCA_SUCCESS) {
            i++;
        } else if (result == DOCA_ERROR_NO_MEMORY) {
            progress(end_ns);
        } else {
            bc_doca_must(result, "a send");
        }
    }
    while (side.received < wanted) {
        progress(end_ns);
    }
    total_ns = bc_harness_now_ns() - begin_ns;
    bc_harness_answer("{\"messages\": %" PRIu64 ", \"messages_per_s\": %.0f}", count,
                      (double)count * (double)BC_HARNESS_NS_PER_S / (double)total_ns);
}

static void start_server(bool apart)
{
    int ends[2];
    uint8_t byte = 0;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        bc_harness_fail("no socket");
    }
    pid = fork();
    if (pid < 0) {
        bc_harness_fail("no process");
    }
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close(ends[0]);
        if (apart) {
            bc_harness_pin(-1);
        }
        server_main(ends[1]);
    }
    (void)close(ends[1]);
    if (apart) {
        bc_harness_pin(0);
    }
    if (read(ends[0], &byte, 1) != 1) {
        bc_harness_fail("the server does not start");
    }
    (void)close(ends[0]);
}

int main(int argc, char **argv)
{
    char line[BC_HARNESS_LINE_MAX];
    char world[32];

    side.len = (size_t)bc_harness_number(argc, argv, "bytes", 8);
    if (side.len == 0 || side.len > BYTES_MAX) {
        bc_harness_fail("bytes: 1 to %u", BYTES_MAX);
    }
    (void)snprintf(world, sizeof(world), "comch_ping-%d", (int)getpid());
    (void)setenv("DOCA_EMU_WORLD", world, 1);
    memset(side.message, KIND_ANSWER, sizeof(side.message));
    memset(side.silent, KIND_SILENT, sizeof(side.silent));
    start_server(bc_harness_number(argc, argv, "apart", 1) != 0);
    open_client();
    bc_harness_answer("{\"ready\": true}");
    while (bc_harness_command(line)) {
        uint64_t count = 0;

        if (sscanf(line, "ping %" SCNu64, &count) == 1 && count > 0) {
            do_ping(count);
        } else if (sscanf(line, "flood %" SCNu64, &count) == 1 && count > 0) {
            do_flood(count);
        } else {
            bc_harness_fail("%s: no such command", line);
        }
    }
    return EXIT_SUCCESS;
}
