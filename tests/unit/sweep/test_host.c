/* SPDX-License-Identifier: Apache-2.0 */
/* test_host.c - libbluecache against the fake agent, with each operation of its transport going wrong in turn:
 * every call and every request ends in time, and nothing is left. The client's transport is the twin, put in
 * the place of TCP by the linker (--wrap) while the client is opened; the agent's is the real one.
 *
 * Threads and time are real here, so an n is not always the same operation; what is checked holds for any. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "check.h"
#include "fake_doca.h"
#include "fixture.h"
#include "testlib/faulty_transport.h"
#include "testlib/quiet_log.h"

#define SAMPLE       16u
#define SHORT_MS     UINT64_C(400) /* the client's patience where an answer may never come */
#define KEEPALIVE_MS 100u
#define LATE_MS      (WAIT_MS / 2) /* past any deadline, on any machine */
#define BUFFER_PAGES 4u

#define STREAM  (1u << BC_FAULTY_SEND | 1u << BC_FAULTY_RECV)
#define CONNECT (1u << BC_FAULTY_CONNECT)

enum {
    HARMLESS = 1, /* every call has to succeed nevertheless */
    AFTER_LOSS =
        2, /* the first session is lost, so that there is more than one attempt to connect */
};

struct row {
    uint32_t kinds;
    const char *kinds_name;
    enum bc_fault_action action;
    uint64_t amount;
    uint32_t flags;
};

static const struct row rows[] = {
    {STREAM, "calls", BC_FAULT_FAIL, 0, 0},
    {STREAM, "calls", BC_FAULT_SHORT, 1, HARMLESS},
    {STREAM, "calls", BC_FAULT_SHORT, 33, HARMLESS},
    {STREAM, "calls", BC_FAULT_CORRUPT, 0, 0},
    {STREAM, "calls", BC_FAULT_DELAY, 50, HARMLESS},
    {STREAM, "calls", BC_FAULT_REFUSE, 0, HARMLESS},
    {STREAM, "calls", BC_FAULT_VANISH, 0, 0},
    {CONNECT, "attempts", BC_FAULT_FAIL, 0, AFTER_LOSS},
    {CONNECT, "attempts", BC_FAULT_REFUSE, 0, AFTER_LOSS},
    {CONNECT, "attempts", BC_FAULT_DELAY, 30 * BC_NS_PER_MS, HARMLESS},
    {CONNECT, "attempts", BC_FAULT_DELAY, 5 * BC_NS_PER_S, AFTER_LOSS},
    {CONNECT, "attempts", BC_FAULT_VANISH, 0, AFTER_LOSS},
};

/* ---- the seam ------------------------------------------------------------------------------- */

const struct bc_transport_ops *__real_bc_transport_tcp(void);
const struct bc_transport_ops *__wrap_bc_transport_tcp(void);

/* The fake agent asks for TCP as well, in its own thread and outside of open. */
static __thread bool opening;

const struct bc_transport_ops *__wrap_bc_transport_tcp(void)
{
    return opening ? bc_faulty_transport_ops() : __real_bc_transport_tcp();
}

/* ---- one run -------------------------------------------------------------------------------- */

static struct bc_faulty_transport twin;
static uint8_t *buffer;
static uint64_t clean_events;

struct outcome {
    uint32_t failures;
    uint64_t struck;
    bool opened;
};

static uint64_t now_ms(void)
{
    return bc_clock_now_ns(bc_clock_monotonic()) / BC_NS_PER_MS;
}

/* Each step ends, and soon. */
static void note(struct outcome *outcome, uint64_t since_ms, bool good)
{
    WORLD_CHECK(now_ms() - since_ms < LATE_MS);
    outcome->failures += !good;
}

static int open_on(uint64_t timeout_ms)
{
    struct bc_client_options options = {
        .dpu_addr = fake_agent_address(agent), .timeout_ms = timeout_ms, .name = "sweep"};
    struct bc_error error = {""};
    int rc;

    opening = true;
    rc = bc_client_open(&options, &client, &error);
    opening = false;
    WORLD_CHECK(rc == 0 || error.text[0] != '\0');
    return rc;
}

static void transfer(struct outcome *outcome, struct bc_memory *memory, enum bc_op op)
{
    struct bc_entry entries[] = {entry_of(memory, 0, PAGE_LEN, "a"),
                                 entry_of(memory, PAGE_LEN, 2 * PAGE_LEN, "b")};
    struct bc_request *request = NULL;
    uint64_t since_ms = now_ms();
    int rc = bc_submit(client, op, entries, BC_ARRAY_LEN(entries), NULL, &request);
    enum bc_status status;

    note(outcome, since_ms, rc == 0);
    if (rc != 0) {
        return;
    }
    since_ms = now_ms();
    status = bc_request_wait(request, WAIT_MS);
    WORLD_CHECK(status != BC_STATUS_IN_PROGRESS);
    note(outcome, since_ms, status == BC_STATUS_OK);
    for (size_t i = 0; i < BC_ARRAY_LEN(entries); i++) {
        WORLD_CHECK(bc_request_entry_status(request, i) != BC_STATUS_IN_PROGRESS);
    }
    WORLD_CHECK_EQUAL(bc_request_free(request), 0);
}

