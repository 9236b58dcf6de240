/* SPDX-License-Identifier: Apache-2.0 */
/* comch_peer.c - both ends of the second process. */
#include "comch_peer.h"
#include "respawn.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 20000

/* --- inside of the peer ----------------------------------------------------------------------- */

static struct side self;
static unsigned sent;

static void start(void)
{
    doca_error_t result = doca_ctx_start(self.ctx);
    if (self.server != NULL) {
        assert_ok(result);
        return;
    }
    assert_doca(result, DOCA_ERROR_IN_PROGRESS);
    uint64_t deadline = now_ms() + WAIT_MS;
    while (side_state(&self) == DOCA_CTX_STATE_STARTING) {
        (void)doca_pe_progress(self.pe);
        assert_true(now_ms() < deadline);
    }
}

static void send_messages(unsigned count, uint32_t len)
{
    unsigned wanted = self.done + self.failed + count;
    uint64_t deadline = now_ms() + WAIT_MS;
    for (unsigned i = 0; i < count; i++) {
        side_send(&self, sent++, len);
        /* Few enough for the tasks, and for the messages that side_send() keeps. */
        while (self.done + self.failed + 32 < sent) {
            (void)doca_pe_progress(self.pe);
            assert_true(now_ms() < deadline);
        }
    }
    while (self.done + self.failed < wanted) {
        (void)doca_pe_progress(self.pe);
        assert_true(now_ms() < deadline);
    }
}

static void echo_message(struct side *side, struct doca_comch_connection *conn,
                         const uint8_t *bytes, uint32_t len)
{
    static uint8_t kept[16][4096];
    uint8_t *copy = kept[side->messages % 16];
    memcpy(copy, bytes, len);
    assert_ok(side_try_send(side, conn, copy, len));
}

static void sleep_until_event(unsigned clients)
{
    doca_notification_handle_t fd = -1;
    assert_ok(doca_pe_get_notification_handle(self.pe, &fd));
    assert_ok(doca_pe_request_notification(self.pe));
    while (doca_pe_progress(self.pe) != 0) {}
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    if (self.disconnects < clients) {
        assert_int_equal(poll(&entry, 1, WAIT_MS), 1);
    }
    assert_ok(doca_pe_clear_notification(self.pe, fd));
}

static void echo(unsigned clients)
{
    self.hooks.message = echo_message;
    while (self.disconnects < clients) {
        while (doca_pe_progress(self.pe) != 0) {}
        sleep_until_event(clients);
    }
    self.hooks.message = NULL;
}

static void fork_and_exit(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        /* Holds everything open, until the test closes its end. */
        char byte;
        (void)!recv(PEER_FD, &byte, 1, 0);
    }
    _exit(0);
}

static void handle(const struct comch_request *request)
{
    switch (request->op) {
    case COMCH_START:
        start();
        break;
    case COMCH_SEND:
        send_messages(request->count, request->len);
        break;
    case COMCH_RECEIVE:
        sides_wait(&self, NULL, &self.messages, request->count);
        break;
    case COMCH_ECHO:
        echo(request->count);
        break;
    case COMCH_FAULT:
        assert_ok(doca_emu_fault_set(request->fault, request->count, 0));
        break;
    case COMCH_FORK_EXIT:
        fork_and_exit();
        break;
    case COMCH_STOP:
        (void)doca_ctx_stop(self.ctx);
        sides_wait_state(&self, NULL, DOCA_CTX_STATE_IDLE);
        break;
    case COMCH_QUIT:
        break;
    }
}

static bool reply_now(void)
{
    struct comch_reply reply = {.state = side_state(&self),
                                .connects = self.connects,
                                .disconnects = self.disconnects,
                                .messages = self.messages,
                                .mismatches = self.mismatches,
                                .failed = self.failed};
    return send(PEER_FD, &reply, sizeof(reply), MSG_NOSIGNAL) == (ssize_t)sizeof(reply);
}

static _Noreturn void serve(const char *role, const char *name)
{
    struct comch_request request;
    if (strcmp(role, "server") == 0) {
        side_make_server(&self, name);
    } else {
        side_make_client(&self, name);
    }
    while (reply_now() && recv(PEER_FD, &request, sizeof(request), 0) == (ssize_t)sizeof(request) &&
           request.op != COMCH_QUIT) {
        handle(&request);
    }
    side_end(&self, NULL);
    _exit(0);
}

void comch_peer_main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--comch-peer") == 0) {
        alarm(120); /* a peer that was forgotten goes away by itself */
        serve(argv[2], argv[3]);
    }
}

/* --- inside of the test ----------------------------------------------------------------------- */

void comch_peer_start(struct comch_peer *peer, const char *role, const char *name,
                      const char *extra_env)
{
    char *argv[] = {(char *)"peer", (char *)"--comch-peer", (char *)(uintptr_t)role,
                    (char *)(uintptr_t)name, NULL};
    peer->fd = respawn(&peer->pid, argv, extra_env, NULL);
    (void)comch_peer_receive(peer);
}

void comch_peer_send(struct comch_peer *peer, struct comch_request request)
{
    assert_int_equal(send(peer->fd, &request, sizeof(request), MSG_NOSIGNAL), sizeof(request));
}

struct comch_reply comch_peer_receive(struct comch_peer *peer)
{
    struct comch_reply reply;
    memset(&reply, 0, sizeof(reply));
    assert_int_equal(recv(peer->fd, &reply, sizeof(reply), 0), sizeof(reply));
    return reply;
}

struct comch_reply comch_peer_ask(struct comch_peer *peer, struct comch_request request)
{
    comch_peer_send(peer, request);
    return comch_peer_receive(peer);
}

int comch_peer_reap(struct comch_peer *peer)
{
    int status = 0;
    assert_int_equal(waitpid(peer->pid, &status, 0), peer->pid);
    return status;
}

void comch_peer_kill(struct comch_peer *peer)
{
    assert_int_equal(kill(peer->pid, SIGKILL), 0);
    (void)comch_peer_reap(peer);
    close(peer->fd);
}

void comch_peer_quit(struct comch_peer *peer)
{
    comch_peer_send(peer, (struct comch_request){.op = COMCH_QUIT});
    int status = comch_peer_reap(peer);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    close(peer->fd);
}
