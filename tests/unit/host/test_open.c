/* SPDX-License-Identifier: Apache-2.0 */
/* test_open.c - options, devices, and every way in which a first connection can fail. */
#include "fake_doca.h"
#include "fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel/transport.h"

static int reset(void **state)
{
    (void)state;
    fake_doca_reset();
    (void)unsetenv("BLUECACHE_MODE");
    (void)unsetenv("BLUECACHE_TIMEOUT_MS");
    (void)unsetenv("BLUECACHE_SPIN_US");
    (void)unsetenv("BLUECACHE_PCI_ADDR");
    (void)unsetenv("BLUECACHE_DPU_ADDR");
    return 0;
}

/* Expects the open to fail with this code and a sentence that holds `text`. */
static void expect_failure(struct bc_client_options options, int code, const char *text)
{
    struct bc_client *none = NULL;
    struct bc_error error = {""};

    if (options.dpu_addr == NULL && agent != NULL) {
        options.dpu_addr = fake_agent_address(agent);
    }
    if (options.timeout_ms == 0) {
        options.timeout_ms = WAIT_MS;
    }
    assert_int_equal(bc_client_open(&options, &none, &error), code);
    assert_null(none);
    if (strstr(error.text, text) == NULL) {
        fail_msg("'%s' does not say '%s'", error.text, text);
    }
    assert_int_equal(bc_client_open(&options, &none, NULL), code); /* nobody reads the sentence */
}

static int stop(void **state)
{
    fake_agent_stop(agent);
    agent = NULL;
    return reset(state);
}

static void a_client_tells_what_it_was_granted(void **state)
{
    struct fake_agent_options options = {.requests_max = 33, .entries_max = 44, .regions_max = 55};
    struct bc_client_info info;

    start_agent(&options);
    open_client(0);
    bc_client_get_info(client, &info);
    assert_true(info.connected);
    assert_true(info.emulated);
    assert_int_equal(info.reconnects, 0);
    assert_int_equal(info.session_id, 1);
    assert_int_equal(info.requests_max, 33);
    assert_int_equal(info.entries_max, 44);
    assert_int_equal(info.regions_max, 55);
    assert_int_equal(info.chunk_len, 1 << 20);
    assert_string_equal(info.agent, "fake 1.0");
    assert_string_equal(info.dpu_addr, fake_agent_address(agent));
    assert_string_equal(info.pci_addr, FAKE_PCI_ADDR);
    assert_string_not_equal(bc_version(), "");
    assert_int_equal(bc_client_close(client), 0);
    client = NULL;
    assert_true(trace_wait("goodbye", 1));
    assert_int_equal(close_all(state), 0); /* NULL: nothing to close */
}

static void the_environment_fills_what_is_not_given(void **state)
{
    struct bc_client_info info;

    start_agent(NULL);
    (void)setenv("BLUECACHE_DPU_ADDR", fake_agent_address(agent), 1);
    (void)setenv("BLUECACHE_PCI_ADDR", "ba:00.0", 1);
    (void)setenv("BLUECACHE_TIMEOUT_MS", "5000", 1);
    (void)setenv("BLUECACHE_SPIN_US", "0", 1);
    (void)setenv("BLUECACHE_MODE", "tcp", 1);
    fake_doca_devices(3);
    assert_int_equal(bc_client_open(NULL, &client, NULL), 0);
    bc_client_get_info(client, &info);
    assert_string_equal(info.pci_addr, FAKE_PCI_ADDR);
    assert_int_equal(close_all(state), 0);
}

static void bad_options_are_named(void **state)
{
    (void)state;
    start_agent(NULL);
    expect_failure((struct bc_client_options){.mode = "rdma"}, -EINVAL, "rdma");
    expect_failure((struct bc_client_options){.mode = "comch", .dpu_addr = "port-1"}, -ECONNREFUSED,
                   "--rep");
    expect_failure((struct bc_client_options){.mode = "comch", .dpu_addr = "a/"}, -EINVAL,
                   "service");
    expect_failure((struct bc_client_options){.dpu_addr = "127.0.0.1:99999999"}, -EINVAL,
                   "HOST:PORT");
    (void)setenv("BLUECACHE_TIMEOUT_MS", "soon", 1);
    assert_int_equal(bc_client_open(NULL, &client, NULL), -EINVAL);
    (void)setenv("BLUECACHE_TIMEOUT_MS", "0", 1);
    assert_int_equal(bc_client_open(NULL, &client, NULL), -EINVAL);
    (void)unsetenv("BLUECACHE_TIMEOUT_MS");
    (void)setenv("BLUECACHE_SPIN_US", "1000001", 1);
    assert_int_equal(bc_client_open(NULL, &client, NULL), -EINVAL);
    assert_int_equal(trace_count("conn"), 0);
}

