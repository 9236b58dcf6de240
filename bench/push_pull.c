/* SPDX-License-Identifier: Apache-2.0 */
/* push_pull.c - BlueCache itself, for the benchmarks: a client of a running agent that pushes and
 * pulls through libbluecache and tells how long it took, and how much processor time it and the
 * agent used.
 *
 *   push_pull addr=HOST:PORT [memory=shared|malloc] [ring=BYTES] [agent=PID]
 *
 *   round COUNT SIZE REQUESTS WINDOW SEED CHECK
 *       Pushes REQUESTS requests of COUNT objects of SIZE bytes, WINDOW of them in flight, under
 *       the fresh keys bench/SEED/0, 1, ..., then pulls them. One clock runs from the first submit
 *       to the last completion of each. CHECK 1 looks at every object (and stops between two laps
 *       of the ring to do so), CHECK 0 at those that are still in the ring at the end, which are
 *       all of them when the ring holds that many.
 *   remove PREFIX COUNT
 *       Removes the objects PREFIX0, PREFIX1, ..., those that are not there too.
 *   latency PULLS SIZE wait|spin SEED
 *       Pulls one object at a time, each from and to memory that was not touched lately.
 *
 * More objects than the ring holds: each lap takes its data a page further on, so that all contents
 * differ though the ring is filled once. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bluecache/bluecache.h>

#include "harness.h"
#include "ring.h"

#define WAIT_MS      UINT64_C(60000)
#define KEY_ROOM     48u
#define WINDOW_MAX   64u
#define LAP_SHIFT    UINT64_C(4096)
#define LAPS_MAX     UINT64_C(256)
#define REMOVE_BATCH 1024u

struct subject {
    struct bc_client *client;
    struct bc_memory *memory;
    uint8_t *ring;
    uint64_t ring_len;
    pid_t agent;
    uint64_t latency_seed; /* 0: its objects are not there yet */
    uint64_t latency_next;
};

/* One command `round`. */
struct round {
    struct subject *subject;
    uint64_t count;
    uint64_t size;
    uint64_t requests;
    uint64_t window;
    uint64_t seed;
    uint64_t lap_requests; /* that the ring holds */
    struct bc_entry *entries;
    char (*keys)[KEY_ROOM];
};

struct used {
    uint64_t ns;
    uint64_t cpu_ns;
    uint64_t agent_cpu_ns;
};

/* ---- requests ------------------------------------------------------------------------------- */

static struct used now(const struct subject *subject)
{
    return (struct used){.cpu_ns = bc_harness_cpu_ns(),
                         .agent_cpu_ns = bc_harness_cpu_of_ns(subject->agent),
                         .ns = bc_harness_now_ns()};
}

static void add_since(struct used *total, const struct subject *subject, struct used begin)
{
    uint64_t end_ns = bc_harness_now_ns();
    struct used end = now(subject);

    total->ns += end_ns - begin.ns;
    total->cpu_ns += end.cpu_ns - begin.cpu_ns;
    total->agent_cpu_ns += end.agent_cpu_ns - begin.agent_cpu_ns;
}

static struct bc_request *submit(struct subject *subject, enum bc_op op,
                                 const struct bc_entry *entries, uint64_t count)
{
    struct bc_request *request = NULL;
    int rc = bc_submit(subject->client, op, entries, count, NULL, &request);

    if (rc != 0) {
        bc_harness_fail("bc_submit: %s", strerror(-rc));
    }
    return request;
}

static void finish(struct bc_request *request)
{
    enum bc_status status = bc_request_wait(request, WAIT_MS);

    if (status != BC_STATUS_OK) {
        bc_harness_fail("a request ended as: %s", bc_status_text(status));
    }
    (void)bc_request_free(request);
}

static uint64_t push_offset(const struct round *round, uint64_t object)
{
    uint64_t lap_objects = round->lap_requests * round->count;

    return object % lap_objects * round->size + object / lap_objects * LAP_SHIFT;
}

