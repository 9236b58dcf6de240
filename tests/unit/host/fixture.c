/* SPDX-License-Identifier: Apache-2.0 */
/* fixture.c - see fixture.h. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct fake_agent *agent;
struct bc_client *client;

void start_agent(const struct fake_agent_options *options)
{
    static const struct fake_agent_options ample;

    trace_clear();
    agent = fake_agent_start(options != NULL ? options : &ample);
    assert_non_null(agent);
}

const char *address_in_mode(const char *tcp_address)
{
    static char service[32];
    const char *mode = getenv("BLUECACHE_MODE");

    if (mode == NULL || strcmp(mode, "comch") != 0) {
        return tcp_address;
    }
    (void)snprintf(service, sizeof(service), "port-%s", strrchr(tcp_address, ':') + 1);
    return service;
}

void open_client(uint64_t timeout_ms)
{
    struct bc_client_options options = {.dpu_addr = address_in_mode(fake_agent_address(agent)),
                                        .timeout_ms = timeout_ms != 0 ? timeout_ms : WAIT_MS,
                                        .name = "unit test"};
    struct bc_error error = {""};
    int rc = bc_client_open(&options, &client, &error);

    if (rc != 0) {
        print_error("open: %d %s\n", rc, error.text);
    }
    assert_int_equal(rc, 0);
}

int close_all(void **state)
{
    (void)state;
    assert_int_equal(bc_client_close(client), 0);
    client = NULL;
    fake_agent_stop(agent);
    agent = NULL;
    assert_int_equal(trace_count("violation"), 0);
    return 0;
}

uint8_t *map_pages(size_t pages)
{
    void *addr =
        mmap(NULL, PAGES(pages), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(addr, MAP_FAILED);
    return addr;
}

void unmap_pages(void *addr, size_t pages)
{
    assert_int_equal(munmap(addr, PAGES(pages)), 0);
}

struct bc_memory *register_range(void *addr, size_t len)
{
    struct bc_memory *memory = NULL;

    assert_int_equal(bc_memory_register(client, addr, len, BC_MEMORY_HOST, 0, &memory), 0);
    assert_non_null(memory);
    return memory;
}

struct bc_entry entry_of(struct bc_memory *memory, uint64_t offset, uint64_t len, const char *key)
{
    return (struct bc_entry){.memory = memory,
                             .memory_offset = offset,
                             .key = key,
                             .key_len = strlen(key),
                             .object_offset = 0,
                             .length = len};
}

struct bc_request *submit(enum bc_op op, const struct bc_entry *entries, size_t count,
                          uint64_t timeout_ms)
{
    struct bc_submit_options options = {.timeout_ms = timeout_ms};
    struct bc_request *request = NULL;

    assert_int_equal(bc_submit(client, op, entries, count, &options, &request), 0);
    assert_non_null(request);
    return request;
}

enum bc_status finish(struct bc_request *request)
{
    enum bc_status status = bc_request_wait(request, WAIT_MS);

    assert_int_equal(bc_request_free(request), 0);
    return status;
}

void await_reconnect(uint64_t reconnects)
{
    struct bc_client_info info;
    uint64_t ns;

    /* A ping waits for a session. The first one after a loss may still meet the old one. */
    for (int i = 0; i < 1000; i++) {
        int rc = bc_ping(client, WAIT_MS, &ns);

        bc_client_get_info(client, &info);
        if (rc == 0 && info.connected && info.reconnects >= reconnects) {
            return;
        }
    }
    fail_msg("no new session");
}
