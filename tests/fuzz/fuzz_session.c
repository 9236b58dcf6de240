/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_session.c - hostile clients beside one that behaves, on workers as the agent has them.
 *
 *   input: steps, each: [ who; or what happens to the workers ][ a step of hostile.h ]
 *
 * The workers (sessions, requests, pipeline, dram) are real, the copy engine is memory, time is
 * virtual: an input does the same again. After an input every hostile client is gone and nothing of
 * it is left: sessions, requests, regions, imports, staging memory; and the one that behaves is
 * served, its memory untouched by others. The workers go on to the next input, and are made anew
 * after some. */
#include "fuzz.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "hostile.h"

#define CLIENTS         3u
#define STEPS_MAX       48u
#define INPUTS_OF_A_BED 256u
#define SETTLE_ROUNDS   40u
#define WITNESS_ID      0u
#define WITNESS_AT      ((uint64_t)64 << 20)
#define WITNESS_LEN     ((uint64_t)64 << 10)
#define GUARD_LEN       ((uint64_t)4096)
#define WITNESS_KEY     900000u

static struct bed bed;
static bool made;
static uint32_t inputs;
static struct bed_client witness;
static uint64_t witness_request = 10;
static struct hostile clients[CLIENTS];
static int (*bed_import)(struct bc_dma *dma, const void *desc, size_t desc_len, uint64_t len,
                         struct bc_dma_import **import_out);

/* A real engine looks into a descriptor; the memory one believes it. */
static int checked_import(struct bc_dma *dma, const void *desc, size_t desc_len, uint64_t len,
                          struct bc_dma_import **import_out)
{
    struct bc_memory_region region;

    if (desc_len != sizeof(region)) {
        return -EINVAL;
    }
    memcpy(&region, desc, sizeof(region));
    uint64_t at = (uint64_t)((uintptr_t)region.base - (uintptr_t)bed.memory);
    uint64_t end = at >= WITNESS_AT ? BED_MEMORY_LEN : HOSTILE_MEMORY_LEN;
    if (at > end || len > end - at) {
        return -EINVAL;
    }
    return bed_import(dma, desc, desc_len, len, import_out);
}

/* ---- the one that behaves ------------------------------------------------------------------- */

static uint8_t *witness_memory(void)
{
    return bed.memory + WITNESS_AT;
}

static void fill_witness(void)
{
    uint8_t *memory = witness_memory();

    memset(memory - GUARD_LEN, 0xa5, WITNESS_LEN + 2 * GUARD_LEN);
    for (uint64_t i = 0; i < WITNESS_LEN; i++) {
        memory[i] = (uint8_t)(witness_request + i * 2654435761u / 7);
    }
}

static void check_served(void)
{
    static uint8_t kept[WITNESS_LEN];
    uint8_t *memory = witness_memory();

    fill_witness();
    memcpy(kept, memory, WITNESS_LEN);
    bed_transfer(&witness, ++witness_request, BC_TRANSFER_PUSH, WITNESS_ID, WITNESS_KEY, 1,
                 WITNESS_LEN, 0);
    BC_ASSERT(bed_completion(&witness, witness_request) == BC_STATUS_OK);
    memset(memory, 0, WITNESS_LEN);
    bed_transfer(&witness, ++witness_request, BC_TRANSFER_PULL, WITNESS_ID, WITNESS_KEY, 1,
                 WITNESS_LEN, 0);
    BC_ASSERT(bed_completion(&witness, witness_request) == BC_STATUS_OK);
    BC_ASSERT(memcmp(memory, kept, WITNESS_LEN) == 0);
    for (uint64_t i = 0; i < GUARD_LEN; i++) {
        BC_ASSERT(*(memory - 1 - i) == 0xa5 && memory[WITNESS_LEN + i] == 0xa5);
    }
}

static void check_answers(void)
{
    bed_send(&witness, BC_MSG_PING, ++witness_request, "here", 4);
    (void)bed_expect(&witness, BC_MSG_PONG, witness_request);
}

/* ---- the bed -------------------------------------------------------------------------------- */

static void make_bed(void)
{
    struct bed_options options = {
        .workers = 2,
        .limits = {.sessions_max = CLIENTS + 1,
                   .requests_max = 4,
                   .entries_max = 16,
                   .bytes_max = 4u << 20,
                   .regions_max = HOSTILE_REGIONS},
    };

    bed_init(&bed, &options);
    for (uint32_t w = 0; w < options.workers; w++) {
        bed_import = bed.workers[w].engine_ops.import;
        bed.workers[w].engine_ops.import = checked_import;
    }
    bed_open(&bed, 1, &witness);
    bed_register(&witness, 2, WITNESS_ID, WITNESS_AT, WITNESS_LEN);
    (void)bed_expect(&witness, BC_MSG_REGISTER_ACK, 2);
    check_served();
    made = true;
    inputs = 0;
}

