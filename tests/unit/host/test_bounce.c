/* SPDX-License-Identifier: Apache-2.0 */
/* test_bounce.c - GPU memory that no device reaches, copied by way of pinned host memory. The stand-in
 * for libcuda carries a copy out when somebody waits for it, the agent copies nothing: what the pool
 * holds is looked at, and put there, by the tests. */
#include "fake_doca.h"
#include "fake_gpu.h"
#include "fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"

#define KIB(n)   ((size_t)(n) << 10)
#define POOL_LEN KIB(1024)

static int start(void **state)
{
    (void)state;
    fake_doca_reset();
    gpu.reset();
    gpu.dmabuf(0);
    gpu.peer(0);
    assert_int_equal(setenv("BLUECACHE_BOUNCE_BYTES", "1M", 1), 0);
    start_agent(NULL);
    open_client(0);
    return 0;
}

static int end(void **state)
{
    gpu.hold_copies(0);
    close_all(state);
    assert_int_equal(gpu.pinned(), 0);
    assert_int_equal(gpu.objects(), 0);
    assert_int_equal(gpu.contexts(), 0);
    return 0;
}

/* Until it holds; the test fails when that takes too long. */
#define AWAIT(condition)                                       \
    do {                                                       \
        int _tries = 0;                                        \
        while (!(condition)) {                                 \
            const struct timespec _nap = {.tv_nsec = 1000000}; \
            assert_true(_tries++ < (int)WAIT_MS);              \
            (void)nanosleep(&_nap, NULL);                      \
        }                                                      \
    } while (0)

static bool is_queued(void)
{
    bool queued;

    (void)pthread_mutex_lock(&client->lock);
    queued = !bc_list_empty(&client->queue);
    (void)pthread_mutex_unlock(&client->lock);
    return queued;
}

static void fill(uint8_t *bytes, size_t len, unsigned int seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1103515245u + 12345u;
        bytes[i] = (uint8_t)(seed >> 16);
    }
}

static uint8_t *pattern(size_t len, unsigned int seed)
{
    uint8_t *bytes = malloc(len);

    assert_non_null(bytes);
    fill(bytes, len, seed);
    return bytes;
}

static void assert_gpu_holds(const void *addr, const uint8_t *bytes, size_t len)
{
    uint8_t *got = malloc(len);

    assert_non_null(got);
    gpu.peek(addr, got, len);
    assert_memory_equal(got, bytes, len);
    free(got);
}

/* The first test, as the line is told once per process. */
static void it_is_told_once_with_the_reasons(void **state)
{
    uint8_t *addr = gpu.alloc(KIB(64), 0);
    struct bc_memory *memories[2];

    (void)state;
    log_begin();
    memories[0] = register_gpu(addr, KIB(32), 0);
    memories[1] = register_gpu(addr + KIB(32), KIB(32), 0);
    assert_int_equal(log_count("by way of 1 MiB of pinned host memory"), 1);
    assert_int_equal(log_count("no dma-buf: GPU 0 gives none"), 1);
    assert_int_equal(log_count("not by address: GPU 0 is not made for GPUDirect RDMA"), 1);
    assert_int_equal(log_count("ERROR"), 0);
    log_end();
    assert_int_equal(trace_count("open"), 1); /* the pool's */
    assert_int_equal(gpu.pinned(), POOL_LEN);
    assert_int_equal(bc_memory_unregister(client, memories[0]), 0);
    assert_int_equal(bc_memory_unregister(client, memories[1]), 0);
    gpu.free(addr);
}

