/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and registered memory over one worker and over two: answers, barriers, cancels,
 * deadlines, and clients that leave at any step. */
#include "bed.h"

#include <errno.h>

#include "session/session_internal.h"

#define KIB 1024u
#define MIB (1024u * KIB)

#define MEMORY_LEN (16u * MIB)

static struct bed bed;
static struct bed_client client;

static void start(uint32_t workers)
{
    struct bed_options options = {.workers = workers};
    bed_init(&bed, &options);
    bed_open(&bed, workers - 1, &client);
    bed_register(&client, 2, 0, 0, MEMORY_LEN);
    struct bc_message message = bed_expect(&client, BC_MSG_REGISTER_ACK, 2);
    assert_int_equal(bed_status(&message, 0), BC_STATUS_OK);
}

static void end(void)
{
    bed_close(&client);
    bed_fini(&bed);
}

static void add_rule(struct bc_fault_rule rule)
{
    for (uint32_t w = 0; w < bed.options.workers; w++) {
        bc_faults_add(&bed.workers[w].engine.faults, rule);
    }
}

/* From now on every copy takes this long on the virtual clock. */
static void delay_copies(uint64_t ms)
{
    add_rule((struct bc_fault_rule){.kinds = 1u << BC_DMA_FROM_HOST | 1u << BC_DMA_TO_HOST,
                                    .first = 1,
                                    .every = 1,
                                    .action = BC_FAULT_DELAY,
                                    .amount = ms * BC_NS_PER_MS});
}

static size_t staging_free(void)
{
    size_t len = 0;
    for (uint32_t w = 0; w < bed.options.workers; w++) {
        len += bc_staging_free_len(bed.workers[w].worker.staging, BC_LEASE_STREAM);
    }
    return len;
}

static int64_t imports(void)
{
    int64_t count = 0;
    for (uint32_t w = 0; w < bed.options.workers; w++) {
        count += bed.workers[w].imports;
    }
    return count;
}

static void objects_of_every_worker_come_back(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 2; workers++) {
        start(workers);
        bed_transfer(&client, 3, BC_TRANSFER_PUSH, 0, 0, 40, 70000, 0);
        assert_int_equal(bed_completion(&client, 3), BC_STATUS_OK);
        uint8_t *before = malloc(40 * 70000);
        memcpy(before, bed.memory, 40 * 70000);
        memset(bed.memory, 0, 40 * 70000);
        bed_transfer(&client, 4, BC_TRANSFER_PULL, 0, 0, 40, 70000, 0);
        assert_int_equal(bed_completion(&client, 4), BC_STATUS_OK);
        assert_memory_equal(bed.memory, before, 40 * 70000);
        free(before);
        end();
    }
}

static void each_entry_has_its_status(void **state)
{
    struct bc_completion completion;
    (void)state;
    start(2);
    bed_transfer(&client, 3, BC_TRANSFER_PUSH, 0, 10, 20, 1000, 0);
    assert_int_equal(bed_completion(&client, 3), BC_STATUS_OK);
    bed_transfer(&client, 4, BC_TRANSFER_PULL, 0, 0, 40, 1000, 0);
    struct bc_message message = bed_expect(&client, BC_MSG_COMPLETION, 4);
    assert_int_equal(bc_completion_decode(message.body, message.body_len, &completion), 0);
    assert_int_equal(completion.wire.status, BC_STATUS_NOT_FOUND);
    assert_int_equal(completion.wire.entry_count, 40);
    assert_int_equal(completion.wire.bytes, 20 * 1000);
    for (uint32_t i = 0; i < 40; i++) {
        assert_int_equal(bc_statuses_get(completion.statuses, i),
                         i >= 10 && i < 30 ? BC_STATUS_OK : BC_STATUS_NOT_FOUND);
    }
    end();
}