static void the_device_must_be_clear(void **state)
{
    (void)state;
    start_agent(NULL);
    expect_failure((struct bc_client_options){.pci_addr = "0000:99:00.0"}, -ENODEV, FAKE_PCI_ADDR);
    fake_doca_devices(2);
    expect_failure((struct bc_client_options){0}, -ENODEV, "BLUECACHE_PCI_ADDR");
    fake_doca_devices(0);
    expect_failure((struct bc_client_options){0}, -ENODEV, "BlueField");
}

static void nobody_listens(void **state)
{
    struct bc_listener *listener = NULL;
    char address[64];

    (void)state;
    /* A port that was free a moment ago. */
    assert_int_equal(bc_transport_tcp()->listen("127.0.0.1:0", &listener), 0);
    (void)snprintf(address, sizeof(address), "%s", bc_transport_tcp()->listener_address(listener));
    bc_transport_tcp()->listener_close(listener);
    expect_failure((struct bc_client_options){.dpu_addr = address}, -ECONNREFUSED, "dpu_dma_copy");
}

static void the_agent_refuses(void **state)
{
    struct fake_agent_options options = {.hello_status = BC_STATUS_DENIED};

    (void)state;
    start_agent(&options);
    expect_failure((struct bc_client_options){0}, -EACCES, "refuses");
    fake_agent_stop(agent);
    options = (struct fake_agent_options){.hello_error = "not your tenant"};
    start_agent(&options);
    expect_failure((struct bc_client_options){0}, -EACCES, "not your tenant");
    fake_agent_stop(agent);
    options = (struct fake_agent_options){.hello_status = BC_STATUS_NOT_SUPPORTED};
    start_agent(&options);
    expect_failure((struct bc_client_options){0}, -EPROTONOSUPPORT, "refuses");
}

static void the_agent_says_nothing(void **state)
{
    (void)state;
    start_agent(NULL);
    fake_agent_hold(agent, BC_MSG_HELLO, true);
    expect_failure((struct bc_client_options){.timeout_ms = 40}, -ETIMEDOUT, "40 ms");
}

static void the_agent_hangs_up(void **state)
{
    (void)state;
    start_agent(NULL);
    fake_agent_drop(agent, true);
    expect_failure((struct bc_client_options){0}, -ECONNREFUSED, "closes the connection");
}

static void two_clients_live_side_by_side(void **state)
{
    struct bc_client *other = NULL;
    struct bc_client_options options = {.timeout_ms = WAIT_MS};
    uint64_t ns = 0;

    start_agent(NULL);
    open_client(0);
    options.dpu_addr = fake_agent_address(agent);
    assert_int_equal(bc_client_open(&options, &other, NULL), 0);
    assert_int_equal(bc_ping(client, 0, &ns), 0);
    assert_int_equal(bc_ping(other, 0, NULL), 0);
    assert_true(ns > 0);
    assert_int_equal(bc_client_close(other), 0);
    assert_int_equal(bc_ping(client, 0, &ns), 0);
    assert_int_equal(close_all(state), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_client_tells_what_it_was_granted, reset, reset),
        cmocka_unit_test_setup_teardown(the_environment_fills_what_is_not_given, reset, reset),
        cmocka_unit_test_setup_teardown(bad_options_are_named, reset, stop),
        cmocka_unit_test_setup_teardown(the_device_must_be_clear, reset, stop),
        cmocka_unit_test_setup_teardown(nobody_listens, reset, stop),
        cmocka_unit_test_setup_teardown(the_agent_refuses, reset, stop),
        cmocka_unit_test_setup_teardown(the_agent_says_nothing, reset, stop),
        cmocka_unit_test_setup_teardown(the_agent_hangs_up, reset, stop),
        cmocka_unit_test_setup_teardown(two_clients_live_side_by_side, reset, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
