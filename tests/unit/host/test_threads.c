/* SPDX-License-Identifier: Apache-2.0 */
/* test_threads.c - many threads on one client: leader and followers, registrations that meet,
 * sessions that end under them. Most of the checking is done by the sanitizers. */
#include "fake_doca.h"
#include "fixture.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define THREADS 6
#define ROUNDS  150

static uint8_t *buffer;
static struct bc_memory *memory;

struct worker {
    pthread_t thread;
    int index;
    int done;     /* requests that ended OK */
    int lost;     /* or with the session */
    int problems; /* or otherwise: cmocka asserts belong to the main thread */
};

static void count(struct worker *worker, enum bc_status status)
{
    if (status == BC_STATUS_OK) {
        worker->done++;
    } else if (status == BC_STATUS_DISCONNECTED) {
        worker->lost++;
    } else {
        worker->problems++;
    }
}

static void transfer_once(struct worker *worker, int round)
{
    struct bc_entry entry = entry_of(memory, 0, 64, "key");
    struct bc_request *request = NULL;
    enum bc_status status = BC_STATUS_IN_PROGRESS;
    int rc = bc_submit(client, round % 2 == 0 ? BC_PULL : BC_PUSH, &entry, 1, NULL, &request);

    if (rc != 0) {
        worker->problems++;
        return;
    }
    if (round % 3 == 0) {
        for (long i = 0; i < 20000000 && status == BC_STATUS_IN_PROGRESS; i++) {
            status = bc_request_test(request);
        }
    } else {
        status = bc_request_wait(request, WAIT_MS);
    }
    count(worker, status);
    worker->problems += bc_request_free(request) == 0 ? 0 : 1;
}

static void *transfer_main(void *arg)
{
    struct worker *worker = arg;

    for (int round = 0; round < ROUNDS; round++) {
        transfer_once(worker, round);
    }
    return NULL;
}

static void *register_main(void *arg)
{
    struct worker *worker = arg;
    struct bc_object_info info;
    struct bc_key key = {.data = "k", .len = 1};

    for (int round = 0; round < ROUNDS / 3; round++) {
        /* Threads register neighbouring and the same pages. */
        size_t page = (size_t)(4 + (worker->index / 2 + round) % 8);
        struct bc_memory *mine = NULL;
        struct bc_entry entry;
        struct bc_request *request = NULL;
        int rc =
            bc_memory_register(client, buffer + PAGES(page), PAGE_LEN, BC_MEMORY_HOST, 0, &mine);

        if (rc != 0) {
            worker->problems++;
            continue;
        }
        entry = entry_of(mine, 0, PAGE_LEN, "page");
        rc = bc_submit(client, BC_PULL, &entry, 1, NULL, &request);
        if (rc == 0) {
            count(worker, bc_request_wait(request, WAIT_MS));
            worker->problems += bc_request_free(request) == 0 ? 0 : 1;
        } else {
            worker->problems++;
        }
        worker->problems += bc_memory_unregister(client, mine) == 0 ? 0 : 1;
        rc = bc_query(client, &key, 1, 0, &info);
        worker->problems += rc == 0 || rc == -ENOTCONN ? 0 : 1;
    }
    return NULL;
}

static void *mixed_main(void *arg)
{
    const struct worker *worker = arg;

    return worker->index % 2 == 0 ? register_main(arg) : transfer_main(arg);
}

/* Runs the workers, ending the session `drops` times under them; adds up what they counted. */
static void run(void *(*worker_main)(void *), int drops, struct worker *total)
{
    struct worker workers[THREADS] = {0};

    *total = (struct worker){0};
    for (int i = 0; i < THREADS; i++) {
        workers[i].index = i;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]), 0);
    }
    for (int i = 0; i < drops; i++) {
        assert_true(trace_wait("transfer", 20 * (i + 1)));
        fake_agent_drop(agent, false);
        assert_true(trace_wait("hello", i + 2));
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        total->done += workers[i].done;
        total->lost += workers[i].lost;
        total->problems += workers[i].problems;
    }
    assert_int_equal(total->problems, 0);
}

static void start(const struct fake_agent_options *options)
{
    fake_doca_reset();
    start_agent(options);
    open_client(0);
    buffer = map_pages(16);
    memory = register_range(buffer, PAGES(2));
}

static int tear_down(void **state)
{
    int rc;

    assert_int_equal(bc_memory_unregister(client, memory), 0);
    rc = close_all(state);
    unmap_pages(buffer, 16);
    assert_int_equal(fake_doca_open_count(), 0);
    return rc;
}

static void threads_share_a_client(void **state)
{
    struct worker total;

    (void)state;
    start(NULL);
    run(transfer_main, 0, &total);
    assert_int_equal(total.done, THREADS * ROUNDS);
}

static void threads_share_few_credits(void **state)
{
    struct fake_agent_options options = {.requests_max = 2, .bytes_max = 100};
    struct worker total;

    (void)state;
    start(&options);
    run(transfer_main, 0, &total);
    assert_int_equal(total.done, THREADS * ROUNDS);
    assert_true(fake_agent_transfers_peak(agent) <= 2);
}

static void threads_register_side_by_side(void **state)
{
    struct worker total;

    (void)state;
    start(NULL);
    run(mixed_main, 0, &total);
    assert_int_equal(total.lost, 0);
}

static void sessions_end_under_many_threads(void **state)
{
    struct worker total;

    (void)state;
    start(NULL);
    run(mixed_main, 4, &total);
    assert_true(total.done > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(threads_share_a_client, tear_down),
        cmocka_unit_test_teardown(threads_share_few_credits, tear_down),
        cmocka_unit_test_teardown(threads_register_side_by_side, tear_down),
        cmocka_unit_test_teardown(sessions_end_under_many_threads, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