static void queries_and_removes_ask_every_worker(void **state)
{
    const struct bc_wire_query_result *results;
    uint32_t count;
    (void)state;
    for (uint32_t workers = 1; workers <= 2; workers++) {
        start(workers);
        bed_transfer(&client, 3, BC_TRANSFER_PUSH, 0, 0, 50, 300, 0);
        assert_int_equal(bed_completion(&client, 3), BC_STATUS_OK);
        bed_query(&client, 4, BC_MSG_REMOVE, 25, 50);
        struct bc_message message = bed_expect(&client, BC_MSG_REMOVE_RESULT, 4);
        for (uint32_t i = 0; i < 50; i++) {
            assert_int_equal(bed_status(&message, i), i < 25 ? BC_STATUS_OK : BC_STATUS_NOT_FOUND);
        }
        bed_query(&client, 5, BC_MSG_QUERY, 0, 50);
        message = bed_expect(&client, BC_MSG_QUERY_RESULT, 5);
        assert_int_equal(bc_query_result_decode(message.body, message.body_len, &results, &count),
                         0);
        assert_int_equal(count, 50);
        for (uint32_t i = 0; i < 50; i++) {
            assert_int_equal(results[i].status, i < 25 ? BC_STATUS_OK : BC_STATUS_NOT_FOUND);
            assert_int_equal(results[i].size, i < 25 ? 300 : 0);
        }
        bed_query(&client, 6, BC_MSG_QUERY, 0, 0);
        bed_expect(&client, BC_MSG_QUERY_RESULT, 6);
        end();
    }
}

static void unregister_is_a_barrier(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 2; workers++) {
        start(workers);
        delay_copies(100);
        bed_transfer(&client, 3, BC_TRANSFER_PUSH, 0, 0, 2 * workers, MIB / 4, 0);
        bed_turns(&bed, 20);
        bed_unregister(&client, 4, 0);
        bed_expect_silence(&client, 100);
        /* It is on its way out: new requests don't get it, nor does another unregister. */
        bed_transfer(&client, 5, BC_TRANSFER_PUSH, 0, 0, 1, MIB, 0);
        assert_int_equal(bed_completion(&client, 5), BC_STATUS_BAD_MEMORY);
        bed_unregister(&client, 6, 0);
        struct bc_message message = bed_expect(&client, BC_MSG_UNREGISTER_ACK, 6);
        assert_int_equal(bed_status(&message, 0), BC_STATUS_BAD_MEMORY);
        bed_register(&client, 7, 0, 0, MIB);
        message = bed_expect(&client, BC_MSG_REGISTER_ACK, 7);
        assert_int_equal(bed_status(&message, 0), BC_STATUS_BUSY);
        assert_int_equal(imports(), workers);
        bed_pass(&bed, 500);
        assert_int_equal(bed_completion(&client, 3), BC_STATUS_OK);
        message = bed_expect(&client, BC_MSG_UNREGISTER_ACK, 4);
        assert_int_equal(bed_status(&message, 0), BC_STATUS_OK);
        assert_int_equal(imports(), 0);
        bed_register(&client, 8, 0, 0, MIB);
        message = bed_expect(&client, BC_MSG_REGISTER_ACK, 8);
        assert_int_equal(bed_status(&message, 0), BC_STATUS_OK);
        end();
    }
}

static void cancel_ends_the_parts_of_all_workers(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 2; workers++) {
        start(workers);
        size_t before = staging_free();
        delay_copies(100);
        bed_transfer(&client, 3, BC_TRANSFER_PUSH, 0, 0, 10, MIB, 0);
        bed_turns(&bed, 20);
        bed_cancel(&client, 3);
        bed_cancel(&client, 3);
        bed_expect_silence(&client, 100); /* copies are under way: the memory is still in use */
        bed_pass(&bed, 150);
        assert_int_equal(bed_completion(&client, 3), BC_STATUS_CANCELLED);
        bed_query(&client, 4, BC_MSG_QUERY, 0, 10);
        struct bc_message message = bed_expect(&client, BC_MSG_QUERY_RESULT, 4);
        const struct bc_wire_query_result *results;
        uint32_t count;
        assert_int_equal(bc_query_result_decode(message.body, message.body_len, &results, &count),
                         0);
        for (uint32_t i = 0; i < 10; i++) {
            assert_int_equal(results[i].status, BC_STATUS_NOT_FOUND);
        }
        assert_int_equal(staging_free(), before);
        end();
    }
}

/* Cancels at every turn of a request that is spread over two workers: whatever the race, one
 * answer. */
