/* SPDX-License-Identifier: Apache-2.0 */
/* test_registration.cpp - registering memory and objects, metadata that NIXL brings back too late,
 * queries, and how a backend fails to open. */
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

void memory_is_registered_with_its_type_and_gpu(void **)
{
    EngineUnderTest t;
    char buffer[64];

    assert_non_null(t.registerMemory(buffer, sizeof(buffer)));
    assert_int_equal(fake.lastType, BC_MEMORY_HOST);
    assert_non_null(t.registerMemory(buffer, sizeof(buffer), VRAM_SEG, 3));
    assert_int_equal(fake.lastType, BC_MEMORY_CUDA);
    assert_int_equal(fake.lastDevice, 3);
    assert_int_equal(fake.memories.size(), 2);
}

void refused_memory_leaves_nothing_behind(void **)
{
    EngineUnderTest t;
    char buffer[64];

    fake.registerResult = -ENOSPC;
    assert_null(t.registerMemory(buffer, sizeof(buffer)));
    assert_int_equal(t.status, NIXL_ERR_BACKEND);
    fake.registerResult = -ENODEV;
    assert_null(t.registerMemory(buffer, sizeof(buffer), VRAM_SEG));
    assert_int_equal(t.status, NIXL_ERR_NOT_SUPPORTED);
    fake.registerResult = 0;
    assert_null(t.registerMemory(buffer, 0));
    assert_int_equal(t.status, NIXL_ERR_INVALID_PARAM);
    assert_null(t.registerMemory(buffer, sizeof(buffer), FILE_SEG));
    assert_int_equal(t.status, NIXL_ERR_NOT_SUPPORTED);
    assert_int_equal(fake.memories.size(), 0);
}

void deregistering_lets_the_memory_go_once(void **)
{
    EngineUnderTest t;
    char buffer[64];
    nixlBackendMD *meta = t.registerMemory(buffer, sizeof(buffer));

    assert_int_equal(t.engine->deregisterMem(meta), NIXL_SUCCESS);
    assert_int_equal(fake.memories.size(), 0);
    assert_int_equal(t.engine->unloadMD(meta), NIXL_SUCCESS);
    assert_int_equal(t.engine->deregisterMem(meta), NIXL_ERR_NOT_FOUND);
}

void quarantined_memory_is_let_go_later(void **)
{
    EngineUnderTest t;
    char buffer[64];
    nixlBackendMD *meta = t.registerMemory(buffer, sizeof(buffer));

    fake.unregisterResult = -EINPROGRESS;
    assert_int_equal(t.engine->deregisterMem(meta), NIXL_ERR_NOT_ALLOWED);
    assert_int_equal(fake.memories.size(), 1);
    fake.unregisterResult = 0;
    assert_non_null(t.registerObject(1, "another call that may wait"));
    assert_int_equal(fake.memories.size(), 0);
}

void what_cannot_be_let_go_yet_is_all_kept(void **)
{
    EngineUnderTest t;
    char buffer[64];
    nixlBackendMD *metas[3];

    for (nixlBackendMD *&meta : metas) {
        meta = t.registerMemory(buffer, sizeof(buffer));
    }
    fake.unregisterResult = -EINPROGRESS;
    for (nixlBackendMD *meta : metas) {
        assert_int_equal(t.engine->deregisterMem(meta), NIXL_ERR_NOT_ALLOWED);
        assert_int_equal(t.engine->deregisterMem(meta), NIXL_ERR_NOT_ALLOWED);
    }
    assert_non_null(t.registerObject(1, "another call that may wait"));
    assert_int_equal(fake.memories.size(), 3);
    fake.unregisterResult = 0;
    assert_non_null(t.registerObject(2, "another call that may wait"));
    assert_int_equal(fake.memories.size(), 0);
}

void number_names_one_key_while_it_is_registered(void **)
{
    EngineUnderTest t;
    nixlBackendMD *first = t.registerObject(7, "a");
    nixlBackendMD *second = t.registerObject(7, "a");

    assert_non_null(first);
    assert_non_null(second);
    assert_null(t.registerObject(7, "a/b"));
    assert_int_equal(t.status, NIXL_ERR_NOT_ALLOWED);
    assert_int_equal(t.engine->deregisterMem(first), NIXL_SUCCESS);
    assert_null(t.registerObject(7, "a/b"));
    assert_int_equal(t.engine->deregisterMem(second), NIXL_SUCCESS);
    assert_non_null(t.registerObject(7, "a/b"));
}

void key_length_is_limited(void **)
{
    EngineUnderTest t;

    assert_non_null(t.registerObject(1, std::string(1024, 'k')));
    assert_null(t.registerObject(2, std::string(1025, 'k')));
    assert_int_equal(t.status, NIXL_ERR_INVALID_PARAM);
}

void query_answers_the_whole_list_in_one_round_trip(void **)
{
    EngineUnderTest t;
    const std::string nul("n\0l", 3);
    std::vector<nixl_query_resp_t> resp(7);
    std::vector<nixlBlobDesc> descs(4);

    fake.objects = {{"a", "12345"}, {nul, "1"}, {"42", ""}};
    descs[0].metaInfo = "a";
    descs[1].metaInfo = "missing";
    descs[2].metaInfo = nul;
    descs[3].devId = 42;
    assert_int_equal(t.engine->queryMem(nixl_reg_dlist_t(OBJ_SEG, descs), resp), NIXL_SUCCESS);
    assert_int_equal(fake.queries, 1);
    assert_int_equal(resp.size(), 4);
    assert_string_equal(resp[0]->at("size").c_str(), "5");
    assert_string_equal(resp[0]->at("version").c_str(), "5");
    assert_false(resp[1].has_value());
    assert_string_equal(resp[2]->at("size").c_str(), "1");
    assert_string_equal(resp[3]->at("size").c_str(), "0");
}

