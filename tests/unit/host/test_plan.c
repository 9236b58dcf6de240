/* SPDX-License-Identifier: Apache-2.0 */
/* test_plan.c - keys and parts of a request alone. */
#include "fixture.h"
#include "plan.h"
#include "proto/proto.h"
#include "request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_MAX 5000

static struct bc_request request;
static struct bc_entry entries[COUNT_MAX];
static struct bc_request_entry request_entries[COUNT_MAX];
static uint32_t key_of[COUNT_MAX];
static char names[COUNT_MAX][16];

/* Entry i names key i / per_key. */
static void make_entries(uint32_t count, uint32_t per_key)
{
    for (uint32_t i = 0; i < count; i++) {
        int len = snprintf(names[i], sizeof(names[i]), "key %u", i / per_key);

        entries[i] = (struct bc_entry){.key = names[i],
                                       .key_len = (size_t)len,
                                       .object_offset = (i % per_key) * 10,
                                       .length = 10};
    }
}

static void make_plan(uint32_t count)
{
    memset(&request, 0, sizeof(request));
    request.entry_count = count;
    request.entries = request_entries;
    assert_int_equal(bc_plan_init(&request.plan, entries, count, key_of), 0);
    for (uint32_t i = 0; i < count; i++) {
        request_entries[i] =
            (struct bc_request_entry){.length = entries[i].length, .key = key_of[i]};
    }
}

static bool with_groups;

static int cut(uint32_t entries_max, size_t body_max)
{
    struct bc_plan_limits limits = {
        .entries_max = entries_max, .body_max = body_max, .groups = with_groups};

    return bc_plan_cut(&request.plan, &request, &limits);
}

/* Every entry is in one part, with its key, and parts keep to the limits. */
static void check_plan(uint32_t entries_max, size_t body_max)
{
    uint8_t *seen = calloc(request.entry_count + 1, 1);
    uint32_t total = 0;

    assert_non_null(seen);
    for (uint32_t p = 0; p < request.plan.part_count; p++) {
        const struct bc_part *part = &request.plan.parts[p];

        assert_true(part->count <= entries_max && part->body_len <= body_max && part->count > 0);
        assert_int_equal(part->first, total);
        total += part->count;
        for (uint32_t i = 0; i < part->count; i++) {
            uint32_t index = request.plan.order[part->first + i];
            uint32_t key = request.entries[index].key;

            assert_true(key >= part->key_first && key < part->key_first + part->key_count);
            assert_int_equal(seen[index]++, 0);
            assert_true(i == 0 || index > request.plan.order[part->first + i - 1]);
        }
    }
    free(seen);
}

static void one_part_when_it_fits(void **state)
{
    (void)state;
    make_entries(100, 1);
    make_plan(100);
    assert_int_equal(cut(100, BC_MESSAGE_BODY_MAX), 0);
    assert_int_equal(request.plan.part_count, 1);
    assert_int_equal(request.plan.key_count, 100);
    check_plan(100, BC_MESSAGE_BODY_MAX);
    assert_int_equal(request.plan.parts[0].bytes, 1000);
    bc_plan_fini(&request.plan);
}

static void a_key_is_listed_once(void **state)
{
    (void)state;
    make_entries(1000, 1);
    for (uint32_t i = 0; i < 1000; i++) { /* interleaved, not in a row */
        entries[i].key = names[i % 7];
        entries[i].key_len = strlen(names[i % 7]);
        entries[i].object_offset = (i / 7) * 10;
    }
    make_plan(1000);
    assert_int_equal(request.plan.key_count, 7);
    assert_int_equal(request.plan.keys[0].entries, 143);
    assert_int_equal(request.plan.keys[0].object_size, 1430);
    assert_int_equal(request.plan.keys[6].object_size, 1420);
    assert_int_equal(cut(150, BC_MESSAGE_BODY_MAX), 0);
    assert_int_equal(request.plan.part_count, 7);
    check_plan(150, BC_MESSAGE_BODY_MAX);
    bc_plan_fini(&request.plan);
}

static void parts_end_between_keys(void **state)
{
    (void)state;
    make_entries(COUNT_MAX, 3);
    make_plan(COUNT_MAX);
    for (uint32_t limit = 3; limit < 4000; limit = limit * 2 + 1) {
        assert_int_equal(cut(limit, BC_MESSAGE_BODY_MAX), 0);
        check_plan(limit, BC_MESSAGE_BODY_MAX);
        for (uint32_t p = 0; p + 1 < request.plan.part_count; p++) {
            assert_int_equal(request.plan.parts[p].count % 3, 0);
        }
    }
    bc_plan_fini(&request.plan);
}

static void parts_fit_a_message(void **state)
{
    (void)state;
    make_entries(COUNT_MAX, 1);
    make_plan(COUNT_MAX);
    assert_int_equal(cut(65536, 8192), 0);
    assert_true(request.plan.part_count > 30);
    check_plan(65536, 8192);
    bc_plan_fini(&request.plan);
}

