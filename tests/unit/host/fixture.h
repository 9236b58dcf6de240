/* SPDX-License-Identifier: Apache-2.0 */
/* fixture.h - a client opened on a fake agent, and short ways to say what tests say often. */
#ifndef BC_TEST_HOST_FIXTURE_H
#define BC_TEST_HOST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "bluecache/bluecache.h"
#include "fake_agent.h"
#include "trace.h"

BC_EXTERN_C_BEGIN

#define WAIT_MS  20000u
#define PAGE_LEN 4096u
#define PAGES(n) ((size_t)(n)*PAGE_LEN)

/* Starts an agent (options NULL: ample) and opens a client with this timeout (0: WAIT_MS). The
 * trace is cleared first. */
void start_agent(const struct fake_agent_options *options);
void open_client(uint64_t timeout_ms);
/* Closes and stops what is there; asserts that the agent saw no violation. A cmocka teardown. */
int close_all(void **state);

/* The address of an agent as dpu_addr has to name it when BLUECACHE_MODE is comch (asked_tcp.c), or as
 * it is. Valid until the next call. */
const char *address_in_mode(const char *tcp_address);

extern struct fake_agent *agent;
extern struct bc_client *client;

/* Page-aligned anonymous memory; unmapped by unmap_pages. */
uint8_t *map_pages(size_t pages);
void unmap_pages(void *addr, size_t pages);

struct bc_memory *register_range(void *addr, size_t len);

/* One entry: [offset, offset + len) of memory, to or from the start of the object `key`. */
struct bc_entry entry_of(struct bc_memory *memory, uint64_t offset, uint64_t len, const char *key);
/* Submits, asserting success. timeout_ms 0: the client's. */
struct bc_request *submit(enum bc_op op, const struct bc_entry *entries, size_t count,
                          uint64_t timeout_ms);
/* Waits for the terminal status and frees the request. */
enum bc_status finish(struct bc_request *request);

/* Polls until the session count of bc_client_get_info is `reconnects` and it is connected. */
void await_reconnect(uint64_t reconnects);

BC_EXTERN_C_END

#endif
