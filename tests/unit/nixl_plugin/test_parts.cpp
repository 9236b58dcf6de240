/* SPDX-License-Identifier: Apache-2.0 */
/* test_parts.cpp - parameters, printed keys, and the deadlines of transfers that wait in line. */
#include "engine_test.hpp"

#include <cerrno>
#include <cstdlib>

#include "log.h"
#include "parameters.h"

using namespace docaDmaProxy;

namespace
{

int clear_environment(void **)
{
    fake = FakeBluecache();
    for (const char *name : {"BLUECACHE_DPU_ADDR", "BLUECACHE_PCI_ADDR", "BLUECACHE_MODE",
                             "BLUECACHE_TIMEOUT_MS", "BLUECACHE_AWAY_MS"}) {
        unsetenv(name);
    }
    return 0;
}

void parameters_come_from_user_then_environment_then_default(void **)
{
    Parameters parameters;
    std::string problem;

    setenv("BLUECACHE_DPU_ADDR", "10.1.1.1:7", 1);
    setenv("BLUECACHE_TIMEOUT_MS", "1500", 1);
    assert_true(parseParameters({{"timeout_ms", "20"}, {"mode", ""}}, parameters, problem));
    assert_string_equal(parameters.dpuAddr.c_str(), "10.1.1.1:7");
    assert_string_equal(parameters.mode.c_str(), "tcp");
    assert_string_equal(parameters.pciAddr.c_str(), "");
    assert_int_equal(parameters.timeoutMs, 20);
    assert_true(parseParameters({}, parameters, problem));
    assert_int_equal(parameters.timeoutMs, 1500);
}

void waiting_for_a_lost_agent_is_never_longer_than_the_timeout(void **)
{
    Parameters parameters;
    std::string problem;

    assert_true(parseParameters({{"timeout_ms", "20"}}, parameters, problem));
    assert_int_equal(parameters.awayMs, 20);
    assert_true(parseParameters({{"timeout_ms", "20"}, {"away_ms", "30"}}, parameters, problem));
    assert_int_equal(parameters.awayMs, 20);
    setenv("BLUECACHE_AWAY_MS", "5", 1);
    assert_true(parseParameters({{"timeout_ms", "20"}}, parameters, problem));
    assert_int_equal(parameters.awayMs, 5);
    assert_true(parseParameters({{"away_ms", "0"}}, parameters, problem));
    assert_int_equal(parameters.awayMs, 0);
}

void bad_parameters_are_told_by_name(void **)
{
    Parameters parameters;
    std::string problem;

    assert_false(parseParameters({{"dpu_adress", "x"}}, parameters, problem));
    assert_true(problem.find("dpu_adress") != std::string::npos);
    for (const char *text : {"0", "-1", "1s", "ten", " 5", "99999999999999999999", "31536000001"}) {
        problem.clear();
        assert_false(parseParameters({{"timeout_ms", text}}, parameters, problem));
        assert_true(problem.find("timeout_ms") != std::string::npos);
    }
    assert_true(parseParameters({{"timeout_ms", "31536000000"}}, parameters, problem));
    assert_false(parseParameters({{"away_ms", "soon"}}, parameters, problem));
    assert_true(problem.find("away_ms") != std::string::npos);
    assert_false(
        parseParameters({{"dpu_addr", std::string("127.0.0.1\0:1", 12)}}, parameters, problem));
}

void defaults_can_be_given_back(void **)
{
    Parameters parameters;
    std::string problem;

    setenv("BLUECACHE_PCI_ADDR", "0000:ba:00.0", 1);
    const nixl_b_params_t defaults = effectiveDefaults();

    assert_int_equal(defaults.size(), 5);
    assert_string_equal(defaults.at("dpu_addr").c_str(), "127.0.0.1:18517");
    assert_true(parseParameters(defaults, parameters, problem));
    assert_string_equal(parameters.pciAddr.c_str(), "0000:ba:00.0");
    assert_int_equal(parameters.timeoutMs, 30000);
}

void keys_are_printed_safely(void **)
{
    assert_string_equal(printable("/data/a b").c_str(), "/data/a b");
    assert_string_equal(printable(std::string("a\0\n\\\xff", 5)).c_str(), "a\\x00\\x0a\\x5c\\xff");
    assert_true(printable(std::string(1024, 'k')).size() < 110);
}

TransferLine::Clock::time_point now;

std::shared_ptr<Transfer> one_entry(bc_memory *memory)
{
    const auto transfer = std::make_shared<Transfer>();
    const Key key = std::make_shared<const std::string>("k");

    transfer->operation = BC_PULL;
    transfer->entries.push_back({memory, 0, key->data(), key->size(), 0, 1, 0});
    transfer->keys.push_back(key);
    return transfer;
}

void waiting_ends_at_the_deadline(void **)
{
    TransferLine line;
    bc_memory memory = {nullptr, 0, BC_MEMORY_HOST, 0};
    const auto first = one_entry(&memory);
    const auto second = one_entry(&memory);

    now = TransferLine::Clock::time_point() + std::chrono::hours(1);
    line.init(nullptr, 100, 100, [] { return now; });
    fake.connected = false;
    assert_int_equal(line.post(first), NIXL_IN_PROG);
    now += std::chrono::milliseconds(60);
    assert_int_equal(line.post(second), NIXL_IN_PROG);
    now += std::chrono::milliseconds(40);
    assert_int_equal(line.check(first), NIXL_ERR_REMOTE_DISCONNECT);
    assert_int_equal(line.check(second), NIXL_IN_PROG);
    fake.connected = true;
    fake.credits = 0;
    now += std::chrono::milliseconds(60);
    assert_int_equal(line.check(second), NIXL_ERR_BACKEND);
}

void waiting_for_a_lost_agent_ends_earlier(void **)
{
    TransferLine line;
    bc_memory memory = {nullptr, 0, BC_MEMORY_HOST, 0};
    const auto transfer = one_entry(&memory);
    const auto credits = one_entry(&memory);

    now = TransferLine::Clock::time_point() + std::chrono::hours(1);
    line.init(nullptr, 100, 10, [] { return now; });
    fake.connected = false;
    assert_int_equal(line.post(transfer), NIXL_IN_PROG);
    now += std::chrono::milliseconds(10);
    assert_int_equal(line.check(transfer), NIXL_ERR_REMOTE_DISCONNECT);
    /* Credits are another matter: an agent that is there is waited for. */
    fake.connected = true;
    fake.credits = 0;
    assert_int_equal(line.post(credits), NIXL_IN_PROG);
    now += std::chrono::milliseconds(99);
    assert_int_equal(line.check(credits), NIXL_IN_PROG);
    now += std::chrono::milliseconds(1);
    assert_int_equal(line.check(credits), NIXL_ERR_BACKEND);
}

void lost_agent_is_not_waited_for(void **)
{
    TransferLine line;
    bc_memory memory = {nullptr, 0, BC_MEMORY_HOST, 0};

    line.init(nullptr, 100, 0, [] { return now; });
    fake.connected = false;
    assert_int_equal(line.post(one_entry(&memory)), NIXL_ERR_REMOTE_DISCONNECT);
}

void time_in_line_counts_for_the_request(void **)
{
    TransferLine line;
    bc_memory memory = {nullptr, 0, BC_MEMORY_HOST, 0};
    const auto transfer = one_entry(&memory);

    now = TransferLine::Clock::time_point() + std::chrono::hours(1);
    line.init(nullptr, 100, 100, [] { return now; });
    fake.hold = true;
    fake.credits = 0;
    assert_int_equal(line.post(transfer), NIXL_IN_PROG);
    now += std::chrono::milliseconds(30);
    fake.credits = 1;
    assert_int_equal(line.check(transfer), NIXL_IN_PROG);
    assert_int_equal(fake.requests.at(0)->timeoutMs, 70);
    fake.complete(0, BC_STATUS_TIMED_OUT);
    assert_int_equal(line.check(transfer), NIXL_ERR_BACKEND);
}

} // namespace

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(parameters_come_from_user_then_environment_then_default,
                               clear_environment),
        cmocka_unit_test_setup(bad_parameters_are_told_by_name, clear_environment),
        cmocka_unit_test_setup(defaults_can_be_given_back, clear_environment),
        cmocka_unit_test_setup(keys_are_printed_safely, clear_environment),
        cmocka_unit_test_setup(waiting_ends_at_the_deadline, clear_environment),
        cmocka_unit_test_setup(waiting_for_a_lost_agent_is_never_longer_than_the_timeout,
                               clear_environment),
        cmocka_unit_test_setup(waiting_for_a_lost_agent_ends_earlier, clear_environment),
        cmocka_unit_test_setup(lost_agent_is_not_waited_for, clear_environment),
        cmocka_unit_test_setup(time_in_line_counts_for_the_request, clear_environment),
    };

    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
