/* SPDX-License-Identifier: Apache-2.0 */
/* test_objects.c - query, remove, ping, statistics. */
#include "fake_doca.h"
#include "fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MANY 3000

static char names[MANY][32];
static struct bc_key keys[MANY];
static struct bc_object_info infos[MANY];
static enum bc_status statuses[MANY];

static void make_keys(void)
{
    for (size_t i = 0; i < MANY; i++) {
        int len = snprintf(names[i], sizeof(names[i]), "%s %zu", i % 3 == 0 ? "miss" : "key", i);

        keys[i] = (struct bc_key){.data = names[i], .len = (size_t)len};
    }
}

static void query_answers_for_every_key(void **state)
{
    (void)state;
    start_agent(NULL);
    open_client(0);
    make_keys();
    assert_int_equal(bc_query(client, keys, MANY, 0, infos), 0);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(infos[i].status, i % 3 == 0 ? BC_STATUS_NOT_FOUND : BC_STATUS_OK);
        assert_int_equal(infos[i].size, keys[i].len * 100);
        assert_int_equal(infos[i].version, 7);
    }
    assert_int_equal(trace_count("query"), 1);
    assert_int_equal(bc_query(client, keys, 0, 0, NULL), 0);
}

static void long_lists_are_cut(void **state)
{
    struct fake_agent_options options = {.message_max = 8192};

    (void)state;
    start_agent(&options);
    open_client(0);
    make_keys();
    assert_int_equal(bc_query(client, keys, MANY, 0, infos), 0);
    assert_int_equal(bc_remove(client, keys, MANY, 0, statuses), 0);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(infos[i].status, i % 3 == 0 ? BC_STATUS_NOT_FOUND : BC_STATUS_OK);
        assert_int_equal(statuses[i], i % 3 == 0 ? BC_STATUS_NOT_FOUND : BC_STATUS_OK);
    }
    assert_true(trace_count("query") > 3);
    assert_int_equal(trace_count("query"), trace_count("remove"));
}

static void bad_keys_are_answered_here(void **state)
{
    static char long_key[70000];
    struct bc_key three[3] = {{.data = "", .len = 0},
                              {.data = long_key, .len = sizeof(long_key)},
                              {.data = "ok", .len = 2}};

    (void)state;
    start_agent(NULL);
    open_client(0);
    assert_int_equal(bc_query(client, three, 3, 0, infos), 0);
    assert_int_equal(infos[0].status, BC_STATUS_KEY_TOO_LONG);
    assert_int_equal(infos[1].status, BC_STATUS_KEY_TOO_LONG);
    assert_int_equal(infos[2].status, BC_STATUS_OK);
    assert_int_equal(bc_remove(client, three, 3, 0, statuses), 0);
    assert_int_equal(statuses[0], BC_STATUS_KEY_TOO_LONG);
    assert_int_equal(statuses[2], BC_STATUS_OK);
    assert_int_equal(bc_remove(client, three, 2, 0, statuses), 0);
    assert_int_equal(trace_count("remove"), 1);
    assert_int_equal(bc_query(client, NULL, 1, 0, infos), -EINVAL);
    assert_int_equal(bc_query(client, three, 1, 0, NULL), -EINVAL);
    three[0] = (struct bc_key){.data = NULL, .len = 4};
    assert_int_equal(bc_remove(client, three, 1, 0, NULL), -EINVAL);
}

static void an_unanswered_question_has_a_deadline(void **state)
{
    uint64_t ns;

    (void)state;
    start_agent(NULL);
    open_client(0);
    make_keys();
    fake_agent_hold(agent, BC_MSG_QUERY, true);
    fake_agent_hold(agent, BC_MSG_PING, true);
    assert_int_equal(bc_query(client, keys, 5, 30, infos), -ETIMEDOUT);
    assert_int_equal(bc_ping(client, 30, &ns), -ETIMEDOUT);
    /* The late answers find nobody, and do no harm. */
    fake_agent_hold(agent, BC_MSG_QUERY, false);
    fake_agent_hold(agent, BC_MSG_PING, false);
    assert_int_equal(bc_query(client, keys, 5, 0, infos), 0);
    assert_int_equal(bc_ping(client, 0, &ns), 0);
    assert_int_equal(trace_count("hello"), 1);
}

struct seen {
    int count;
    int64_t things;
    uint64_t p99;
};

static void visit(void *arg, const struct bc_stat *stat)
{
    struct seen *seen = arg;

    seen->count++;
    if (strcmp(stat->name, "bluecache_fake_things_total") == 0) {
        seen->things = stat->value;
    }
    if (stat->kind == BC_STAT_HISTOGRAM) {
        assert_string_equal(stat->name, "bluecache_fake_wait_ns");
        assert_int_equal(stat->sum, 35);
        seen->p99 = stat->p99;
    }
}

static void statistics_are_visited(void **state)
{
    struct seen seen = {0};

    (void)state;
    start_agent(NULL);
    open_client(0);
    assert_int_equal(bc_stats(client, 0, visit, &seen), 0);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.things, 42);
    assert_int_equal(seen.p99, 20);
    assert_int_equal(bc_stats(client, 0, NULL, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(query_answers_for_every_key, close_all),
        cmocka_unit_test_teardown(long_lists_are_cut, close_all),
        cmocka_unit_test_teardown(bad_keys_are_answered_here, close_all),
        cmocka_unit_test_teardown(an_unanswered_question_has_a_deadline, close_all),
        cmocka_unit_test_teardown(statistics_are_visited, close_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
