/* SPDX-License-Identifier: Apache-2.0 */
/* Two workers on their own threads and several clients on theirs, as in the agent: for what one
 * thread does not see, run under ThreadSanitizer. Clients push, pull, query, cancel, unregister and
 * leave. */
#include "bed.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define CLIENTS       4u
#define ROUNDS        12u
#define TRANSFERS_MAX 6u
#define OBJECTS_MAX   8u
#define OBJECT_LEN    40000u
/* Every transfer has memory of its own, which no other thread touches: a copy after the memory was
 * unregistered, or two at once, would be a race that the sanitizer sees. */
#define SLICE (OBJECTS_MAX * OBJECT_LEN)
BC_STATIC_ASSERT(CLIENTS *ROUNDS *TRANSFERS_MAX *(uint64_t)SLICE <= BED_MEMORY_LEN, "it fits");

struct player {
    struct bed *bed;
    pthread_t thread;
    uint32_t index;
    uint64_t random;
    uint8_t *slices; /* of this round */
    uint32_t wrong;  /* of what it saw */
    uint32_t completions;
};

static uint32_t draw(struct player *player, uint32_t below)
{
    player->random = player->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(player->random >> 33) % below;
}

/* cmocka's assertions end a test by a jump, which has no place in a thread of its own: errors
 * count. */
static void check(struct player *player, bool ok)
{
    player->wrong += !ok;
}

static void on_completion(struct player *player, const struct bc_message *message)
{
    struct bc_completion completion;
    check(player, bc_completion_decode(message->body, message->body_len, &completion) == 0);
    player->completions++;
}

/* Takes messages until the last UNREGISTER_ACK; each comes after the completion of its transfer. */
static void take_until_unregistered(struct player *player, struct bed_client *client,
                                    uint32_t transfers)
{
    struct bc_message message;
    uint64_t completed = 0;
    uint32_t left = transfers;
    while (left > 0 && bed_receive(client, &message)) {
        if (message.type == BC_MSG_COMPLETION) {
            on_completion(player, &message);
            completed |= UINT64_C(1) << (message.request_id - 10);
        } else if (message.type == BC_MSG_UNREGISTER_ACK) {
            uint32_t i = (uint32_t)message.request_id - 30;
            check(player, (completed & UINT64_C(1) << i) != 0);
            memset(player->slices + (size_t)i * SLICE, (int)i, SLICE);
            left--;
        } else {
            check(player,
                  message.type == BC_MSG_QUERY_RESULT || message.type == BC_MSG_REMOVE_RESULT);
        }
    }
    check(player, left == 0);
}

static void open_client(struct player *player, struct bed_client *client, uint32_t round,
                        uint32_t memories)
{
    struct bc_message message;
    uint64_t offset = (uint64_t)(player->index * ROUNDS + round) * TRANSFERS_MAX * SLICE;
    player->slices = player->bed->memory + offset;
    bed_connect(player->bed, (player->index + round) % 2, client);
    bed_hello(client);
    check(player, bed_receive(client, &message) && message.type == BC_MSG_HELLO_ACK);
    for (uint32_t i = 0; i < memories; i++) {
        bed_register(client, 2 + i, i, offset + (uint64_t)i * SLICE, SLICE);
    }
    for (uint32_t i = 0; i < memories; i++) {
        check(player, bed_receive(client, &message) && message.type == BC_MSG_REGISTER_ACK);
    }
}

static void play_round(struct player *player, uint32_t round)
{
    struct bed_client client;
    uint32_t first = player->index * 100;
    uint32_t transfers = 1 + draw(player, TRANSFERS_MAX);
    open_client(player, &client, round, transfers);
    for (uint32_t i = 0; i < transfers; i++) {
        uint8_t op = draw(player, 2) == 0 ? BC_TRANSFER_PUSH : BC_TRANSFER_PULL;
        bed_transfer(&client, 10 + i, op, i, first + draw(player, 20),
                     1 + draw(player, OBJECTS_MAX), 1 + draw(player, OBJECT_LEN),
                     draw(player, 4) == 0 ? 1 : 0);
        if (draw(player, 3) == 0) {
            bed_cancel(&client, 10 + i);
        }
        if (draw(player, 3) == 0) {
            bed_query(&client, 100 + i, draw(player, 2) == 0 ? BC_MSG_QUERY : BC_MSG_REMOVE, first,
                      30);
        }
    }
    if (draw(player, 3) > 0) {
        for (uint32_t i = 0; i < transfers; i++) {
            bed_unregister(&client, 30 + i, i);
        }
        take_until_unregistered(player, &client, transfers);
    }
    bed_close(&client); /* now and then in the middle of everything */
}

static void *play(void *arg)
{
    struct player *player = arg;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        play_round(player, round);
    }
    return NULL;
}

static void clients_come_and_go_over_two_workers(void **state)
{
    struct bed bed;
    struct bed_options options = {.workers = 2, .threads = true};
    struct player players[CLIENTS];
    uint64_t seed = 20;
    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    bed_init(&bed, &options);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        players[i] = (struct player){.bed = &bed, .index = i, .random = seed + i};
        assert_int_equal(pthread_create(&players[i].thread, NULL, play, &players[i]), 0);
    }
    uint32_t completions = 0;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        pthread_join(players[i].thread, NULL);
        assert_int_equal(players[i].wrong, 0);
        completions += players[i].completions;
    }
    assert_true(completions > CLIENTS * ROUNDS / 2);
    bed_fini(&bed);
}

/* A drain while clients are busy: every session ends, and so do the workers. */
static void drain_under_load_ends(void **state)
{
    struct bed bed;
    struct bed_options options = {.workers = 2, .threads = true};
    struct bed_client clients[CLIENTS];
    (void)state;
    bed_init(&bed, &options);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        bed_open(&bed, i % 2, &clients[i]);
        bed_register(&clients[i], 2, 0, (uint64_t)i << 20, 1 << 20);
        bed_expect(&clients[i], BC_MSG_REGISTER_ACK, 2);
        for (uint32_t r = 0; r < 8; r++) {
            bed_transfer(&clients[i], 10 + r, BC_TRANSFER_PUSH, 0, 100 * i, 10, 100000, 0);
        }
    }
    bed_drain(&bed);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct bc_message message;
        uint32_t completions = 0;
        bool goodbye = false;
        while (bed_receive(&clients[i], &message)) {
            completions += message.type == BC_MSG_COMPLETION;
            goodbye = goodbye || message.type == BC_MSG_GOODBYE;
        }
        assert_true(clients[i].closed);
        assert_true(goodbye);
        assert_true(completions <= 8);
        bed_close(&clients[i]);
    }
    bed_fini(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_come_and_go_over_two_workers),
        cmocka_unit_test(drain_under_load_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