static void ask(struct outcome *outcome)
{
    struct bc_key keys[] = {{"a", 1}, {"missing", 7}};
    struct bc_object_info infos[2];
    enum bc_status statuses[2];
    uint64_t since_ms = now_ms();
    uint64_t ns;

    note(outcome, since_ms, bc_query(client, keys, 2, 0, infos) == 0);
    since_ms = now_ms();
    note(outcome, since_ms, bc_remove(client, keys, 2, 0, statuses) == 0);
    since_ms = now_ms();
    note(outcome, since_ms, bc_ping(client, 0, &ns) == 0);
}

/* Until the memory is out of everybody's reach, which may take the client a moment after a loss. */
static void unregister(struct bc_memory *memory)
{
    uint64_t since_ms = now_ms();
    int rc;

    while ((rc = bc_memory_unregister(client, memory)) == -EINPROGRESS) {
        WORLD_CHECK(now_ms() - since_ms < LATE_MS);
        (void)poll(NULL, 0, 1);
    }
    WORLD_CHECK_EQUAL(rc, 0);
}

static void work(struct outcome *outcome)
{
    struct bc_memory *memory = NULL;
    uint64_t since_ms = now_ms();
    int rc = bc_memory_register(client, buffer, PAGES(BUFFER_PAGES), BC_MEMORY_HOST, 0, &memory);

    note(outcome, since_ms, rc == 0);
    if (rc == 0) {
        transfer(outcome, memory, BC_PUSH);
        transfer(outcome, memory, BC_PULL);
        ask(outcome);
        transfer(outcome, memory, BC_PUSH);
        unregister(memory);
    }
}

static struct outcome run(const struct bc_fault_rule *rules, uint32_t count, uint64_t timeout_ms)
{
    struct fake_agent_options options = {.keepalive_ms = KEEPALIVE_MS};
    uint32_t descriptors = world_descriptors();
    struct outcome outcome = {0};
    uint64_t since_ms;

    fake_doca_reset();
    bc_faulty_transport_init(&twin, __real_bc_transport_tcp(), 1);
    bc_faulty_transport_set(&twin, rules, count);
    start_agent(&options);
    since_ms = now_ms();
    outcome.opened = open_on(timeout_ms) == 0;
    note(&outcome, since_ms, outcome.opened);
    if (outcome.opened) {
        work(&outcome);
        since_ms = now_ms();
        WORLD_CHECK_EQUAL(bc_client_close(client), 0);
        note(&outcome, since_ms, true);
        client = NULL;
    }
    fake_agent_stop(agent);
    agent = NULL;
    outcome.struck = bc_faulty_transport_struck(&twin);
    clean_events = count == 0 ? bc_faulty_transport_events(&twin) : clean_events;
    WORLD_CHECK_EQUAL(bc_faulty_transport_conns(&twin), 0);
    bc_faulty_transport_fini(&twin);
    WORLD_CHECK_EQUAL(fake_doca_open_count(), 0);
    WORLD_CHECK_EQUAL(world_descriptors(), descriptors);
    return outcome;
}

/* ---- the sweep ------------------------------------------------------------------------------ */

static bool one(const struct row *row, uint64_t n)
{
    struct bc_fault_rule rules[] = {
        {.kinds = row->kinds, .first = n, .action = row->action, .amount = row->amount},
        {.kinds = STREAM, .first = 6, .action = BC_FAULT_FAIL},
    };
    uint32_t count = (row->flags & AFTER_LOSS) != 0 ? 2 : 1;
    struct outcome outcome;

    world_label("host, twin transport (%s), action %s (%llu), n %llu, seed 1", row->kinds_name,
                bc_fault_action_name(row->action), (unsigned long long)row->amount,
                (unsigned long long)n);
    outcome = run(rules, count, (row->flags & HARMLESS) != 0 ? WAIT_MS : SHORT_MS);
    if ((row->flags & HARMLESS) != 0 && outcome.failures > 0) {
        world_fail("%u calls failed", outcome.failures);
    }
    return outcome.struck > 0 && (row->kinds != CONNECT || n < 4);
}

static void sweep(uint32_t kinds)
{
    uint64_t step = 1 + clean_events / (SAMPLE / bc_min_u64(run_slowness(), 2));

    if (run_setting("BLUECACHE_FAULT_FULL", 0) != 0 || kinds == CONNECT) {
        step = 1;
    }
    for (uint32_t i = 0; i < BC_ARRAY_LEN(rows); i++) {
        uint64_t n = 1;

        while (rows[i].kinds == kinds && n < 1000 && one(&rows[i], n)) {
            n += step;
        }
    }
}

static void without_faults_everything_succeeds(void **state)
{
    struct outcome outcome;

    (void)state;
    world_label("host, no fault");
    outcome = run(NULL, 0, WAIT_MS);
    assert_int_equal(outcome.failures, 0);
    assert_int_equal(outcome.struck, 0);
    assert_true(clean_events >= 15);
}

static void any_byte_of_the_connection_may_go_wrong(void **state)
{
    (void)state;
    sweep(STREAM);
}

static void any_attempt_to_connect_may_go_wrong(void **state)
{
    (void)state;
    sweep(CONNECT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_faults_everything_succeeds),
        cmocka_unit_test(any_byte_of_the_connection_may_go_wrong),
        cmocka_unit_test(any_attempt_to_connect_may_go_wrong),
    };
    int failed;

    bc_log_set_sink(bc_quiet_log, NULL);
    buffer = map_pages(BUFFER_PAGES);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unmap_pages(buffer, BUFFER_PAGES);
    return failed;
}
