/* SPDX-License-Identifier: Apache-2.0 */
/* test_comch_random.c - Comch under sequences that nobody thought of: a server and some clients that
 * do whatever they may do next, and shared memory in which a peer writes nonsense. Nothing may be
 * lost, doubled or left behind, and nothing may be touched that is gone. */
#include "comch_side.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLIENTS 3

static uint64_t random_state;
static uint64_t arrived; /* messages, in all runs */

static uint32_t random_below(uint32_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 33) % limit;
}

/* --- what a side may do next ------------------------------------------------------------------- */

struct play {
    struct side server;
    struct side clients[CLIENTS];
    uint8_t bytes[512]; /* what every message is taken from; never changed */
};

static void check_bytes(struct side *side, struct doca_comch_connection *conn, const uint8_t *bytes,
                        uint32_t len)
{
    (void)conn;
    arrived++;
    side->messages = 0; /* check_pattern() of the next one */
    assert_true(check_pattern(bytes, len, 0));
}

static void send_some(struct play *play, struct side *side, struct doca_comch_connection *conn)
{
    for (uint32_t n = random_below(12); n > 0; n--) {
        doca_error_t result =
            side_try_send(side, conn, play->bytes, 1 + random_below(sizeof(play->bytes)));
        assert_true(result == DOCA_SUCCESS || result == DOCA_ERROR_NO_MEMORY);
    }
}

static void act_as_client(struct play *play, struct side *client)
{
    enum doca_ctx_states state = side_state(client);
    uint32_t dice = random_below(100);
    if (state == DOCA_CTX_STATE_IDLE) {
        client->num_states = 0;
        assert_doca(doca_ctx_start(client->ctx), DOCA_ERROR_IN_PROGRESS);
    } else if (state == DOCA_CTX_STATE_RUNNING && dice < 80) {
        send_some(play, client, side_peer(client));
    } else if (dice < 95) {
        (void)doca_pe_progress(client->pe);
    } else if (state != DOCA_CTX_STATE_STOPPING) {
        assert_doca(doca_ctx_stop(client->ctx), DOCA_ERROR_IN_PROGRESS);
    }
}

static void forget_gone(struct side *server)
{
    /* Numbers of connections are places in an array: it is packed when nobody is connected. */
    for (unsigned i = 0; i < SIDE_CONNS; i++) {
        if (server->conns[i] != NULL) {
            return;
        }
    }
    server->connects = 0;
}

static void act_as_server(struct play *play)
{
    struct side *server = &play->server;
    enum doca_ctx_states state = side_state(server);
    uint32_t which = random_below(SIDE_CONNS);
    uint32_t dice = random_below(1000);
    server->num_states = 0;
    if (state == DOCA_CTX_STATE_IDLE) {
        forget_gone(server);
        assert_ok(doca_ctx_start(server->ctx));
    } else if (server->conns[which] != NULL && dice < 30) {
        assert_ok(doca_comch_server_disconnect(server->server, server->conns[which]));
        server->conns[which] = NULL;
    } else if (state == DOCA_CTX_STATE_RUNNING && server->conns[which] != NULL && dice < 900) {
        send_some(play, server, server->conns[which]);
    } else if (state == DOCA_CTX_STATE_RUNNING && dice > 995) {
        (void)doca_ctx_stop(server->ctx);
    }
}

static void arm_now_and_then(struct side *side)
{
    doca_notification_handle_t fd = -1;
    uint32_t dice = random_below(10);
    assert_ok(doca_pe_get_notification_handle(side->pe, &fd));
    if (dice == 0) {
        assert_ok(doca_pe_request_notification(side->pe));
    } else if (dice == 1) {
        assert_ok(doca_pe_clear_notification(side->pe, fd));
    }
}