static void cancel_at_every_turn_is_answered_once(void **state)
{
    (void)state;
    start(2);
    for (uint32_t turn = 0; turn < 40; turn++) {
        bed_transfer(&client, 100 + turn, BC_TRANSFER_PUSH, 0, 0, 8, 200000, 0);
        bed_turns(&bed, turn);
        bed_cancel(&client, 100 + turn);
        enum bc_status status = bed_completion(&client, 100 + turn);
        assert_true(status == BC_STATUS_OK || status == BC_STATUS_CANCELLED);
    }
    bed_expect_silence(&client, 50);
    end();
}

static void deadline_ends_a_request_behind_slow_copies(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 2; workers++) {
        start(workers);
        delay_copies(1000);
        bed_transfer(&client, 3, BC_TRANSFER_PUSH, 0, 0, 4, MIB, 500);
        bed_turns(&bed, 20);
        bed_pass(&bed, 900);
        bed_expect_silence(&client, 20); /* passed, but a copy may still touch the memory */
        bed_pass(&bed, 300);
        assert_int_equal(bed_completion(&client, 3), BC_STATUS_TIMED_OUT);
        end();
    }
}

static void copies_that_fail_fail_their_object_alone(void **state)
{
    struct bc_completion completion;
    (void)state;
    start(1);
    add_rule((struct bc_fault_rule){
        .kinds = 1u << BC_DMA_FROM_HOST, .first = 3, .action = BC_FAULT_FAIL, .error = -EREMOTEIO});
    bed_transfer(&client, 3, BC_TRANSFER_PUSH, 0, 0, 5, 1000, 0);
    struct bc_message message = bed_expect(&client, BC_MSG_COMPLETION, 3);
    assert_int_equal(bc_completion_decode(message.body, message.body_len, &completion), 0);
    uint32_t failed = 0;
    for (uint32_t i = 0; i < 5; i++) {
        failed += bc_statuses_get(completion.statuses, i) == BC_STATUS_DMA_ERROR;
    }
    assert_int_equal(failed, 1);
    assert_int_equal(completion.wire.status, BC_STATUS_DMA_ERROR);
    end();
}

/* One worker imports it, the other can't: nobody keeps it, and its id is free again. */
static void import_refused_by_one_worker_is_dropped_by_all(void **state)
{
    (void)state;
    for (uint32_t refusing = 0; refusing < 2; refusing++) {
        start(2);
        bed.workers[refusing].import_fail = 1;
        bed_register(&client, 3, 7, 0, MIB);
        struct bc_message message = bed_expect(&client, BC_MSG_REGISTER_ACK, 3);
        assert_int_equal(bed_status(&message, 0), BC_STATUS_BAD_MEMORY);
        assert_int_equal(imports(), 2);
        assert_int_equal(bed_metric(&bed, "bluecache_session_regions"), 1);
        bed_register(&client, 4, 7, 0, MIB);
        message = bed_expect(&client, BC_MSG_REGISTER_ACK, 4);
        assert_int_equal(bed_status(&message, 0), BC_STATUS_OK);
        assert_int_equal(imports(), 4);
        end();
    }
}

static void import_that_cannot_be_released_is_a_status(void **state)
{
    (void)state;
    start(2);
    bed.workers[1].release_fail = 1;
    bed_unregister(&client, 3, 0);
    struct bc_message message = bed_expect(&client, BC_MSG_UNREGISTER_ACK, 3);
    assert_int_equal(bed_status(&message, 0), BC_STATUS_INTERNAL);
    assert_int_equal(bed_metric(&bed, "bluecache_session_regions"), 0);
    bed_register(&client, 4, 0, 0, MIB);
    message = bed_expect(&client, BC_MSG_REGISTER_ACK, 4);
    assert_int_equal(bed_status(&message, 0), BC_STATUS_OK);
    bed.workers[0].release_fail = 1;
    end();
}