void query_of_a_lost_agent_ends_at_once_when_told_so(void **)
{
    EngineUnderTest t(nixl_b_params_t{{"away_ms", "0"}});
    std::vector<nixlBlobDesc> descs(1);
    std::vector<nixl_query_resp_t> resp;

    descs[0].metaInfo = "k";
    fake.connected = false;
    assert_int_equal(t.engine->queryMem(nixl_reg_dlist_t(OBJ_SEG, descs), resp),
                     NIXL_ERR_REMOTE_DISCONNECT);
    assert_int_equal(fake.queries, 0);
    fake.connected = true;
    assert_int_equal(t.engine->queryMem(nixl_reg_dlist_t(OBJ_SEG, descs), resp), NIXL_SUCCESS);
    assert_int_equal(fake.queries, 1);
}

void query_tells_a_failure_from_a_miss(void **)
{
    EngineUnderTest t;
    std::vector<nixl_query_resp_t> resp;
    std::vector<nixlBlobDesc> descs(1);

    fake.queryStatus = BC_STATUS_KEY_TOO_LONG;
    assert_int_equal(t.engine->queryMem(nixl_reg_dlist_t(OBJ_SEG, descs), resp), NIXL_SUCCESS);
    assert_false(resp.at(0).has_value());
    fake.queryStatus = BC_STATUS_IO_ERROR;
    assert_int_equal(t.engine->queryMem(nixl_reg_dlist_t(OBJ_SEG, descs), resp), NIXL_ERR_BACKEND);
    fake.queryResult = -ENOTCONN;
    assert_int_equal(t.engine->queryMem(nixl_reg_dlist_t(OBJ_SEG, descs), resp),
                     NIXL_ERR_REMOTE_DISCONNECT);
    assert_int_equal(t.engine->queryMem(nixl_reg_dlist_t(DRAM_SEG, descs), resp),
                     NIXL_ERR_NOT_SUPPORTED);
}

void backend_fails_without_an_agent(void **)
{
    fake.openResult = -ECONNREFUSED;
    EngineUnderTest t;

    assert_true(t.engine->getInitErr());
    assert_int_equal(fake.clients, 0);
}

void backend_fails_on_an_unknown_parameter(void **)
{
    EngineUnderTest t(nixl_b_params_t{{"dpu_adr", "127.0.0.1:1"}});

    assert_true(t.engine->getInitErr());
    assert_int_equal(fake.clients, 0);
}

void parameters_reach_the_library(void **)
{
    {
        EngineUnderTest t(nixl_b_params_t{{"dpu_addr", "10.0.0.1:5"},
                                          {"pci_addr", "0000:ba:00.0"},
                                          {"mode", "tcp"},
                                          {"timeout_ms", "250"}});

        assert_false(t.engine->getInitErr());
        assert_string_equal(fake.dpuAddr.c_str(), "10.0.0.1:5");
        assert_string_equal(fake.pciAddr.c_str(), "0000:ba:00.0");
        assert_int_equal(fake.timeoutMs, 250);
        assert_int_equal(fake.clients, 1);
    }
    assert_int_equal(fake.clients, 0);
}

void engine_says_what_it_supports(void **)
{
    EngineUnderTest t;

    assert_true(t.engine->supportsLocal());
    assert_false(t.engine->supportsRemote());
    assert_false(t.engine->supportsNotif());
    assert_true(t.engine->getSupportedMems() == (nixl_mem_list_t{DRAM_SEG, VRAM_SEG, OBJ_SEG}));
    assert_int_equal(t.engine->connect("agent"), NIXL_SUCCESS);
    assert_int_equal(t.engine->disconnect("agent"), NIXL_SUCCESS);
}

} // namespace

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(memory_is_registered_with_its_type_and_gpu, reset_fake),
        cmocka_unit_test_setup(refused_memory_leaves_nothing_behind, reset_fake),
        cmocka_unit_test_setup(deregistering_lets_the_memory_go_once, reset_fake),
        cmocka_unit_test_setup(quarantined_memory_is_let_go_later, reset_fake),
        cmocka_unit_test_setup(what_cannot_be_let_go_yet_is_all_kept, reset_fake),
        cmocka_unit_test_setup(number_names_one_key_while_it_is_registered, reset_fake),
        cmocka_unit_test_setup(key_length_is_limited, reset_fake),
        cmocka_unit_test_setup(query_answers_the_whole_list_in_one_round_trip, reset_fake),
        cmocka_unit_test_setup(query_of_a_lost_agent_ends_at_once_when_told_so, reset_fake),
        cmocka_unit_test_setup(query_tells_a_failure_from_a_miss, reset_fake),
        cmocka_unit_test_setup(backend_fails_without_an_agent, reset_fake),
        cmocka_unit_test_setup(backend_fails_on_an_unknown_parameter, reset_fake),
        cmocka_unit_test_setup(parameters_reach_the_library, reset_fake),
        cmocka_unit_test_setup(engine_says_what_it_supports, reset_fake),
    };

    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