static void a_push_sends_what_the_gpu_held(void **state)
{
    uint8_t *addr = gpu.alloc(KIB(64), 0);
    uint8_t *bytes = pattern(KIB(64), 1);
    struct bc_memory *memory = register_gpu(addr, KIB(64), 0);
    struct bc_entry entries[2];
    struct bc_request *request;

    (void)state;
    gpu.poke(addr, bytes, KIB(64));
    entries[0] = entry_of(memory, 100, 1000, "a");
    entries[1] = entry_of(memory, KIB(32), KIB(32), "a");
    entries[1].object_offset = 1000;
    fake_agent_hold(agent, BC_MSG_TRANSFER, true);
    request = submit(BC_PUSH, entries, 2, 0);
    AWAIT(trace_count("transfer 2") == 1);
    assert_memory_equal(client->bounce.base, bytes + 100, 1000);
    assert_memory_equal(client->bounce.base + 1024, bytes + KIB(32), KIB(32));
    assert_int_equal(bc_memory_unregister(client, memory), -EBUSY);
    fake_agent_hold(agent, BC_MSG_TRANSFER, false);
    assert_int_equal(finish(request), BC_STATUS_OK);
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    free(bytes);
    gpu.free(addr);
}

static void a_pull_is_over_when_the_gpu_has_it(void **state)
{
    uint8_t *addr = gpu.alloc(KIB(64), 1);
    uint8_t *bytes = pattern(KIB(64), 2);
    uint8_t *untouched = calloc(1, KIB(64));
    struct bc_memory *memory = register_gpu(addr, KIB(64), 1);
    struct bc_entry entries[2] = {entry_of(memory, 0, KIB(32), "a"),
                                  entry_of(memory, KIB(32), KIB(32), "miss")};
    struct bc_request *request;

    (void)state;
    gpu.hold_copies(1);
    fake_agent_hold(agent, BC_MSG_TRANSFER, true);
    request = submit(BC_PULL, entries, 2, 0);
    AWAIT(trace_count("transfer 2") == 1);
    memcpy(client->bounce.base, bytes, KIB(64)); /* as the DPU would */
    fake_agent_hold(agent, BC_MSG_TRANSFER, false);
    AWAIT(gpu.waiting() == 1 || bc_request_test(request) != BC_STATUS_IN_PROGRESS);
    assert_int_equal(bc_request_test(request), BC_STATUS_IN_PROGRESS);
    assert_int_equal(bc_request_free(request), -EBUSY);
    gpu.hold_copies(0);
    assert_int_equal(bc_request_wait(request, WAIT_MS), BC_STATUS_NOT_FOUND);
    assert_int_equal(bc_request_entry_status(request, 0), BC_STATUS_OK);
    assert_int_equal(bc_request_free(request), 0);
    assert_gpu_holds(addr, bytes, KIB(32));
    assert_non_null(untouched);
    assert_gpu_holds(addr + KIB(32), untouched, KIB(32)); /* what was not found is not copied */
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    free(untouched);
    free(bytes);
    gpu.free(addr);
}

static void submit_does_not_wait_for_the_copy(void **state)
{
    uint8_t *addr = gpu.alloc(KIB(64), 0);
    struct bc_memory *memory = register_gpu(addr, KIB(64), 0);
    struct bc_entry entry = entry_of(memory, 0, KIB(64), "a");
    struct bc_request *request = NULL;

    (void)state;
    gpu.hold_copies(1);
    assert_int_equal(bc_submit_try(client, BC_PUSH, &entry, 1, NULL, &request), 0);
    AWAIT(gpu.waiting() == 1);
    assert_int_equal(bc_request_test(request), BC_STATUS_IN_PROGRESS);
    assert_int_equal(trace_count("transfer"), 0);
    gpu.hold_copies(0);
    assert_int_equal(finish(request), BC_STATUS_OK);
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    gpu.free(addr);
}

static void a_cancel_waits_for_the_copy(void **state)
{
    uint8_t *addr = gpu.alloc(KIB(64), 0);
    struct bc_memory *memory = register_gpu(addr, KIB(64), 0);
    struct bc_entry entry = entry_of(memory, 0, KIB(64), "a");
    struct bc_request *request;
    struct bc_request *queued;

    (void)state;
    gpu.hold_copies(1);
    request = submit(BC_PUSH, &entry, 1, 0);
    AWAIT(gpu.waiting() == 1);
    queued = submit(BC_PUSH, &entry, 1, 0);
    bc_request_cancel(queued); /* its copy has not begun */
    assert_int_equal(finish(queued), BC_STATUS_CANCELLED);
    bc_request_cancel(request);
    assert_int_equal(bc_request_test(request), BC_STATUS_IN_PROGRESS);
    assert_int_equal(bc_memory_unregister(client, memory), -EBUSY);
    gpu.hold_copies(0);
    assert_int_equal(finish(request), BC_STATUS_CANCELLED);
    assert_int_equal(trace_count("transfer"), 0);
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    gpu.free(addr);
}