static void many_memories_are_imported_a_few_a_turn(void **state)
{
    enum { MEMORIES = 1000 };
    size_t room = sizeof(struct bc_wire_list) +
                  MEMORIES * (sizeof(struct bc_wire_memory) + sizeof(struct bc_memory_region));
    uint8_t *body = malloc(room);
    struct bc_writer writer;
    size_t len = 0;
    (void)state;
    start(2);
    bc_writer_init(&writer, body, room);
    assert_int_equal(bc_list_begin_encode(&writer, MEMORIES), 0);
    for (uint32_t i = 0; i < MEMORIES; i++) {
        struct bc_memory_region region = {
            .magic = BC_MEMORY_REGION_MAGIC, .base = bed.memory + i, .len = 4096};
        struct bc_memory_desc memory = {
            .wire = {.memory_id = 1 + i,
                     .generation = 1,
                     .kind = BC_MEMORY_PCI_EXPORT,
                     .access = BC_MEMORY_ACCESS_READ,
                     .desc_len = sizeof(region),
                     .length = 4096},
            .descriptor = {(const uint8_t *)&region, sizeof(region)},
        };
        assert_int_equal(bc_memory_encode(&writer, &memory), 0);
    }
    assert_int_equal(bc_writer_finish(&writer, &len), 0);
    bed_send(&client, BC_MSG_REGISTER, 3, body, len);
    int64_t last = imports();
    for (int i = 0; i < 60; i++) {
        bed_turn(&bed);
        assert_true(imports() - last <= 2 * 2 * 32);
        last = imports();
    }
    struct bc_message message = bed_expect(&client, BC_MSG_REGISTER_ACK, 3);
    for (uint32_t i = 0; i < MEMORIES; i++) {
        assert_int_equal(bed_status(&message, i), BC_STATUS_OK);
    }
    assert_int_equal(imports(), 2 * (MEMORIES + 1));
    free(body);
    end();
}

static void memory_that_is_not_there_is_refused(void **state)
{
    (void)state;
    start(2);
    bed_transfer(&client, 3, BC_TRANSFER_PUSH, 0, 0, 1, MEMORY_LEN + 1, 0);
    assert_int_equal(bed_completion(&client, 3), BC_STATUS_RANGE);
    bed_transfer(&client, 4, BC_TRANSFER_PUSH, 9, 0, 1, 10, 0);
    assert_int_equal(bed_completion(&client, 4), BC_STATUS_BAD_MEMORY);
    bed_transfer(&client, 5, BC_TRANSFER_PUSH, UINT32_MAX, 0, 1, 10, 0);
    assert_int_equal(bed_completion(&client, 5), BC_STATUS_BAD_MEMORY);
    bed_register(&client, 6, bed.limits.regions_max, 0, 10);
    struct bc_message message = bed_expect(&client, BC_MSG_REGISTER_ACK, 6);
    assert_int_equal(bed_status(&message, 0), BC_STATUS_LIMIT);
    uint32_t last = bed.limits.regions_max - 1;
    bed_unregister(&client, 7, last);
    message = bed_expect(&client, BC_MSG_UNREGISTER_ACK, 7);
    assert_int_equal(bed_status(&message, 0), BC_STATUS_BAD_MEMORY);
    bed_register(&client, 8, last, 0, 10);
    message = bed_expect(&client, BC_MSG_REGISTER_ACK, 8);
    assert_int_equal(bed_status(&message, 0), BC_STATUS_OK);
    bed_transfer(&client, 9, BC_TRANSFER_PUSH, last, 0, 1, 10, 0);
    assert_int_equal(bed_completion(&client, 9), BC_STATUS_OK);
    end();
}

static void more_than_the_credits_is_refused(void **state)
{
    struct bed_options options = {
        .workers = 2, .limits = {.requests_max = 2, .entries_max = 10, .bytes_max = 3 * MIB}};
    (void)state;
    bed_init(&bed, &options);
    bed_open(&bed, 0, &client);
    bed_register(&client, 2, 0, 0, MEMORY_LEN);
    bed_expect(&client, BC_MSG_REGISTER_ACK, 2);
    delay_copies(100);
    bed_transfer(&client, 3, BC_TRANSFER_PUSH, 0, 0, 11, 10, 0);
    assert_int_equal(bed_completion(&client, 3), BC_STATUS_LIMIT);
    bed_transfer(&client, 4, BC_TRANSFER_PUSH, 0, 0, 2, 2 * MIB, 0); /* alone, it may be larger */
    bed_transfer(&client, 5, BC_TRANSFER_PUSH, 0, 5, 1, MIB, 0);
    assert_int_equal(bed_completion(&client, 5), BC_STATUS_LIMIT);
    bed_query(&client, 6, BC_MSG_QUERY, 0, 5);
    bed_expect(&client, BC_MSG_QUERY_RESULT, 6);
    bed_transfer(&client, 7, BC_TRANSFER_PUSH, 0, 6, 1, 0, 0);
    bed_query(&client, 8, BC_MSG_QUERY, 0, 5);
    bed_turns(&bed, 50);
    bed_pass(&bed, 1000);
    uint32_t seen = 0;
    struct bc_message message;
    while (seen < 3 && bed_receive(&client, &message)) {
        seen++;
    }
    assert_int_equal(seen, 3);
    assert_int_equal(bed_metric(&bed, "bluecache_session_requests"), 0);
    end();
}