static uint64_t pull_offset(const struct round *round, uint64_t object)
{
    return object % (round->lap_requests * round->count) * round->size;
}

static void prepare(struct round *round, enum bc_op op)
{
    for (uint64_t i = 0; i < round->requests * round->count; i++) {
        struct bc_entry *entry = &round->entries[i];

        entry->memory = round->subject->memory;
        entry->memory_offset = op == BC_PUSH ? push_offset(round, i) : pull_offset(round, i);
        entry->length = round->size;
        entry->key = round->keys[i];
        entry->key_len = (size_t)snprintf(round->keys[i], sizeof(round->keys[i]),
                                          "bench/%" PRIu64 "/%" PRIu64, round->seed, i);
    }
}

static void run(struct round *round, enum bc_op op, uint64_t first, uint64_t requests,
                struct used *total)
{
    struct bc_request *flying[WINDOW_MAX];
    uint64_t done = 0;
    struct used begin = now(round->subject);

    for (uint64_t i = 0; i < requests; i++) {
        if (i - done == round->window) {
            finish(flying[done++ % round->window]);
        }
        flying[i % round->window] =
            submit(round->subject, op, &round->entries[(first + i) * round->count], round->count);
    }
    while (done < requests) {
        finish(flying[done++ % round->window]);
    }
    add_since(total, round->subject, begin);
}

/* ---- round ---------------------------------------------------------------------------------- */

static void check(const struct round *round, uint64_t first, uint64_t objects)
{
    for (uint64_t i = first; i < first + objects; i++) {
        if (!bc_ring_check(round->subject->ring + pull_offset(round, i), round->size, round->seed,
                           push_offset(round, i))) {
            bc_harness_fail("object %" PRIu64 " came back with other bytes", i);
        }
    }
}

/* Returns how many objects it looked at. */
static uint64_t pull(struct round *round, bool check_all, struct used *total)
{
    uint64_t left = round->requests;
    uint64_t first = 0;
    uint64_t last;

    prepare(round, BC_PULL);
    bc_ring_spoil(round->subject->ring, round->subject->ring_len);
    if (!check_all) {
        run(round, BC_PULL, 0, round->requests, total);
        last = round->requests < round->lap_requests ? round->requests : round->lap_requests;
        check(round, (round->requests - last) * round->count, last * round->count);
        return last * round->count;
    }
    while (left > 0) {
        uint64_t now_requests = left < round->lap_requests ? left : round->lap_requests;

        run(round, BC_PULL, first, now_requests, total);
        check(round, first * round->count, now_requests * round->count);
        first += now_requests;
        left -= now_requests;
    }
    return round->requests * round->count;
}

static void open_round(struct round *round)
{
    uint64_t objects = round->requests * round->count;
    uint64_t lap_len = round->count * round->size;

    if (round->count == 0 || round->size == 0 || round->size % 8 != 0 || round->requests == 0 ||
        round->window == 0 || round->window > WINDOW_MAX) {
        bc_harness_fail("round: a number is out of range");
    }
    round->lap_requests = round->subject->ring_len / lap_len;
    if (round->lap_requests < round->window ||
        (round->requests - 1) / round->lap_requests >= LAPS_MAX) {
        bc_harness_fail("round: the ring is too small for these requests");
    }
    round->entries = calloc(objects, sizeof(*round->entries));
    round->keys = calloc(objects, sizeof(*round->keys));
    if (round->entries == NULL || round->keys == NULL) {
        bc_harness_fail("no memory for %" PRIu64 " entries", objects);
    }
}