static void a_deadline_in_a_copy_is_not_the_agents_fault(void **state)
{
    uint8_t *addr = gpu.alloc(KIB(64), 0);
    struct bc_memory *memory = register_gpu(addr, KIB(64), 0);
    struct bc_entry entry = entry_of(memory, 0, KIB(64), "a");
    struct bc_request *request;
    struct bc_client_info info;

    (void)state;
    gpu.hold_copies(1);
    request = submit(BC_PUSH, &entry, 1, 30);
    assert_int_equal(bc_request_wait(request, 200), BC_STATUS_IN_PROGRESS);
    gpu.hold_copies(0);
    assert_int_equal(finish(request), BC_STATUS_TIMED_OUT);
    bc_client_get_info(client, &info);
    assert_true(info.connected);
    assert_int_equal(trace_count("closed"), 0);
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    gpu.free(addr);
}

static void a_failed_copy_is_a_status(void **state)
{
    uint8_t *addr = gpu.alloc(KIB(64), 0);
    struct bc_memory *memory = register_gpu(addr, KIB(64), 0);
    struct bc_entry entry = entry_of(memory, 0, KIB(64), "a");

    (void)state;
    gpu.fail_copy(1);
    assert_int_equal(finish(submit(BC_PUSH, &entry, 1, 0)), BC_STATUS_DMA_ERROR);
    assert_int_equal(trace_count("transfer"), 0);
    gpu.fail_copy(1);
    assert_int_equal(finish(submit(BC_PULL, &entry, 1, 0)), BC_STATUS_DMA_ERROR);
    assert_int_equal(finish(submit(BC_PULL, &entry, 1, 0)), BC_STATUS_OK);
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    gpu.free(addr);
}

/* 16 keys of 200 KiB, then three such requests at once, by way of 1 MiB. */
static void requests_larger_than_the_pool_go_in_pieces(void **state)
{
    enum { KEYS = 16, REQUESTS = 3 };
    size_t len = KIB(200);
    uint8_t *addr = gpu.alloc(KEYS * len, 0);
    struct bc_memory *memory = register_gpu(addr, KEYS * len, 0);
    struct bc_request *requests[REQUESTS];
    struct bc_entry entries[KEYS];
    char keys[KEYS][8];

    (void)state;
    for (size_t i = 0; i < KEYS; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "k%zu", i);
        entries[i] = entry_of(memory, i * len, len, keys[i]);
    }
    for (size_t i = 0; i < REQUESTS; i++) {
        requests[i] = submit(i % 2 == 0 ? BC_PUSH : BC_PULL, entries, KEYS, 0);
    }
    for (size_t i = 0; i < REQUESTS; i++) {
        assert_int_equal(finish(requests[i]), BC_STATUS_OK);
    }
    assert_int_equal(gpu.pinned_peak(), POOL_LEN);
    assert_int_equal(gpu.copied(), REQUESTS * KEYS * len);
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    gpu.free(addr);
}

static void an_object_larger_than_the_pool_is_refused(void **state)
{
    uint8_t *addr = gpu.alloc(POOL_LEN + 1, 0);
    struct bc_memory *memory = register_gpu(addr, POOL_LEN + 1, 0);
    struct bc_entry entry = entry_of(memory, 0, POOL_LEN + 1, "a");
    struct bc_request *request = NULL;

    (void)state;
    log_begin();
    assert_int_equal(bc_submit(client, BC_PUSH, &entry, 1, NULL, &request), -ENOBUFS);
    assert_int_equal(log_count("BLUECACHE_BOUNCE_BYTES is 1048576"), 1);
    log_end();
    entry.length = POOL_LEN;
    assert_int_equal(finish(submit(BC_PUSH, &entry, 1, 0)), BC_STATUS_OK);
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    gpu.free(addr);
}