static void request_id_in_flight_may_not_be_used_again(void **state)
{
    (void)state;
    start(1);
    delay_copies(100);
    bed_transfer(&client, 3, BC_TRANSFER_PUSH, 0, 0, 1, 10, 0);
    bed_query(&client, 3, BC_MSG_QUERY, 0, 1);
    bed_expect(&client, BC_MSG_ERROR, 0);
    bed_expect_closed(&client);
    bed_pass(&bed, 200);
    end();
}

/* The whole life of a client, cut after every turn. */
static void client_that_leaves_at_any_turn_leaves_nothing(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 2; workers++) {
        for (uint32_t turn = 0; turn < 60; turn++) {
            struct bed_options options = {.workers = workers};
            bed_init(&bed, &options);
            size_t before = staging_free();
            bed_connect(&bed, turn % workers, &client);
            bed_hello(&client);
            bed_register(&client, 2, 0, 0, 4 * MIB);
            bed_register(&client, 3, 1, 4 * MIB, MIB);
            bed_transfer(&client, 4, BC_TRANSFER_PUSH, 0, 0, 6, 600000, 0);
            bed_transfer(&client, 5, BC_TRANSFER_PULL, 1, 0, 6, 1000, 0);
            bed_query(&client, 6, BC_MSG_QUERY, 0, 20);
            bed_unregister(&client, 7, 1);
            bed_cancel(&client, 4);
            bed_query(&client, 8, BC_MSG_REMOVE, 0, 20);
            bed_unregister(&client, 9, 0);
            bed_turns(&bed, turn);
            bed_close(&client);
            bed_wait_empty(&bed);
            assert_int_equal(imports(), 0);
            bed_open(&bed, 0, &client);
            bed_query(&client, 2, BC_MSG_REMOVE, 0, 20);
            bed_expect(&client, BC_MSG_REMOVE_RESULT, 2);
            bed_turns(&bed, 10);
            assert_int_equal(staging_free(), before);
            end();
        }
    }
}

/* The same with copies that take their time: nothing goes before they ended. */
static void client_that_leaves_waits_for_its_copies(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 2; workers++) {
        start(workers);
        delay_copies(1000);
        bed_transfer(&client, 3, BC_TRANSFER_PUSH, 0, 0, 8, MIB, 0);
        bed_turns(&bed, 20);
        bed_unregister(&client, 4, 0);
        bed_turns(&bed, 20);
        bed_close(&client);
        bed_turns(&bed, 200);
        assert_int_equal(bed_sessions(&bed), 1);
        assert_int_equal(imports(), workers);
        bed_pass(&bed, 1100);
        assert_int_equal(bed_sessions(&bed), 0);
        assert_int_equal(imports(), 0);
        bed_fini(&bed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_of_every_worker_come_back),
        cmocka_unit_test(each_entry_has_its_status),
        cmocka_unit_test(queries_and_removes_ask_every_worker),
        cmocka_unit_test(unregister_is_a_barrier),
        cmocka_unit_test(cancel_ends_the_parts_of_all_workers),
        cmocka_unit_test(cancel_at_every_turn_is_answered_once),
        cmocka_unit_test(deadline_ends_a_request_behind_slow_copies),
        cmocka_unit_test(copies_that_fail_fail_their_object_alone),
        cmocka_unit_test(import_refused_by_one_worker_is_dropped_by_all),
        cmocka_unit_test(import_that_cannot_be_released_is_a_status),
        cmocka_unit_test(many_memories_are_imported_a_few_a_turn),
        cmocka_unit_test(memory_that_is_not_there_is_refused),
        cmocka_unit_test(more_than_the_credits_is_refused),
        cmocka_unit_test(request_id_in_flight_may_not_be_used_again),
        cmocka_unit_test(client_that_leaves_at_any_turn_leaves_nothing),
        cmocka_unit_test(client_that_leaves_waits_for_its_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