static void a_key_over_the_limit_cannot_be_cut(void **state)
{
    (void)state;
    make_entries(9, 9);
    make_plan(9);
    assert_int_equal(cut(8, BC_MESSAGE_BODY_MAX), -EINVAL);
    assert_int_equal(cut(9, 256), -EINVAL);
    assert_int_equal(cut(9, BC_MESSAGE_BODY_MAX), 0);
    bc_plan_fini(&request.plan);
}

static void keys_that_no_agent_takes_are_left_out(void **state)
{
    static char long_key[BC_KEY_LEN_MAX + 1];

    (void)state;
    make_entries(4, 1);
    entries[1].key_len = 0;
    entries[2].key = long_key;
    entries[2].key_len = sizeof(long_key);
    make_plan(4);
    assert_int_equal(request.plan.key_count, 2);
    assert_int_equal(key_of[1], BC_KEY_NONE);
    assert_int_equal(key_of[2], BC_KEY_NONE);
    assert_int_equal(cut(10, 4096), 0);
    assert_int_equal(request.plan.parts[0].count, 2);
    assert_int_equal(request.plan.order[1], 3);
    bc_plan_fini(&request.plan);
    entries[0].key_len = entries[3].key_len = 0;
    make_plan(4);
    assert_int_equal(cut(10, 4096), 0);
    assert_int_equal(request.plan.part_count, 0);
    bc_plan_fini(&request.plan);
}

static void groups_take_room_in_the_parts_that_have_some(void **state)
{
    const size_t body_max = 8192;

    (void)state;
    make_entries(COUNT_MAX, 2);
    for (uint32_t i = 0; i < COUNT_MAX; i++) {
        entries[i].group = i < COUNT_MAX / 2 ? 0 : 1 + i; /* the first one of a key counts */
    }
    make_plan(COUNT_MAX);
    assert_int_equal(request.plan.keys[COUNT_MAX / 4].group, 1 + COUNT_MAX / 2);
    assert_int_equal(cut(65536, body_max), 0);
    assert_int_equal(request.plan.parts[request.plan.part_count - 1].tlv_len, 0);
    with_groups = true;
    assert_int_equal(cut(65536, body_max), 0);
    with_groups = false;
    check_plan(65536, body_max);
    assert_int_equal(request.plan.parts[0].tlv_len, 0);
    for (uint32_t p = 0; p < request.plan.part_count; p++) {
        const struct bc_part *part = &request.plan.parts[p];
        bool any = part->key_first + part->key_count > COUNT_MAX / 4;

        assert_int_equal(part->tlv_len, any ? bc_tlv_group_len(part->key_count) : 0);
    }
    bc_plan_fini(&request.plan);
}

static void parts_with_groups_have_as_many_keys_as_fit_their_tlv(void **state)
{
    static struct bc_entry many[2 * BC_GROUP_KEYS_MAX];
    static uint32_t keys[BC_ARRAY_LEN(many)];
    static char text[BC_ARRAY_LEN(many)][16];
    struct bc_plan_limits limits = {
        .entries_max = 65536, .body_max = BC_MESSAGE_BODY_MAX, .groups = true};

    (void)state;
    for (uint32_t i = 0; i < BC_ARRAY_LEN(many); i++) {
        many[i] = (struct bc_entry){.key = text[i],
                                    .key_len = (size_t)snprintf(text[i], sizeof(text[i]), "%u", i)};
    }
    many[BC_GROUP_KEYS_MAX + 9].group = 1;
    memset(&request, 0, sizeof(request));
    assert_int_equal(bc_plan_init(&request.plan, many, BC_ARRAY_LEN(many), keys), 0);
    assert_int_equal(bc_plan_cut(&request.plan, &request, &limits), 0);
    assert_int_equal(request.plan.part_count, 2);
    assert_int_equal(request.plan.parts[0].tlv_len, 0);
    assert_int_equal(request.plan.parts[0].key_count, BC_GROUP_KEYS_MAX + 9);
    many[0].group = 2;
    bc_plan_fini(&request.plan);
    assert_int_equal(bc_plan_init(&request.plan, many, BC_ARRAY_LEN(many), keys), 0);
    assert_int_equal(bc_plan_cut(&request.plan, &request, &limits), 0);
    assert_int_equal(request.plan.part_count, 2);
    assert_int_equal(request.plan.parts[0].key_count, BC_GROUP_KEYS_MAX);
    bc_plan_fini(&request.plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_part_when_it_fits),
        cmocka_unit_test(a_key_is_listed_once),
        cmocka_unit_test(parts_end_between_keys),
        cmocka_unit_test(parts_fit_a_message),
        cmocka_unit_test(a_key_over_the_limit_cannot_be_cut),
        cmocka_unit_test(keys_that_no_agent_takes_are_left_out),
        cmocka_unit_test(groups_take_room_in_the_parts_that_have_some),
        cmocka_unit_test(parts_with_groups_have_as_many_keys_as_fit_their_tlv),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