static void without_room_try_says_so(void **state)
{
    uint8_t *addr = gpu.alloc(POOL_LEN, 0);
    struct bc_memory *memory = register_gpu(addr, POOL_LEN, 0);
    struct bc_entry entry = entry_of(memory, 0, POOL_LEN, "a");
    uint8_t *host = map_pages(1);
    struct bc_memory *other = register_range(host, PAGE_LEN);
    struct bc_entry passing = entry_of(other, 0, PAGE_LEN, "b");
    struct bc_request *request = NULL;
    struct bc_request *refused = NULL;

    (void)state;
    gpu.hold_copies(1);
    request = submit(BC_PUSH, &entry, 1, 0);
    assert_int_equal(bc_submit_try(client, BC_PUSH, &entry, 1, NULL, &refused), -EAGAIN);
    assert_int_equal(finish(submit(BC_PUSH, &passing, 1, 0)), BC_STATUS_OK);
    gpu.hold_copies(0);
    assert_int_equal(finish(request), BC_STATUS_OK);
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    assert_int_equal(bc_memory_unregister(client, other), 0);
    unmap_pages(host, 1);
    gpu.free(addr);
}

static void memories_of_all_kinds_go_in_one_request(void **state)
{
    uint8_t *first = gpu.alloc(KIB(64), 0);
    uint8_t *second = gpu.alloc(KIB(64), 1);
    uint8_t *host = map_pages(4);
    struct bc_memory *memories[3] = {register_gpu(first, KIB(64), 0),
                                     register_gpu(second, KIB(64), 1),
                                     register_range(host, PAGES(4))};
    struct bc_entry entries[3];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        entries[i] = entry_of(memories[i], 0, PAGES(4), "a");
        entries[i].object_offset = i * PAGES(4);
    }
    assert_int_equal(finish(submit(BC_PUSH, entries, 3, 0)), BC_STATUS_OK);
    assert_int_equal(finish(submit(BC_PULL, entries, 3, 0)), BC_STATUS_OK);
    assert_int_equal(gpu.copied(), 4 * PAGES(4));
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(bc_memory_unregister(client, memories[i]), 0);
    }
    unmap_pages(host, 4);
    gpu.free(first);
    gpu.free(second);
}

static void a_lost_agent_gives_leases_back_only_when_revoked(void **state)
{
    uint8_t *addr = gpu.alloc(POOL_LEN, 0);
    struct bc_memory *memory = register_gpu(addr, POOL_LEN, 0);
    struct bc_entry entry = entry_of(memory, 0, POOL_LEN, "a");
    struct bc_request *request;

    (void)state;
    fake_agent_hold(agent, BC_MSG_TRANSFER, true);
    request = submit(BC_PULL, &entry, 1, 0);
    AWAIT(trace_count("transfer") == 1);
    fake_doca_hold_destroy(true); /* the agent is inside a copy */
    fake_agent_drop(agent, false);
    AWAIT(trace_count("busy") > 0);
    assert_int_equal(bc_request_test(request), BC_STATUS_IN_PROGRESS);
    fake_doca_hold_destroy(false);
    assert_int_equal(finish(request), BC_STATUS_DISCONNECTED);
    fake_agent_hold(agent, BC_MSG_TRANSFER, false);
    assert_int_equal(finish(submit(BC_PUSH, &entry, 1, 0)), BC_STATUS_OK);
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    gpu.free(addr);
}

