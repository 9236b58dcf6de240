/* SPDX-License-Identifier: Apache-2.0 */
/* test_deadlines.c - what the library thread waits for by itself: a connection that hangs, a
 * greeting that is not answered, memory that leaves or cannot be exported. */
#include "fake_doca.h"
#include "fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define DEAF_CONNS_MAX 16u

static int reset(void **state)
{
    (void)state;
    fake_doca_reset();
    return 0;
}

static int tear_down(void **state)
{
    int rc = close_all(state);

    assert_int_equal(fake_doca_open_count(), 0);
    return rc;
}

static uint64_t now_ms(void)
{
    return bc_clock_now_ns(bc_clock_monotonic()) / BC_NS_PER_MS;
}

/* ---- a listener that lets connections hang ------------------------------------------------- */

struct deaf {
    int fds[DEAF_CONNS_MAX + 1]; /* the listener, and those that fill its backlog */
    size_t count;
    char address[32];
};

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

/* Another connection is only begun, by its descriptor's being non-blocking; one that does not get
 * through at once will not get through later. */
static void fill_backlog(struct deaf *deaf, const struct sockaddr_in *name)
{
    while (deaf->count <= DEAF_CONNS_MAX) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_in peer;
        socklen_t peer_len = sizeof(peer);

        assert_true(fd >= 0);
        deaf->fds[deaf->count++] = fd;
        (void)connect(fd, (const struct sockaddr *)name, sizeof(*name));
        if (getpeername(fd, (struct sockaddr *)&peer, &peer_len) != 0) {
            return;
        }
    }
    fail_msg("the backlog has no end");
}

static void deaf_start(struct deaf *deaf, uint16_t port)
{
    struct sockaddr_in name = loopback(port);
    socklen_t name_len = sizeof(name);
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    deaf->fds[0] = fd;
    deaf->count = 1;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &name_len), 0);
    (void)snprintf(deaf->address, sizeof(deaf->address), "127.0.0.1:%u", ntohs(name.sin_port));
    fill_backlog(deaf, &name);
}

static void deaf_stop(struct deaf *deaf)
{
    for (size_t i = deaf->count; i > 0; i--) {
        (void)close(deaf->fds[i - 1]);
    }
}

static void open_ends_when_nobody_accepts(void **state)
{
    struct bc_client_options options = {.timeout_ms = 100};
    struct bc_error error;
    struct deaf deaf;

    (void)state;
    deaf_start(&deaf, 0);
    options.dpu_addr = address_in_mode(deaf.address);
    assert_int_equal(bc_client_open(&options, &client, &error), -ETIMEDOUT);
    assert_non_null(strstr(error.text, "100 ms"));
    assert_null(client);
    deaf_stop(&deaf);
}

/* An attempt to come back takes 5 s; close is called at its beginning. */
static uint64_t close_while_connecting(void)
{
    uint8_t *addr = map_pages(1);
    struct deaf deaf;
    uint64_t begin_ms;
    uint16_t port;

    start_agent(NULL);
    open_client(0);
    (void)register_range(addr, PAGE_LEN);
    port = fake_agent_port(agent);
    fake_agent_stop(agent);
    agent = NULL;
    deaf_start(&deaf, port);
    (void)usleep(300 * 1000); /* longer than the first pause: it is on its way */
    begin_ms = now_ms();
    assert_int_equal(bc_client_close(client), 0);
    client = NULL;
    begin_ms = now_ms() - begin_ms;
    deaf_stop(&deaf);
    unmap_pages(addr, 1);
    return begin_ms;
}

static void close_does_not_wait_for_a_connection_that_hangs(void **state)
{
    uint64_t took_ms = UINT64_MAX;

    (void)state;
    /* A machine that is busy may need long for anything, but not every time. */
    for (int i = 0; i < 3 && took_ms >= 2500; i++) {
        took_ms = close_while_connecting();
    }
    assert_true(took_ms < 2500);
}

/* ---- greetings ----------------------------------------------------------------------------- */