static void play_once(uint64_t seed)
{
    static struct play play;
    random_state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    memset(&play, 0, sizeof(play));
    fill_pattern(play.bytes, sizeof(play.bytes), 0);
    side_make_server(&play.server, "random");
    play.server.hooks.message = check_bytes;
    assert_ok(doca_comch_server_set_recv_queue_size(play.server.server, 1 + random_below(8)));
    for (unsigned i = 0; i < CLIENTS; i++) {
        side_make_client(&play.clients[i], "random");
        play.clients[i].hooks.message = check_bytes;
        assert_ok(
            doca_comch_client_set_recv_queue_size(play.clients[i].client, 1 + random_below(8)));
    }
    for (unsigned step = 0; step < 4000; step++) {
        struct side *client = &play.clients[random_below(CLIENTS)];
        if (random_below(4) == 0) {
            if (play.server.connects < SIDE_CONNS - CLIENTS) {
                act_as_client(&play, client);
            }
            act_as_server(&play);
            forget_gone(&play.server);
        }
        struct side *side = random_below(2) == 0 ? &play.server : client;
        arm_now_and_then(side);
        (void)doca_pe_progress(side->pe);
        client->num_states = 0;
        play.server.num_states = 0;
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        side_end(&play.clients[i], &play.server);
        play.server.num_states = 0;
    }
    side_end(&play.server, NULL);
}

static void random_lives_end_well(void **state)
{
    const char *runs = getenv("BLUECACHE_COMCH_RUNS");
    uint64_t count = runs != NULL ? strtoull(runs, NULL, 10) : 20;
    (void)state;
    for (uint64_t seed = 1; seed <= count; seed++) {
        print_message("seed %" PRIu64 "\n", seed);
        play_once(seed);
    }
    print_message("%" PRIu64 " messages arrived\n", arrived);
    assert_true(arrived > count * 100);
}

/* --- nonsense in the shared memory ------------------------------------------------------------- */

/* One of the two mappings of the connection's memory. */
static uint8_t *find_memory(size_t *len_out)
{
    char line[512];
    uint8_t *found = NULL;
    FILE *maps = fopen("/proc/self/maps", "re");
    assert_non_null(maps);
    while (found == NULL && fgets(line, sizeof(line), maps) != NULL) {
        uintptr_t begin = 0;
        uintptr_t end = 0;
        if (strstr(line, "doca-emu-comch") != NULL &&
            sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &begin, &end) == 2) {
            found = (uint8_t *)begin;
            *len_out = end - begin;
        }
    }
    fclose(maps);
    assert_non_null(found);
    return found;
}

static void nonsense_ends_the_connection_or_does_no_harm(void **state)
{
    struct side server;
    struct side client;
    (void)state;
    side_make_server(&server, "nonsense");
    side_make_client(&client, "nonsense");
    for (uint64_t seed = 1; seed <= 200; seed++) {
        size_t len = 0;
        random_state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
        server.connects = 0;
        client.num_states = 0;
        server.num_states = 0;
        server.disconnects = 0;
        sides_connect(&server, &client);
        uint8_t *memory = find_memory(&len);
        side_send(&client, 0, 100);
        side_send(&server, 0, 100);
        /* The words at the start, and the heads of the first slots. */
        size_t reach = seed % 2 == 0 ? 512 : 16384;
        for (uint32_t n = 1 + random_below(64); n > 0; n--) {
            memory[random_below((uint32_t)(reach < len ? reach : len))] =
                (uint8_t)random_below(256);
        }
        for (unsigned i = 0; i < 300; i++) {
            (void)doca_pe_progress(server.pe);
            (void)doca_pe_progress(client.pe);
        }
        client.num_states = 0;
        if (side_state(&client) != DOCA_CTX_STATE_IDLE) {
            (void)doca_ctx_stop(client.ctx);
            sides_wait_state(&client, &server, DOCA_CTX_STATE_IDLE);
        }
        sides_wait(&server, &client, &server.disconnects, 1);
    }
    side_end(&client, &server);
    side_end(&server, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_lives_end_well),
        cmocka_unit_test(nonsense_ends_the_connection_or_does_no_harm),
    };
    side_world();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