static void drop_bed(void)
{
    bed_close(&witness);
    bed_fini(&bed);
    made = false;
}

/* Only the one that behaves, and what is stored. */
static void check_nothing_left(void)
{
    BC_ASSERT(bed_sessions(&bed) == 1);
    BC_ASSERT(bed_metric(&bed, "bluecache_session_requests") == 0);
    BC_ASSERT(bed_metric(&bed, "bluecache_session_regions") == 1);
    for (uint32_t w = 0; w < bed.options.workers; w++) {
        BC_ASSERT(bed.workers[w].imports == 1);
    }
    BC_ASSERT(bed_metric(&bed, "bluecache_staging_pool_bytes") -
                  bed_metric(&bed, "bluecache_staging_free_bytes") ==
              bed_metric(&bed, "bluecache_dram_used_bytes"));
}

/* ---- one input ------------------------------------------------------------------------------ */

/* What an input does to the copy engines, and to time. */
static void stir(struct bc_reader *input)
{
    static const enum bc_fault_action actions[] = {BC_FAULT_FAIL, BC_FAULT_DELAY, BC_FAULT_REFUSE,
                                                   BC_FAULT_REORDER};
    uint8_t choice = bc_reader_u8(input);
    struct bed_worker *worker = &bed.workers[choice % bed.options.workers];

    switch (choice / 2 % 8) {
    case 0:
        worker->import_fail = bc_reader_u8(input) % 4;
        break;
    case 1:
        worker->release_fail = bc_reader_u8(input) % 4;
        break;
    case 2:
        if (worker->engine.faults.count < BC_FAULT_RULES_MAX) {
            bc_faults_add(&worker->engine.faults,
                          (struct bc_fault_rule){
                              .kinds = 1u << BC_DMA_FROM_HOST | 1u << BC_DMA_TO_HOST,
                              .first = 1 + choice / 16 % 4,
                              .action = actions[bc_reader_u8(input) % BC_ARRAY_LEN(actions)],
                              .amount = (uint64_t)(choice / 64) * 50 * BC_NS_PER_MS});
        }
        break;
    case 3:
        bed_pass(&bed, (uint64_t)bc_reader_u8(input) * 8);
        break;
    case 4:
        check_answers();
        break;
    default:
        bed_turns(&bed, 1 + choice / 16);
        break;
    }
}

/* Faults end; every client reads what there is for it. */
static void settle(void)
{
    for (uint32_t w = 0; w < bed.options.workers; w++) {
        bc_faults_clear(&bed.workers[w].engine.faults);
    }
    for (uint32_t round = 0; round < SETTLE_ROUNDS; round++) {
        bed_turns(&bed, 4);
        bc_clock_virtual_advance(&bed.clock, 10 * BC_NS_PER_MS);
        for (uint32_t i = 0; i < CLIENTS; i++) {
            hostile_read(&clients[i]);
        }
    }
}

static void connect_client(uint32_t index, uint8_t choice)
{
    struct hostile *hostile = &clients[index];

    hostile_connect(hostile, &bed, choice % 2);
    if (choice / 2 % 4 != 3) {
        bed_hello(&hostile->client);
        hostile->questions[hostile->question_count++] =
            (struct hostile_question){.id = 1, .type = BC_MSG_HELLO, .sent = 1};
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_quiet();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bc_reader input;

    if (!made) {
        make_bed();
    }
    bc_reader_init(&input, data, len);
    for (uint32_t step = 0; step < STEPS_MAX && bc_reader_left(&input) > 0; step++) {
        uint8_t who = bc_reader_u8(&input);
        struct hostile *hostile = &clients[who % CLIENTS];

        if (who >= 192) {
            stir(&input);
        } else if (hostile->client.channel == NULL) {
            connect_client(who % CLIENTS, who / CLIENTS);
        } else {
            hostile_step(hostile, &input);
        }
    }
    settle();
    for (uint32_t i = 0; i < CLIENTS; i++) {
        hostile_check_answered(&clients[i]);
        hostile_drop(&clients[i]);
    }
    for (uint32_t round = 0; round < BED_TURNS_MAX && bed_sessions(&bed) > 1; round++) {
        bc_clock_virtual_advance(&bed.clock, BC_NS_PER_MS);
        bed_turn(&bed);
    }
    check_served();
    check_nothing_left();
    if (++inputs == INPUTS_OF_A_BED) {
        drop_bed();
    }
    return 0;
}
