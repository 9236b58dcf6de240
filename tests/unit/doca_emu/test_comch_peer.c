/* SPDX-License-Identifier: Apache-2.0 */
/* test_comch_peer.c - Comch between two processes: messages, sleeping, and every way to die. */
#include "comch_peer.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* The test's own server, running, and a client in a peer that is connected. */
static void serve_peer(struct side *server, struct comch_peer *peer, const char *name)
{
    side_make_server(server, name);
    assert_ok(doca_ctx_start(server->ctx));
    comch_peer_start(peer, "client", name, NULL);
    comch_peer_send(peer, (struct comch_request){.op = COMCH_START});
    sides_wait(server, NULL, &server->connects, 1);
    assert_int_equal(comch_peer_receive(peer).state, DOCA_CTX_STATE_RUNNING);
}

/* A server in a peer that echoes until a client has left, and the test's client of it. */
static void echo_by_peer(struct comch_peer *peer, struct side *client, const char *name)
{
    comch_peer_start(peer, "server", name, NULL);
    assert_int_equal(comch_peer_ask(peer, (struct comch_request){.op = COMCH_START}).state,
                     DOCA_CTX_STATE_RUNNING);
    comch_peer_send(peer, (struct comch_request){.op = COMCH_ECHO, .count = 1});
    side_make_client(client, name);
    assert_doca(doca_ctx_start(client->ctx), DOCA_ERROR_IN_PROGRESS);
    sides_wait_state(client, NULL, DOCA_CTX_STATE_RUNNING);
}

static void many_messages_arrive_in_order(void **state)
{
    struct side server;
    struct comch_peer peer;
    (void)state;
    serve_peer(&server, &peer, "order");
    comch_peer_send(&peer, (struct comch_request){.op = COMCH_SEND, .count = 5000, .len = 700});
    sides_wait(&server, NULL, &server.messages, 5000);
    assert_int_equal(comch_peer_receive(&peer).failed, 0);
    for (uint32_t i = 0; i < 50; i++) {
        side_send(&server, i, 33);
    }
    sides_wait(&server, NULL, &server.done, 50);
    struct comch_reply reply =
        comch_peer_ask(&peer, (struct comch_request){.op = COMCH_RECEIVE, .count = 50});
    assert_int_equal(reply.messages, 50);
    assert_int_equal(server.mismatches + reply.mismatches, 0);
    comch_peer_quit(&peer);
    sides_wait(&server, NULL, &server.disconnects, 1);
    side_end(&server, NULL);
}

static void sleeping_sides_lose_no_wake_up(void **state)
{
    struct side client;
    struct comch_peer peer;
    doca_notification_handle_t fd = -1;
    (void)state;
    echo_by_peer(&peer, &client, "sleep");
    assert_ok(doca_pe_get_notification_handle(client.pe, &fd));
    for (uint32_t i = 0; i < 3000; i++) {
        side_send(&client, i, 16);
        while (client.messages <= i) {
            assert_ok(doca_pe_request_notification(client.pe));
            while (doca_pe_progress(client.pe) != 0) {}
            if (client.messages <= i) {
                struct pollfd entry = {.fd = fd, .events = POLLIN};
                assert_int_equal(poll(&entry, 1, 20000), 1);
            }
            assert_ok(doca_pe_clear_notification(client.pe, fd));
        }
    }
    assert_int_equal(client.mismatches, 0);
    side_end(&client, NULL);
    assert_int_equal(comch_peer_receive(&peer).messages, 3000);
    comch_peer_quit(&peer);
}

static void killed_client_is_reported_after_its_messages(void **state)
{
    struct side server;
    struct comch_peer peer;
    (void)state;
    serve_peer(&server, &peer, "killed client");
    (void)comch_peer_ask(&peer, (struct comch_request){.op = COMCH_SEND, .count = 20, .len = 100});
    comch_peer_kill(&peer);
    sides_wait(&server, NULL, &server.messages, 20);
    assert_int_equal(server.disconnects, 0);
    sides_wait(&server, NULL, &server.disconnects, 1);
    assert_int_equal(server.mismatches, 0);
    side_end(&server, NULL);
}

static void killed_server_stops_its_client_and_loses_its_name(void **state)
{
    struct side client;
    struct side heir;
    struct comch_peer peer;
    (void)state;
    echo_by_peer(&peer, &client, "killed server");
    comch_peer_kill(&peer);
    sides_wait_state(&client, NULL, DOCA_CTX_STATE_IDLE);
    side_run(&client);
    assert_int_equal(client.states[2], DOCA_CTX_STATE_STOPPING);
    assert_doca(doca_ctx_start(client.ctx), DOCA_ERROR_IN_PROGRESS);
    sides_wait_state(&client, NULL, DOCA_CTX_STATE_IDLE);
    side_make_server(&heir, "killed server");
    sides_connect(&heir, &client);
    side_end(&client, &heir);
    side_end(&heir, NULL);
}

static void crash_in_a_send_is_a_lost_peer(void **state)
{
    struct side server;
    struct comch_peer peer;
    (void)state;
    serve_peer(&server, &peer, "crash");
    (void)comch_peer_ask(
        &peer,
        (struct comch_request){.op = COMCH_FAULT, .fault = DOCA_EMU_FAULT_COMCH_CRASH, .count = 6});
    comch_peer_send(&peer, (struct comch_request){.op = COMCH_SEND, .count = 10, .len = 10});
    sides_wait(&server, NULL, &server.disconnects, 1);
    assert_int_equal(server.messages, 5);
    int status = comch_peer_reap(&peer);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    close(peer.fd);
    side_end(&server, NULL);
}

