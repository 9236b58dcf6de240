/* SPDX-License-Identifier: Apache-2.0 */
/* test_threads.cpp - one engine used from several threads at once, as NIXL does in its default
 * mode, which has no locks. What can go wrong here is for ThreadSanitizer to see. */
#include "engine_test.hpp"

#include <atomic>
#include <chrono>
#include <cstring>
#include <future>
#include <thread>

namespace
{

constexpr int threads_max = 4;
constexpr int rounds_max = 150;

int reset_fake(void **)
{
    fake = FakeBluecache();
    return 0;
}

nixl_status_t wait_for(EngineUnderTest &t, nixlBackendReqH *handle)
{
    nixl_status_t status = t.post(handle);

    for (int tries = 0; tries < 1000000 && status == NIXL_IN_PROG; ++tries) {
        status = t.engine->checkXfer(handle);
    }
    return status;
}

/* Everything a program does with one block, from registration to deregistration. */
bool one_round(EngineUnderTest &t, uint64_t number, char value)
{
    std::vector<char> buffer(512, value);
    nixlBlobDesc memory_desc = {}, object_desc = {};
    nixlBackendMD *memory = nullptr, *object = nullptr;
    std::vector<nixl_query_resp_t> found;
    bool good = true;

    memory_desc.addr = reinterpret_cast<uintptr_t>(buffer.data());
    memory_desc.len = buffer.size();
    object_desc.len = buffer.size();
    object_desc.devId = number;
    good &= t.engine->registerMem(memory_desc, DRAM_SEG, memory) == NIXL_SUCCESS;
    good &= t.engine->registerMem(object_desc, OBJ_SEG, object) == NIXL_SUCCESS;
    for (const nixl_xfer_op_t operation : {NIXL_WRITE, NIXL_READ}) {
        const nixl_meta_dlist_t local(DRAM_SEG, {t.desc(buffer.data(), buffer.size(), 0, memory)});
        const nixl_meta_dlist_t remote(OBJ_SEG,
                                       {t.desc(uintptr_t{0}, buffer.size(), number, object)});
        nixlBackendReqH *handle = nullptr;

        good &= t.engine->prepXfer(operation, local, remote, "agent", handle) == NIXL_SUCCESS;
        good &= wait_for(t, handle) == NIXL_SUCCESS;
        good &= t.engine->releaseReqH(handle) == NIXL_SUCCESS;
        if (operation == NIXL_WRITE) {
            memset(buffer.data(), 0, buffer.size());
        }
    }
    good &= buffer == std::vector<char>(512, value);
    good &= t.engine->queryMem(nixl_reg_dlist_t(OBJ_SEG, {object_desc}), found) == NIXL_SUCCESS;
    good &= found.size() == 1 && found[0].has_value();
    good &= t.engine->deregisterMem(object) == NIXL_SUCCESS;
    good &= t.engine->deregisterMem(memory) == NIXL_SUCCESS;
    return good;
}

void engine_is_used_from_several_threads(void **)
{
    EngineUnderTest t;
    std::atomic<int> failures{0};
    std::vector<std::thread> threads;

    for (int i = 0; i < threads_max; ++i) {
        threads.emplace_back([&, i] {
            for (int round = 0; round < rounds_max; ++round) {
                failures += !one_round(t, static_cast<uint64_t>(i), static_cast<char>(round));
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    assert_int_equal(failures, 0);
    assert_int_equal(fake.memories.size(), 0);
    assert_int_equal(fake.requests.size(), 0);
}

/* The library may wait for its agent as long as timeout_ms; transfers of other threads go on. */
void registration_that_waits_holds_up_no_transfer(void **)
{
    EngineUnderTest t;
    std::vector<char> buffer(512, 'x');
    char waits[16];
    nixlBackendMD *memory = t.registerMemory(buffer.data(), buffer.size());
    nixlBackendMD *object = t.registerObject(7, "key");
    const nixl_meta_dlist_t local(DRAM_SEG, {t.desc(buffer.data(), buffer.size(), 0, memory)});
    const nixl_meta_dlist_t remote(OBJ_SEG, {t.desc(uintptr_t{0}, buffer.size(), 7, object)});
    std::promise<void> begun, over;
    std::future<void> may_end = over.get_future();

    fake.onRegister = [&] {
        begun.set_value();
        may_end.wait_for(std::chrono::seconds(60));
    };
    std::thread registers([&] {
        nixlBlobDesc desc = {};
        nixlBackendMD *meta = nullptr;

        desc.addr = reinterpret_cast<uintptr_t>(waits);
        desc.len = sizeof(waits);
        if (t.engine->registerMem(desc, DRAM_SEG, meta) == NIXL_SUCCESS) {
            static_cast<void>(t.engine->deregisterMem(meta));
        }
    });
    begun.get_future().wait();
    /* All that a transfer needs; it would hang here for a minute, and find the other one over. */
    auto transfers = std::async(std::launch::async, [&] {
        nixlBackendReqH *handle = nullptr;

        return t.engine->prepXfer(NIXL_WRITE, local, remote, "agent", handle) == NIXL_SUCCESS &&
               wait_for(t, handle) == NIXL_SUCCESS && t.engine->releaseReqH(handle) == NIXL_SUCCESS;
    });
    const bool in_time = transfers.wait_for(std::chrono::seconds(30)) == std::future_status::ready;

    over.set_value();
    registers.join();
    assert_true(transfers.get());
    assert_true(in_time);
    fake.onRegister = nullptr;
    assert_int_equal(t.engine->deregisterMem(memory), NIXL_SUCCESS);
    assert_int_equal(t.engine->deregisterMem(object), NIXL_SUCCESS);
    assert_int_equal(fake.memories.size(), 0);
}

} // namespace

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(engine_is_used_from_several_threads, reset_fake),
        cmocka_unit_test_setup(registration_that_waits_holds_up_no_transfer, reset_fake),
    };

    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