static void what_was_copied_before_a_loss_is_sent_after_it(void **state)
{
    uint8_t *addr = gpu.alloc(KIB(64), 0);
    struct bc_memory *memory = register_gpu(addr, KIB(64), 0);
    struct bc_entry entry = entry_of(memory, 0, KIB(64), "a");
    struct bc_request *request;

    (void)state;
    gpu.hold_copies(1);
    request = submit(BC_PUSH, &entry, 1, 0);
    AWAIT(gpu.waiting() == 1);
    fake_agent_drop(agent, false);
    await_reconnect(1);
    gpu.hold_copies(0);
    assert_int_equal(finish(request), BC_STATUS_OK);
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    gpu.free(addr);
}

/* One part is with the agent, the next one is being copied, when the session ends. */
static void a_lost_request_waits_for_its_copies(void **state)
{
    uint8_t *addr = gpu.alloc(POOL_LEN, 0);
    struct bc_memory *memory = register_gpu(addr, POOL_LEN, 0);
    struct bc_entry large = entry_of(memory, 0, KIB(640), "large");
    struct bc_entry entries[2] = {entry_of(memory, 0, KIB(256), "a"),
                                  entry_of(memory, KIB(256), KIB(256), "b")};
    struct bc_request *first;
    struct bc_request *request;

    (void)state;
    fake_agent_hold(agent, BC_MSG_TRANSFER, true);
    first = submit(BC_PULL, &large, 1, 0);
    request = submit(BC_PUSH, entries, 2, 0); /* there is room for one of its parts */
    AWAIT(trace_count("transfer") == 2);
    gpu.hold_copies(1);
    bc_request_cancel(first);
    assert_int_equal(finish(first), BC_STATUS_CANCELLED);
    AWAIT(gpu.waiting() == 1);
    fake_agent_drop(agent, false);
    await_reconnect(1);
    AWAIT(trace_count("destroy") == 1);
    assert_int_equal(bc_request_wait(request, 20), BC_STATUS_IN_PROGRESS);
    gpu.hold_copies(0);
    assert_int_equal(finish(request), BC_STATUS_DISCONNECTED);
    assert_int_equal(trace_count("transfer"), 2);
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    gpu.free(addr);
}

static void *submit_main(void *arg)
{
    const struct bc_entry *entries = arg;

    return submit(BC_PUSH, entries, 3, 0);
}

/* A request that waits for a credit and for room is cut anew for an agent that takes more at once. */
static void a_request_that_waits_for_room_is_cut_anew(void **state)
{
    struct fake_agent_options narrow = {.requests_max = 1, .entries_max = 1};
    struct fake_agent_options ample = {0};
    uint8_t *addr = gpu.alloc(POOL_LEN, 0);
    uint8_t *host = map_pages(1);
    struct bc_memory *memory;
    struct bc_memory *other;
    struct bc_entry large;
    struct bc_entry entries[3];
    struct bc_request *first;
    void *request = NULL;
    pthread_t thread;

    close_all(state);
    start_agent(&narrow);
    ample.port = fake_agent_port(agent);
    open_client(0);
    memory = register_gpu(addr, POOL_LEN, 0);
    other = register_range(host, PAGE_LEN);
    large = entry_of(memory, 0, POOL_LEN, "large");
    entries[0] = entry_of(other, 0, PAGE_LEN, "a");
    entries[1] = entry_of(memory, 0, PAGE_LEN, "b");
    entries[2] = entry_of(memory, 0, PAGE_LEN, "c");
    fake_agent_hold(agent, BC_MSG_TRANSFER, true);
    first = submit(BC_PUSH, &large, 1, 0);
    AWAIT(trace_count("transfer") == 1);
    assert_int_equal(pthread_create(&thread, NULL, submit_main, entries), 0);
    AWAIT(is_queued());
    fake_agent_stop(agent);
    agent = fake_agent_start(&ample);
    assert_non_null(agent);
    assert_int_equal(finish(first), BC_STATUS_DISCONNECTED);
    assert_int_equal(pthread_join(thread, &request), 0);
    assert_int_equal(finish(request), BC_STATUS_OK);
    assert_int_equal(trace_count("transfer 3"), 1); /* in one part now */
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    assert_int_equal(bc_memory_unregister(client, other), 0);
    unmap_pages(host, 1);
    gpu.free(addr);
}