static void do_round(struct subject *subject, const char *line)
{
    struct round round = {.subject = subject};
    struct used push_used = {0};
    struct used pull_used = {0};
    uint64_t checked;
    unsigned check_all;

    if (sscanf(line, "round %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %u",
               &round.count, &round.size, &round.requests, &round.window, &round.seed,
               &check_all) != 6) {
        bc_harness_fail("round takes six numbers");
    }
    open_round(&round);
    prepare(&round, BC_PUSH);
    bc_ring_fill(subject->ring, subject->ring_len + LAPS_MAX * LAP_SHIFT, round.seed);
    run(&round, BC_PUSH, 0, round.requests, &push_used);
    checked = pull(&round, check_all != 0, &pull_used);
    bc_harness_answer("{\"bytes\": %" PRIu64 ", \"checked\": %" PRIu64 ", \"push_ns\": %" PRIu64
                      ", \"push_cpu_ns\": %" PRIu64 ", \"push_agent_cpu_ns\": %" PRIu64
                      ", \"pull_ns\": %" PRIu64 ", \"pull_cpu_ns\": %" PRIu64
                      ", \"pull_agent_cpu_ns\": %" PRIu64 "}",
                      round.count * round.requests * round.size, checked * round.size, push_used.ns,
                      push_used.cpu_ns, push_used.agent_cpu_ns, pull_used.ns, pull_used.cpu_ns,
                      pull_used.agent_cpu_ns);
    free(round.entries);
    free(round.keys);
}

/* ---- remove --------------------------------------------------------------------------------- */

static void remove_some(struct subject *subject, const char *prefix, uint64_t first, uint64_t count)
{
    static char names[REMOVE_BATCH][KEY_ROOM];
    struct bc_key keys[REMOVE_BATCH];
    int rc;

    for (uint64_t i = 0; i < count; i++) {
        keys[i] = (struct bc_key){
            .data = names[i],
            .len = (size_t)snprintf(names[i], KEY_ROOM, "%s%" PRIu64, prefix, first + i)};
    }
    rc = bc_remove(subject->client, keys, count, 0, NULL);
    if (rc != 0) {
        bc_harness_fail("bc_remove: %s", strerror(-rc));
    }
}

static void do_remove(struct subject *subject, const char *line)
{
    char prefix[KEY_ROOM / 2];
    uint64_t objects;

    if (sscanf(line, "remove %23s %" SCNu64, prefix, &objects) != 2) {
        bc_harness_fail("remove takes a prefix and a number");
    }
    for (uint64_t first = 0; first < objects; first += REMOVE_BATCH) {
        remove_some(subject, prefix, first,
                    objects - first < REMOVE_BATCH ? objects - first : REMOVE_BATCH);
    }
    bc_harness_answer("{\"removed\": %" PRIu64 "}", objects);
}

/* ---- latency -------------------------------------------------------------------------------- */

static void latency_entry(const struct subject *subject, uint64_t object, uint64_t size,
                          char key[KEY_ROOM], struct bc_entry *entry)
{
    *entry =
        (struct bc_entry){.memory = subject->memory,
                          .memory_offset = object * size,
                          .length = size,
                          .key = key,
                          .key_len = (size_t)snprintf(key, KEY_ROOM, "latency/%" PRIu64 "/%" PRIu64,
                                                      subject->latency_seed, object)};
}

static void push_for_latency(struct subject *subject, uint64_t objects, uint64_t size,
                             uint64_t seed)
{
    subject->latency_seed = seed;
    bc_ring_fill(subject->ring, subject->ring_len, seed);
    for (uint64_t i = 0; i < objects; i++) {
        char key[KEY_ROOM];
        struct bc_entry entry;

        latency_entry(subject, i, size, key, &entry);
        finish(submit(subject, BC_PUSH, &entry, 1));
    }
}

/* Time from the call of bc_submit to the known end, in nanoseconds. */
static uint64_t pull_one(struct subject *subject, const struct bc_entry *entry, bool spin)
{
    uint64_t begin = bc_harness_now_ns();
    struct bc_request *request = submit(subject, BC_PULL, entry, 1);
    uint64_t end;

    while (spin && bc_request_test(request) == BC_STATUS_IN_PROGRESS &&
           bc_harness_now_ns() - begin < WAIT_MS * 1000000) {}
    finish(request);
    end = bc_harness_now_ns();
    return end - begin;
}