static void a_later_greeting_has_a_deadline(void **state)
{
    (void)state;
    start_agent(NULL);
    open_client(150);
    fake_agent_hold(agent, BC_MSG_HELLO, true);
    fake_agent_drop(agent, false);
    assert_true(trace_wait("conn", 4));
    assert_true(trace_wait("closed", 3));
    fake_agent_hold(agent, BC_MSG_HELLO, false);
    await_reconnect(1);
}

/* With memory in quarantine attempts are short: 0.5 s and not 5 s. */
static void greetings_are_short_while_memory_is_in_quarantine(void **state)
{
    uint8_t *addr = map_pages(1);
    struct bc_memory *memory;
    struct bc_request *request;
    struct bc_entry entry;
    uint64_t begin_ms;

    (void)state;
    start_agent(NULL);
    open_client(0);
    memory = register_range(addr, PAGE_LEN);
    entry = entry_of(memory, 0, PAGE_LEN, "a");
    fake_agent_hold(agent, BC_MSG_TRANSFER, true);
    request = submit(BC_PULL, &entry, 1, 0);
    assert_true(trace_wait("transfer", 1));
    fake_doca_hold_destroy(true);
    fake_agent_hold(agent, BC_MSG_HELLO, true);
    fake_agent_drop(agent, false);
    assert_true(trace_wait("conn", 2));
    begin_ms = now_ms();
    assert_true(trace_wait("conn", 5));
    assert_true(now_ms() - begin_ms < 12000);
    assert_int_equal(bc_request_test(request), BC_STATUS_IN_PROGRESS);
    fake_doca_hold_destroy(false);
    assert_int_equal(finish(request), BC_STATUS_DISCONNECTED);
    fake_agent_hold(agent, BC_MSG_HELLO, false);
    fake_agent_hold(agent, BC_MSG_TRANSFER, false);
    await_reconnect(1);
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    unmap_pages(addr, 1);
}

/* ---- memory -------------------------------------------------------------------------------- */

/* The export that a larger one replaced leaves by itself, and nobody waits for it. */
static void an_export_that_leaves_unanswered_is_closed(void **state)
{
    uint8_t *addr = map_pages(2);
    struct bc_memory *first;
    struct bc_memory *second;

    (void)state;
    start_agent(NULL);
    open_client(300);
    first = register_range(addr, PAGE_LEN);
    fake_agent_hold(agent, BC_MSG_UNREGISTER, true);
    second = register_range(addr + PAGE_LEN, PAGE_LEN);
    assert_true(trace_wait("unregister", 1));
    assert_int_equal(trace_count("open 8192"), 1);
    assert_true(trace_wait("destroy 4096", 1));
    fake_agent_hold(agent, BC_MSG_UNREGISTER, false);
    assert_int_equal(bc_memory_unregister(client, first), 0);
    assert_int_equal(bc_memory_unregister(client, second), 0);
    unmap_pages(addr, 2);
}

static void a_region_that_cannot_be_exported_is_tried_again(void **state)
{
    uint8_t *addr = map_pages(1);
    struct bc_memory *memory;
    struct bc_entry entry;

    (void)state;
    start_agent(NULL);
    open_client(0);
    memory = register_range(addr, PAGE_LEN);
    fake_doca_start_limit(1);
    fake_agent_drop(agent, false);
    await_reconnect(1);
    assert_int_equal(fake_doca_open_count(), 0);
    fake_doca_start_limit(0);
    entry = entry_of(memory, 0, PAGE_LEN, "a");
    assert_int_equal(finish(submit(BC_PULL, &entry, 1, 0)), BC_STATUS_OK);
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    unmap_pages(addr, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(open_ends_when_nobody_accepts, reset),
        cmocka_unit_test_setup(close_does_not_wait_for_a_connection_that_hangs, reset),
        cmocka_unit_test_setup_teardown(a_later_greeting_has_a_deadline, reset, tear_down),
        cmocka_unit_test_setup_teardown(greetings_are_short_while_memory_is_in_quarantine, reset,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_export_that_leaves_unanswered_is_closed, reset,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_region_that_cannot_be_exported_is_tried_again, reset,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