static void a_client_closes_with_requests_under_way(void **state)
{
    uint8_t *addr = gpu.alloc(KIB(512), 0);
    struct bc_memory *memory = register_gpu(addr, KIB(512), 0);
    struct bc_entry entry = entry_of(memory, 0, KIB(256), "a");

    fake_agent_hold(agent, BC_MSG_TRANSFER, true);
    (void)submit(BC_PUSH, &entry, 1, 0);
    (void)submit(BC_PULL, &entry, 1, 0);
    gpu.hold_copies(1);
    (void)submit(BC_PUSH, &entry, 1, 0);
    gpu.hold_copies(0);
    assert_int_equal(end(state), 0);
    gpu.free(addr);
}

static void what_it_needs_may_be_missing(void **state)
{
    uint8_t *addr = gpu.alloc(KIB(64), 0);
    struct bc_memory *memory = NULL;

    (void)state;
    log_begin();
    gpu.refuse_pinning(1);
    assert_int_equal(bc_memory_register(client, addr, KIB(64), BC_MEMORY_CUDA, 0, &memory),
                     -ENOTSUP);
    assert_null(memory);
    assert_int_equal(log_count("by host memory: 1 MiB of host memory cannot be pinned"), 1);
    log_end();
    gpu.refuse_pinning(0);
    memory = register_gpu(addr, KIB(64), 0);
    assert_int_equal(bc_memory_unregister(client, memory), 0);
    gpu.free(addr);
}

static void the_option_is_checked(void **state)
{
    const char *const bad[] = {"1", "x", "65G", "-1"};
    struct bc_client_options options = {.dpu_addr = fake_agent_address(agent)};
    struct bc_client *other = NULL;
    struct bc_error error;

    (void)state;
    for (size_t i = 0; i < BC_ARRAY_LEN(bad); i++) {
        assert_int_equal(setenv("BLUECACHE_BOUNCE_BYTES", bad[i], 1), 0);
        assert_int_equal(bc_client_open(&options, &other, &error), -EINVAL);
        assert_non_null(strstr(error.text, "BLUECACHE_BOUNCE_BYTES"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_is_told_once_with_the_reasons, start, end),
        cmocka_unit_test_setup_teardown(a_push_sends_what_the_gpu_held, start, end),
        cmocka_unit_test_setup_teardown(a_pull_is_over_when_the_gpu_has_it, start, end),
        cmocka_unit_test_setup_teardown(submit_does_not_wait_for_the_copy, start, end),
        cmocka_unit_test_setup_teardown(a_cancel_waits_for_the_copy, start, end),
        cmocka_unit_test_setup_teardown(a_deadline_in_a_copy_is_not_the_agents_fault, start, end),
        cmocka_unit_test_setup_teardown(a_failed_copy_is_a_status, start, end),
        cmocka_unit_test_setup_teardown(requests_larger_than_the_pool_go_in_pieces, start, end),
        cmocka_unit_test_setup_teardown(an_object_larger_than_the_pool_is_refused, start, end),
        cmocka_unit_test_setup_teardown(without_room_try_says_so, start, end),
        cmocka_unit_test_setup_teardown(memories_of_all_kinds_go_in_one_request, start, end),
        cmocka_unit_test_setup_teardown(a_lost_agent_gives_leases_back_only_when_revoked, start,
                                        end),
        cmocka_unit_test_setup_teardown(what_was_copied_before_a_loss_is_sent_after_it, start, end),
        cmocka_unit_test_setup_teardown(a_lost_request_waits_for_its_copies, start, end),
        cmocka_unit_test_setup_teardown(a_request_that_waits_for_room_is_cut_anew, start, end),
        cmocka_unit_test_setup(a_client_closes_with_requests_under_way, start),
        cmocka_unit_test_setup_teardown(what_it_needs_may_be_missing, start, end),
        cmocka_unit_test_setup_teardown(the_option_is_checked, start, end),
    };

    return cmocka_run_group_tests(tests, fake_gpu_find, NULL);
}