static void death_is_noticed_though_a_child_holds_the_sockets(void **state)
{
    struct side server;
    struct side client;
    struct comch_peer peer;
    (void)state;
    serve_peer(&server, &peer, "fork");
    comch_peer_send(&peer, (struct comch_request){.op = COMCH_FORK_EXIT});
    assert_int_equal(comch_peer_reap(&peer), 0);
    sides_wait(&server, NULL, &server.disconnects, 1);
    close(peer.fd);
    side_end(&server, NULL);

    comch_peer_start(&peer, "server", "fork", NULL);
    (void)comch_peer_ask(&peer, (struct comch_request){.op = COMCH_START});
    comch_peer_send(&peer, (struct comch_request){.op = COMCH_FORK_EXIT});
    assert_int_equal(comch_peer_reap(&peer), 0);
    side_make_client(&client, "fork");
    assert_doca(doca_ctx_start(client.ctx), DOCA_ERROR_IN_PROGRESS);
    sides_wait_state(&client, NULL, DOCA_CTX_STATE_IDLE);
    side_make_server(&server, "fork");
    sides_connect(&server, &client);
    close(peer.fd);
    side_end(&client, &server);
    side_end(&server, NULL);
}

static void only_the_function_behind_the_representor_comes_through(void **state)
{
    static const char table[] = "host 0000:ba:00.0\nhost 0000:ba:00.1\n"
                                "dpu 0000:03:00.0 rep=0000:ba:00.0,0000:ba:00.1\n";
    struct side server;
    struct comch_peer peer;
    char path[] = "/tmp/comch-table-XXXXXX";
    (void)state;
    int fd = mkstemp(path);
    assert_int_equal(write(fd, table, sizeof(table) - 1), sizeof(table) - 1);
    close(fd);
    assert_int_equal(setenv("DOCA_EMU_DEVICES", path, 1), 0);
    side_make_server(&server, "function"); /* for ba:00.0 */
    assert_ok(doca_ctx_start(server.ctx));
    comch_peer_start(&peer, "client", "function", "COMCH_SIDE_CLIENT=0000:ba:00.1");
    assert_int_equal(comch_peer_ask(&peer, (struct comch_request){.op = COMCH_START}).state,
                     DOCA_CTX_STATE_IDLE);
    comch_peer_quit(&peer);
    comch_peer_start(&peer, "client", "function", "DOCA_EMU_WORLD=another");
    assert_int_equal(comch_peer_ask(&peer, (struct comch_request){.op = COMCH_START}).state,
                     DOCA_CTX_STATE_IDLE);
    comch_peer_quit(&peer);
    side_run(&server);
    assert_int_equal(server.connects + server.refused, 0);
    comch_peer_start(&peer, "client", "function", NULL);
    comch_peer_send(&peer, (struct comch_request){.op = COMCH_START});
    sides_wait(&server, NULL, &server.connects, 1);
    assert_int_equal(comch_peer_receive(&peer).state, DOCA_CTX_STATE_RUNNING);
    comch_peer_quit(&peer);
    sides_wait(&server, NULL, &server.disconnects, 1);
    side_end(&server, NULL);
    assert_int_equal(unsetenv("DOCA_EMU_DEVICES"), 0);
    assert_int_equal(unlink(path), 0);
}

/* The only entry of the runtime directory. */
static int connect_raw(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("DOCA_EMU_RUNTIME_DIR");
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] != '.') {
            snprintf(address.sun_path, sizeof(address.sun_path), "%.30s/%.70s", path,
                     entry->d_name);
        }
    }
    closedir(dir);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void strangers_are_turned_away(void **state)
{
    struct side server;
    struct comch_peer peer;
    uint8_t junk[1000];
    (void)state;
    fill_pattern(junk, sizeof(junk), 1);
    side_make_server(&server, "strangers");
    assert_ok(doca_ctx_start(server.ctx));
    for (size_t len = 1; len <= sizeof(junk); len += 37) {
        int fd = connect_raw();
        assert_int_equal(send(fd, junk, len, MSG_NOSIGNAL), len);
        close(fd);
    }
    int silent = connect_raw(); /* says nothing, and stays */
    side_run(&server);
    side_run(&server);
    assert_int_equal(server.connects + server.refused, 0);
    side_end(&server, NULL);
    close(silent);
    serve_peer(&server, &peer, "strangers");
    comch_peer_quit(&peer);
    sides_wait(&server, NULL, &server.disconnects, 1);
    side_end(&server, NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_messages_arrive_in_order),
        cmocka_unit_test(sleeping_sides_lose_no_wake_up),
        cmocka_unit_test(killed_client_is_reported_after_its_messages),
        cmocka_unit_test(killed_server_stops_its_client_and_loses_its_name),
        cmocka_unit_test(crash_in_a_send_is_a_lost_peer),
        cmocka_unit_test(death_is_noticed_though_a_child_holds_the_sockets),
        cmocka_unit_test(only_the_function_behind_the_representor_comes_through),
        cmocka_unit_test(strangers_are_turned_away),
    };
    comch_peer_main(argc, argv);
    side_world();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
