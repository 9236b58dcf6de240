/* SPDX-License-Identifier: Apache-2.0 */
/* test_transfers.cpp - preparing, posting, checking and releasing transfers, in every order that
 * NIXL's core is known for. */
#include "engine_test.hpp"

#include <cerrno>
#include <cstring>

namespace
{

int reset_fake(void **)
{
    fake = FakeBluecache();
    return 0;
}

/* An engine with one registered buffer and object 7 = "object". */
struct Fixture : EngineUnderTest {
    char buffer[4096] = {};
    nixlBackendMD *memory = registerMemory(buffer, sizeof(buffer));
    nixlBackendMD *object = registerObject(7, "object");

    nixlBackendReqH *whole(nixl_xfer_op_t operation)
    {
        return prep(operation, {desc(buffer, sizeof(buffer), 0, memory)},
                    {desc(uintptr_t{0}, sizeof(buffer), 7, object)});
    }
};

void push_and_pull_bring_the_bytes_back(void **)
{
    Fixture t;

    memset(t.buffer, 'x', sizeof(t.buffer));
    assert_int_equal(t.run(t.whole(NIXL_WRITE)), NIXL_SUCCESS);
    memset(t.buffer, 0, sizeof(t.buffer));
    assert_int_equal(t.run(t.whole(NIXL_READ)), NIXL_SUCCESS);
    assert_int_equal(t.buffer[4095], 'x');
}

void offsets_on_both_sides_are_kept(void **)
{
    Fixture t;
    nixlBackendReqH *handle;

    fake.objects["object"] = "0123456789";
    handle = t.prep(NIXL_READ, {t.desc(t.buffer + 100, 3, 0, t.memory)},
                    {t.desc(uintptr_t{4}, 3, 7, t.object)});
    assert_int_equal(t.run(handle), NIXL_SUCCESS);
    assert_memory_equal(t.buffer + 99,
                        "\0"
                        "456\0",
                        5);
}

void several_pieces_make_one_object(void **)
{
    Fixture t;
    nixlBackendReqH *handle;

    memcpy(t.buffer, "worldhello", 10);
    handle =
        t.prep(NIXL_WRITE, {t.desc(t.buffer + 5, 5, 0, t.memory), t.desc(t.buffer, 5, 0, t.memory)},
               {t.desc(uintptr_t{0}, 5, 7, t.object), t.desc(uintptr_t{5}, 5, 7, t.object)});
    assert_int_equal(t.run(handle), NIXL_SUCCESS);
    assert_string_equal(fake.objects["object"].c_str(), "helloworld");
}

void handle_is_posted_again_after_it_is_done(void **)
{
    Fixture t;
    nixlBackendReqH *handle = t.whole(NIXL_WRITE);

    for (char c = 'a'; c < 'd'; ++c) {
        t.buffer[0] = c;
        assert_int_equal(t.run(handle), NIXL_SUCCESS);
        assert_int_equal(fake.objects["object"][0], c);
    }
    assert_int_equal(fake.requests.size(), 0);
}

void posting_twice_is_refused(void **)
{
    Fixture t;
    nixlBackendReqH *handle = t.whole(NIXL_WRITE);

    fake.hold = true;
    assert_int_equal(t.engine->checkXfer(handle), NIXL_ERR_NOT_POSTED);
    assert_int_equal(t.post(handle), NIXL_IN_PROG);
    assert_int_equal(t.post(handle), NIXL_ERR_REPOST_ACTIVE);
    fake.credits = 0;
    nixlBackendReqH *waiting = t.whole(NIXL_WRITE);
    assert_int_equal(t.post(waiting), NIXL_IN_PROG);
    assert_int_equal(t.post(waiting), NIXL_ERR_REPOST_ACTIVE);
}

void stale_metadata_is_resolved_by_number(void **)
{
    Fixture t;

    assert_int_equal(t.engine->deregisterMem(t.object), NIXL_SUCCESS);
    assert_non_null(t.registerObject(7, "fresh"));
    assert_int_equal(t.run(t.whole(NIXL_WRITE)), NIXL_SUCCESS); /* comes with t.object */
    assert_int_equal(fake.objects.count("object"), 0);
    assert_int_equal(fake.objects.count("fresh"), 1);
}

void key_is_held_from_preparation_on(void **)
{
    Fixture t;
    nixlBackendReqH *handle = t.whole(NIXL_WRITE);

    assert_int_equal(t.engine->deregisterMem(t.object), NIXL_SUCCESS);
    assert_non_null(t.registerObject(7, "fresh"));
    assert_int_equal(t.run(handle), NIXL_SUCCESS);
    assert_int_equal(fake.objects.count("object"), 1);
    assert_int_equal(fake.objects.count("fresh"), 0);
}

void empty_metadata_names_the_decimal_number(void **)
{
    Fixture t;
    nixlBackendMD *meta = t.registerObject(18446744073709551615u, "");

    assert_int_equal(t.run(t.prep(NIXL_WRITE, {t.desc(t.buffer, 4, 0, t.memory)},
                                  {t.desc(uintptr_t{0}, 4, 18446744073709551615u, meta)})),
                     NIXL_SUCCESS);
    assert_int_equal(fake.objects.count("18446744073709551615"), 1);
}

void unfit_descriptors_are_refused(void **)
{
    Fixture t;
    const auto tryIt = [&](nixlMetaDesc local, nixlMetaDesc remote) {
        assert_null(t.prep(NIXL_WRITE, {local}, {remote}));
        return t.status;
    };
    const nixlMetaDesc remote = t.desc(uintptr_t{0}, 16, 7, t.object);

    assert_int_equal(tryIt(t.desc(t.buffer + 4090, 16, 0, t.memory), remote), NIXL_ERR_NOT_FOUND);
    assert_int_equal(tryIt(t.desc(t.buffer - 1, 16, 0, t.memory), remote), NIXL_ERR_NOT_FOUND);
    assert_int_equal(tryIt(t.desc(t.buffer, SIZE_MAX, 0, t.memory), remote), NIXL_ERR_NOT_FOUND);
    assert_int_equal(tryIt(t.desc(t.buffer, 16, 0, t.object), remote), NIXL_ERR_NOT_FOUND);
    assert_int_equal(tryIt(t.desc(t.buffer, 16, 0, nullptr), remote), NIXL_ERR_NOT_FOUND);
    assert_int_equal(
        tryIt(t.desc(t.buffer, 16, 0, t.memory), t.desc(uintptr_t{0}, 16, 8, t.object)),
        NIXL_ERR_NOT_FOUND);
    assert_int_equal(
        tryIt(t.desc(t.buffer, 16, 0, t.memory), t.desc(uintptr_t{0}, 15, 7, t.object)),
        NIXL_ERR_MISMATCH);
    assert_int_equal(
        tryIt(t.desc(t.buffer, 16, 0, t.memory), t.desc(UINTPTR_MAX - 3, 16, 7, t.object)),
        NIXL_ERR_INVALID_PARAM);
}

void unfit_lists_are_refused(void **)
{
    Fixture t;
    const nixlMetaDesc local = t.desc(t.buffer, 16, 0, t.memory);
    const nixlMetaDesc remote = t.desc(uintptr_t{0}, 16, 7, t.object);
    nixlBackendReqH *handle = nullptr;
    nixl_opt_b_args_t notif;

    assert_null(t.prep(NIXL_WRITE, {local, local}, {remote}));
    assert_int_equal(t.status, NIXL_ERR_INVALID_PARAM);
    assert_null(t.prep(NIXL_WRITE, {}, {}));
    assert_int_equal(t.status, NIXL_ERR_INVALID_PARAM);
    assert_null(t.prep(NIXL_WRITE, std::vector<nixlMetaDesc>(4097, local),
                       std::vector<nixlMetaDesc>(4097, remote)));
    assert_int_equal(t.status, NIXL_ERR_INVALID_PARAM);
    assert_null(t.prep(NIXL_WRITE, {local}, {remote}, OBJ_SEG));
    assert_int_equal(t.status, NIXL_ERR_NOT_SUPPORTED);
    const nixl_meta_dlist_t locals(DRAM_SEG, {local}), remotes(OBJ_SEG, {remote});

    assert_int_equal(t.engine->prepXfer(NIXL_WRITE, locals, locals, "agent", handle),
                     NIXL_ERR_NOT_SUPPORTED);
    assert_int_equal(t.engine->prepXfer(NIXL_WRITE, locals, remotes, "somebody else", handle),
                     NIXL_ERR_NOT_SUPPORTED);
    notif.hasNotif = true;
    assert_int_equal(t.engine->prepXfer(NIXL_WRITE, locals, remotes, "agent", handle, &notif),
                     NIXL_ERR_NOT_SUPPORTED);
    assert_null(handle);
}

void stale_memory_metadata_is_refused(void **)
{
    Fixture t;

    assert_int_equal(t.engine->deregisterMem(t.memory), NIXL_SUCCESS);
    assert_non_null(t.registerMemory(t.buffer, sizeof(t.buffer)));
    assert_null(t.whole(NIXL_WRITE));
    assert_int_equal(t.status, NIXL_ERR_NOT_FOUND);
}

void memory_gone_between_prepare_and_post_fails_the_post(void **)
{
    Fixture t;
    nixlBackendReqH *handle = t.whole(NIXL_WRITE);

    assert_int_equal(t.engine->deregisterMem(t.memory), NIXL_SUCCESS);
    assert_int_equal(t.post(handle), NIXL_ERR_NOT_FOUND);
    assert_int_equal(t.engine->checkXfer(handle), NIXL_ERR_NOT_FOUND);
    assert_int_equal(t.engine->releaseReqH(handle), NIXL_SUCCESS);
}

void memory_in_use_is_let_go_when_the_transfer_ends(void **)
{
    Fixture t;
    nixlBackendReqH *handle = t.whole(NIXL_WRITE);

    fake.hold = true;
    assert_int_equal(t.post(handle), NIXL_IN_PROG);
    assert_int_equal(t.engine->deregisterMem(t.memory), NIXL_ERR_NOT_ALLOWED);
    assert_int_equal(fake.memories.size(), 1);
    assert_null(t.whole(NIXL_WRITE)); /* no new transfer on it */
    fake.complete(0);
    assert_int_equal(t.engine->checkXfer(handle), NIXL_SUCCESS);
    assert_non_null(t.registerObject(8, "another call that may wait"));
    assert_int_equal(fake.memories.size(), 0);
}

void transfers_wait_for_credits_in_the_order_of_posting(void **)
{
    Fixture t;
    nixlBackendReqH *first = t.whole(NIXL_WRITE), *second = t.whole(NIXL_READ),
                    *third = t.whole(NIXL_WRITE);

    fake.hold = true;
    fake.credits = 1;
    assert_int_equal(t.post(first), NIXL_IN_PROG);
    assert_int_equal(t.post(second), NIXL_IN_PROG);
    assert_int_equal(t.post(third), NIXL_IN_PROG);
    assert_int_equal(fake.requests.size(), 1);
    fake.credits = 1;
    assert_int_equal(t.engine->checkXfer(third), NIXL_IN_PROG);
    assert_int_equal(fake.requests.size(), 2);
    assert_int_equal(fake.requests[1]->operation, BC_PULL);
    fake.credits = 1;
    assert_int_equal(t.engine->checkXfer(first), NIXL_IN_PROG);
    assert_int_equal(fake.requests.size(), 3);
    fake.complete(2);
    assert_int_equal(t.engine->checkXfer(third), NIXL_SUCCESS);
    assert_int_equal(t.engine->checkXfer(first), NIXL_IN_PROG);
}

void transfers_wait_for_a_lost_agent(void **)
{
    Fixture t;
    nixlBackendReqH *handle = t.whole(NIXL_WRITE);

    fake.connected = false;
    assert_int_equal(t.post(handle), NIXL_IN_PROG);
    assert_int_equal(t.engine->checkXfer(handle), NIXL_IN_PROG);
    fake.connected = true;
    assert_int_equal(t.engine->checkXfer(handle), NIXL_SUCCESS);
}

void submit_error_ends_the_transfer(void **)
{
    Fixture t;

    fake.submitResult = -ENOMEM;
    assert_int_equal(t.run(t.whole(NIXL_WRITE)), NIXL_ERR_BACKEND);
    fake.submitResult = -EINVAL;
    assert_int_equal(t.run(t.whole(NIXL_WRITE)), NIXL_ERR_INVALID_PARAM);
}

void waiting_transfer_is_released_at_once(void **)
{
    Fixture t;
    nixlBackendReqH *handle = t.whole(NIXL_WRITE);

    fake.credits = 0;
    assert_int_equal(t.post(handle), NIXL_IN_PROG);
    assert_int_equal(t.engine->releaseReqH(handle), NIXL_SUCCESS);
    fake.credits = 1;
    assert_int_equal(t.run(t.whole(NIXL_READ)), NIXL_ERR_NOT_FOUND); /* nothing was pushed */
    assert_int_equal(t.engine->deregisterMem(t.memory), NIXL_SUCCESS);
}

void release_in_flight_cancels_and_is_refused_until_the_end(void **)
{
    Fixture t;
    nixlBackendReqH *handle = t.whole(NIXL_WRITE);

    fake.hold = true;
    assert_int_equal(t.post(handle), NIXL_IN_PROG);
    assert_int_equal(t.engine->releaseReqH(handle), NIXL_ERR_REPOST_ACTIVE);
    assert_true(fake.requests[0]->cancelled);
    assert_int_equal(t.engine->checkXfer(handle), NIXL_IN_PROG);
    assert_int_equal(t.engine->releaseReqH(handle), NIXL_ERR_REPOST_ACTIVE);
    assert_int_equal(t.post(handle), NIXL_ERR_REPOST_ACTIVE);
    fake.complete(0, BC_STATUS_CANCELLED);
    assert_int_equal(t.engine->checkXfer(handle), NIXL_ERR_CANCELED);
    assert_int_equal(t.engine->releaseReqH(handle), NIXL_SUCCESS);
    assert_int_equal(t.engine->releaseReqH(handle), NIXL_SUCCESS);
    assert_int_equal(fake.requests.size(), 0);
}

/* After a refusal NIXL deletes its own handle at the next try, whatever is answered. */
void refused_release_is_cleaned_up_without_another_call(void **)
{
    Fixture t;
    nixlBackendReqH *handle = t.whole(NIXL_WRITE);

    fake.hold = true;
    assert_int_equal(t.post(handle), NIXL_IN_PROG);
    assert_int_equal(t.engine->releaseReqH(handle), NIXL_ERR_REPOST_ACTIVE);
    assert_int_equal(t.engine->releaseReqH(handle), NIXL_ERR_REPOST_ACTIVE);
    assert_int_equal(t.engine->deregisterMem(t.memory), NIXL_ERR_NOT_ALLOWED);
    fake.complete(0, BC_STATUS_CANCELLED);
    assert_int_equal(t.engine->deregisterMem(t.memory), NIXL_ERR_NOT_FOUND);
    assert_int_equal(fake.requests.size(), 0);
    assert_int_equal(fake.memories.size(), 0);
}

void request_that_ended_unseen_is_released_at_once(void **)
{
    Fixture t;
    nixlBackendReqH *handle = t.whole(NIXL_WRITE);

    fake.hold = true;
    assert_int_equal(t.post(handle), NIXL_IN_PROG);
    fake.complete(0);
    assert_int_equal(t.engine->releaseReqH(handle), NIXL_SUCCESS);
    assert_int_equal(fake.requests.size(), 0);
    assert_int_equal(t.post(handle), NIXL_ERR_INVALID_PARAM);
}

void request_statuses_become_nixl_statuses(void **)
{
    const std::pair<bc_status, nixl_status_t> cases[] = {
        {BC_STATUS_NOT_FOUND, NIXL_ERR_NOT_FOUND},
        {BC_STATUS_CHECKSUM, NIXL_ERR_NOT_FOUND},
        {BC_STATUS_RANGE, NIXL_ERR_INVALID_PARAM},
        {BC_STATUS_TILING, NIXL_ERR_INVALID_PARAM},
        {BC_STATUS_NO_SPACE, NIXL_ERR_BACKEND},
        {BC_STATUS_TIMED_OUT, NIXL_ERR_BACKEND},
        {BC_STATUS_CANCELLED, NIXL_ERR_CANCELED},
        {BC_STATUS_DISCONNECTED, NIXL_ERR_REMOTE_DISCONNECT},
        {BC_STATUS_SHUTTING_DOWN, NIXL_ERR_REMOTE_DISCONNECT},
        {BC_STATUS_DENIED, NIXL_ERR_NOT_ALLOWED},
        {BC_STATUS_NOT_SUPPORTED, NIXL_ERR_NOT_SUPPORTED},
    };
    Fixture t;

    fake.hold = true;
    for (const auto &[status, expected] : cases) {
        nixlBackendReqH *handle = t.whole(NIXL_READ);

        assert_int_equal(t.post(handle), NIXL_IN_PROG);
        fake.complete(0, status);
        assert_int_equal(t.engine->checkXfer(handle), expected);
        assert_int_equal(t.engine->checkXfer(handle), expected);
        assert_int_equal(t.engine->releaseReqH(handle), NIXL_SUCCESS);
    }
}

void engine_goes_with_transfers_in_flight(void **)
{
    {
        Fixture t;

        fake.hold = true;
        assert_int_equal(t.post(t.whole(NIXL_WRITE)), NIXL_IN_PROG);
        fake.credits = 0;
        assert_int_equal(t.post(t.whole(NIXL_WRITE)), NIXL_IN_PROG);
        /* The agent's teardown: sections first, then engines. */
        assert_int_equal(t.engine->deregisterMem(t.memory), NIXL_ERR_NOT_ALLOWED);
        assert_int_equal(t.engine->unloadMD(t.memory), NIXL_SUCCESS);
    }
    assert_int_equal(fake.clients, 0);
    assert_int_equal(fake.requests.size(), 0);
    assert_int_equal(fake.memories.size(), 0);
}

} // namespace

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(push_and_pull_bring_the_bytes_back, reset_fake),
        cmocka_unit_test_setup(offsets_on_both_sides_are_kept, reset_fake),
        cmocka_unit_test_setup(several_pieces_make_one_object, reset_fake),
        cmocka_unit_test_setup(handle_is_posted_again_after_it_is_done, reset_fake),
        cmocka_unit_test_setup(posting_twice_is_refused, reset_fake),
        cmocka_unit_test_setup(stale_metadata_is_resolved_by_number, reset_fake),
        cmocka_unit_test_setup(key_is_held_from_preparation_on, reset_fake),
        cmocka_unit_test_setup(empty_metadata_names_the_decimal_number, reset_fake),
        cmocka_unit_test_setup(unfit_descriptors_are_refused, reset_fake),
        cmocka_unit_test_setup(unfit_lists_are_refused, reset_fake),
        cmocka_unit_test_setup(stale_memory_metadata_is_refused, reset_fake),
        cmocka_unit_test_setup(memory_gone_between_prepare_and_post_fails_the_post, reset_fake),
        cmocka_unit_test_setup(memory_in_use_is_let_go_when_the_transfer_ends, reset_fake),
        cmocka_unit_test_setup(transfers_wait_for_credits_in_the_order_of_posting, reset_fake),
        cmocka_unit_test_setup(transfers_wait_for_a_lost_agent, reset_fake),
        cmocka_unit_test_setup(submit_error_ends_the_transfer, reset_fake),
        cmocka_unit_test_setup(waiting_transfer_is_released_at_once, reset_fake),
        cmocka_unit_test_setup(release_in_flight_cancels_and_is_refused_until_the_end, reset_fake),
        cmocka_unit_test_setup(refused_release_is_cleaned_up_without_another_call, reset_fake),
        cmocka_unit_test_setup(request_that_ended_unseen_is_released_at_once, reset_fake),
        cmocka_unit_test_setup(request_statuses_become_nixl_statuses, reset_fake),
        cmocka_unit_test_setup(engine_goes_with_transfers_in_flight, reset_fake),
    };

    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
