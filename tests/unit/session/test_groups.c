/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that leave together, over four workers: pushed, pulled and evicted by whole sessions, in one
 * thread and in several. */
#include "bed.h"

#include <pthread.h>

#define WORKERS    4u
#define KIB        1024u
#define MEMORY_LEN (16u << 20)
#define MEMBERS    4u
#define OBJECT_LEN (300u * KIB)

static struct bed bed;
static struct bed_client client;

static void start(bool threads)
{
    struct bed_options options = {.workers = WORKERS, .threads = threads};
    bed_init(&bed, &options);
    bed_open(&bed, 1, &client);
    bed_register(&client, 2, 0, 0, MEMORY_LEN);
    struct bc_message message = bed_expect(&client, BC_MSG_REGISTER_ACK, 2);
    assert_int_equal(bed_status(&message, 0), BC_STATUS_OK);
}

static int64_t metric(const char *name)
{
    return bed_metric(&bed, name);
}

/* How many of the group's objects are there. */
static uint32_t present(uint32_t group)
{
    const struct bc_wire_query_result *results;
    struct bc_message message;
    uint32_t count;
    uint32_t found = 0;
    bed_query(&client, 7, BC_MSG_QUERY, group * MEMBERS, MEMBERS);
    message = bed_expect(&client, BC_MSG_QUERY_RESULT, 7);
    assert_int_equal(bc_query_result_decode(message.body, message.body_len, &results, &count), 0);
    assert_int_equal(count, MEMBERS);
    for (uint32_t i = 0; i < count; i++) {
        found += results[i].status == BC_STATUS_OK;
    }
    return found;
}

static void push_groups(uint32_t first, uint32_t count)
{
    for (uint32_t group = first; group < first + count; group++) {
        bed.group = 1 + group;
        bed_transfer(&client, 10, BC_TRANSFER_PUSH, 0, group * MEMBERS, MEMBERS, OBJECT_LEN, 0);
        assert_int_equal(bed_completion(&client, 10), BC_STATUS_OK);
    }
    bed.group = 0;
}

/* Of each group all or none; how many groups there are. */
static uint32_t whole_groups(uint32_t count)
{
    uint32_t whole = 0;
    for (uint32_t group = 0; group < count; group++) {
        uint32_t found = present(group);
        assert_true(found == 0 || found == MEMBERS);
        whole += found == MEMBERS;
    }
    return whole;
}

/* What is counted as used is what the objects that are left take, to the byte. */
static void check_room(uint32_t groups)
{
    assert_int_equal(metric("bluecache_dram_objects"), groups * MEMBERS);
    assert_int_equal(metric("bluecache_dram_used_bytes"),
                     (int64_t)(groups * MEMBERS * bc_staging_cost(OBJECT_LEN)));
}

static void remove_all(uint32_t groups)
{
    bed_query(&client, 8, BC_MSG_REMOVE, 0, groups * MEMBERS);
    bed_expect(&client, BC_MSG_REMOVE_RESULT, 8);
    assert_int_equal(metric("bluecache_dram_objects"), 0);
    assert_int_equal(metric("bluecache_dram_used_bytes"), 0);
}

static void members_on_four_workers_leave_together(void **state)
{
    const uint32_t groups = 60;
    (void)state;
    for (int threads = 0; threads < 2; threads++) {
        start(threads != 0);
        push_groups(0, groups);
        bed_wait_groups(&bed);
        uint32_t whole = whole_groups(groups);
        assert_true(whole > 2 && whole < groups / 2);
        assert_true(metric("bluecache_dram_evictions_total") > 0);
        assert_true(metric("bluecache_dram_group_evictions_total") > 0);
        assert_int_equal(metric("bluecache_dram_evictions_total") +
                             metric("bluecache_dram_group_evictions_total"),
                         (groups - whole) * MEMBERS);
        check_room(whole);
        remove_all(groups);
        bed_close(&client);
        bed_fini(&bed);
    }
}

/* Pushes without end of few groups, over one another, while drops are on their way. */
static void groups_that_come_again_stay_whole(void **state)
{
    const uint32_t groups = 24;
    (void)state;
    start(false);
    for (uint32_t round = 0; round < 40; round++) {
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t group = (round * 7 + i * 5) % groups;
            bed.group = 1 + group;
            bed_transfer(&client, 10 + i, BC_TRANSFER_PUSH, 0, group * MEMBERS, MEMBERS, OBJECT_LEN,
                         0);
        }
        for (uint32_t i = 0; i < 4; i++) {
            struct bc_completion completion;
            struct bc_message message;
            assert_true(bed_receive(&client, &message));
            assert_int_equal(message.type, BC_MSG_COMPLETION);
            assert_int_equal(bc_completion_decode(message.body, message.body_len, &completion), 0);
            assert_int_equal(completion.wire.status, BC_STATUS_OK);
        }
        if (round % 4 == 0) {
            bed_wait_groups(&bed);
            check_room(whole_groups(groups));
        }
    }
    bed_wait_groups(&bed);
    check_room(whole_groups(groups));
    remove_all(groups);
    bed_close(&client);
    bed_fini(&bed);
}

/* More drops than one mail carries, while the other workers do not run. */
static void drops_wait_for_workers_that_are_slow(void **state)
{
    const uint32_t tiny = 3 * BC_GROUP_POST_MAX;
    struct bc_group_post *post = &bed.workers[0].worker.group_post;
    struct bc_backend *backend;
    (void)state;
    start(false);
    for (uint32_t group = 0; group < tiny; group++) {
        bed.group = 1 + group;
        bed_transfer(&client, 10, BC_TRANSFER_PUSH, 0, group * MEMBERS, MEMBERS, 4096, 0);
        assert_int_equal(bed_completion(&client, 10), BC_STATUS_OK);
    }
    bed.group = 0;
    assert_true(bc_group_post_is_quiet(post));
    /* Room for one object as large as can be takes all that the first worker has. */
    backend = bed.workers[0].worker.backend;
    struct bc_backend_caps caps;
    struct bc_object_key key = {.key_len = 1, .key = "x"};
    struct bc_put *put;
    int64_t before = metric("bluecache_dram_objects");
    backend->ops->caps(backend, &caps);
    assert_int_equal(backend->ops->put_begin(backend, &key, caps.object_size_max, NULL, &put), 0);
    backend->ops->put_abort(put);
    int64_t own = before - metric("bluecache_dram_objects");
    assert_true(own > 2 * (int64_t)BC_GROUP_POST_MAX / 2);
    assert_false(bc_group_post_is_quiet(post));
    for (uint32_t turn = 0; turn < 20; turn++) {
        bc_loop_turn(bed.workers[0].worker.loop, 0); /* alone: nothing gets on */
    }
    assert_int_equal(metric("bluecache_dram_objects"), before - own);
    bed_wait_groups(&bed);
    uint32_t whole = whole_groups(tiny);
    assert_true(whole < tiny);
    assert_int_equal(metric("bluecache_dram_objects"), whole * MEMBERS);
    remove_all(tiny);
    bed_close(&client);
    bed_fini(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_on_four_workers_leave_together),
        cmocka_unit_test(groups_that_come_again_stay_whole),
        cmocka_unit_test(drops_wait_for_workers_that_are_slow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