static void do_latency(struct subject *subject, const char *line)
{
    uint64_t pulls;
    uint64_t size;
    uint64_t seed;
    uint64_t objects;
    uint64_t *samples;
    char mode[8];

    if (sscanf(line, "latency %" SCNu64 " %" SCNu64 " %7s %" SCNu64, &pulls, &size, mode, &seed) !=
            4 ||
        pulls == 0 || size == 0 || size % 8 != 0 || seed == 0 || size > subject->ring_len) {
        bc_harness_fail("latency takes a number, a size, wait or spin, and a seed");
    }
    objects = subject->ring_len / size;
    samples = calloc(pulls, sizeof(*samples));
    if (samples == NULL) {
        bc_harness_fail("no memory for %" PRIu64 " samples", pulls);
    }
    if (subject->latency_seed != seed) {
        push_for_latency(subject, objects, size, seed);
    }
    bc_ring_spoil(subject->ring, subject->ring_len);
    for (uint64_t i = 0; i < pulls; i++) {
        uint64_t object = (subject->latency_next + i) % objects;
        char key[KEY_ROOM];
        struct bc_entry entry;

        latency_entry(subject, object, size, key, &entry);
        samples[i] = pull_one(subject, &entry, strcmp(mode, "spin") == 0);
    }
    for (uint64_t i = 0; i < pulls && i < objects; i++) {
        uint64_t offset = (subject->latency_next + i) % objects * size;

        if (!bc_ring_check(subject->ring + offset, size, seed, offset)) {
            bc_harness_fail("pull %" PRIu64 " brought other bytes", i);
        }
    }
    subject->latency_next = (subject->latency_next + pulls) % objects;
    bc_harness_answer(
        "{\"samples\": %" PRIu64 ", \"p50_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64 "}", pulls,
        bc_harness_percentile(samples, pulls, 500), bc_harness_percentile(samples, pulls, 990));
    free(samples);
}

/* ---- main ----------------------------------------------------------------------------------- */

static void open_subject(struct subject *subject, int argc, char **argv)
{
    struct bc_client_options options = {
        .dpu_addr = bc_harness_text(argc, argv, "addr", NULL),
        .name = "bench",
    };
    const char *kind = bc_harness_text(argc, argv, "memory", "shared");
    struct bc_error error = {{0}};
    uint64_t memory_len;
    int rc;

    subject->ring_len = bc_harness_number(argc, argv, "ring", 512 * BC_HARNESS_MIB);
    subject->agent = (pid_t)bc_harness_number(argc, argv, "agent", 0);
    memory_len = subject->ring_len + LAPS_MAX * LAP_SHIFT;
    subject->ring = bc_ring_alloc(kind, memory_len);
    rc = bc_client_open(&options, &subject->client, &error);
    if (rc != 0) {
        bc_harness_fail("bc_client_open: %s", error.text);
    }
    rc = bc_memory_register(subject->client, subject->ring, memory_len, BC_MEMORY_HOST, 0,
                            &subject->memory);
    if (rc != 0) {
        bc_harness_fail("bc_memory_register: %s", strerror(-rc));
    }
}

int main(int argc, char **argv)
{
    struct subject subject = {0};
    char line[BC_HARNESS_LINE_MAX];

    open_subject(&subject, argc, argv);
    bc_harness_answer("{\"ready\": true}");
    while (bc_harness_command(line)) {
        if (strncmp(line, "round ", 6) == 0) {
            do_round(&subject, line);
        } else if (strncmp(line, "remove ", 7) == 0) {
            do_remove(&subject, line);
        } else if (strncmp(line, "latency ", 8) == 0) {
            do_latency(&subject, line);
        } else {
            bc_harness_fail("%s: no such command", line);
        }
    }
    if (bc_memory_unregister(subject.client, subject.memory) != 0 ||
        bc_client_close(subject.client) != 0) {
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
