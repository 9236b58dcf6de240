/* SPDX-License-Identifier: Apache-2.0 */
/* latency.c - the commands `latency`, `ping` and `load` of push_pull.c: what one small request takes, alone
 * or beside a client that pushes all it can. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "ring.h"
#include "subject.h"

#define LOAD_WINDOW_MAX 64u

static void make_entry(const struct bc_subject *subject, uint64_t object, uint64_t size,
                       char key[BC_SUBJECT_KEY_ROOM], struct bc_entry *entry)
{
    *entry = (struct bc_entry){.memory = subject->memory,
                               .memory_offset = object * size,
                               .length = size,
                               .key = key,
                               .key_len = (size_t)snprintf(key, BC_SUBJECT_KEY_ROOM,
                                                           "latency/%" PRIu64 "/%" PRIu64,
                                                           subject->latency_seed, object)};
}

static void push_objects(struct bc_subject *subject, uint64_t objects, uint64_t size, uint64_t seed)
{
    subject->latency_seed = seed;
    bc_ring_fill(subject->ring, subject->ring_len, seed, 0);
    for (uint64_t i = 0; i < objects; i++) {
        char key[BC_SUBJECT_KEY_ROOM];
        struct bc_entry entry;

        make_entry(subject, i, size, key, &entry);
        bc_subject_finish(bc_subject_submit(subject, BC_PUSH, &entry, 1));
        bc_ring_spoil(subject->ring + i * size, size);
    }
}

/* Time from the call of bc_submit to the known end, in nanoseconds. */
static uint64_t pull_one(struct bc_subject *subject, const struct bc_entry *entry, bool spin)
{
    uint64_t begin = bc_harness_now_ns();
    struct bc_request *request = bc_subject_submit(subject, BC_PULL, entry, 1);
    uint64_t end;

    while (spin && bc_request_test(request) == BC_STATUS_IN_PROGRESS &&
           bc_harness_now_ns() - begin < BC_SUBJECT_WAIT_MS * 1000000) {}
    bc_subject_finish(request);
    end = bc_harness_now_ns();
    return end - begin;
}

static void pull_all(struct bc_subject *subject, uint64_t pulls, uint64_t size, bool spin,
                     uint64_t *samples)
{
    uint64_t objects = subject->ring_len / size;

    bc_ring_spoil(subject->ring, subject->ring_len);
    for (uint64_t i = 0; i < pulls; i++) {
        char key[BC_SUBJECT_KEY_ROOM];
        struct bc_entry entry;

        make_entry(subject, (subject->latency_next + i) % objects, size, key, &entry);
        samples[i] = pull_one(subject, &entry, spin);
    }
    for (uint64_t i = 0; i < pulls && i < objects; i++) {
        uint64_t offset = (subject->latency_next + i) % objects * size;

        if (!bc_ring_check(subject->ring + offset, size, subject->latency_seed, offset)) {
            bc_harness_fail("pull %" PRIu64 " brought other bytes", i);
        }
    }
    subject->latency_next = (subject->latency_next + pulls) % objects;
}

void bc_latency_run(struct bc_subject *subject, const char *line)
{
    uint64_t pulls;
    uint64_t size;
    uint64_t seed;
    uint64_t *samples;
    char mode[8];

    if (sscanf(line, "latency %" SCNu64 " %" SCNu64 " %7s %" SCNu64, &pulls, &size, mode, &seed) !=
            4 ||
        pulls == 0 || size == 0 || size % 8 != 0 || seed == 0 || size > subject->ring_len) {
        bc_harness_fail("latency takes a number, a size, wait or spin, and a seed");
    }
    samples = calloc(pulls, sizeof(*samples));
    if (samples == NULL) {
        bc_harness_fail("no memory for %" PRIu64 " samples", pulls);
    }
    if (subject->latency_seed != seed) {
        push_objects(subject, subject->ring_len / size, size, seed);
    }
    pull_all(subject, pulls, size, strcmp(mode, "spin") == 0, samples);
    bc_harness_answer("{\"samples\": %" PRIu64 ", \"objects\": %" PRIu64 ", \"p50_ns\": %" PRIu64
                      ", \"p99_ns\": %" PRIu64 "}",
                      pulls, subject->ring_len / size, bc_harness_percentile(samples, pulls, 500),
                      bc_harness_percentile(samples, pulls, 990));
    free(samples);
}

void bc_latency_ping(struct bc_subject *subject, const char *line)
{
    uint64_t count;
    uint64_t *samples;

    if (sscanf(line, "ping %" SCNu64, &count) != 1 || count == 0) {
        bc_harness_fail("ping takes a number");
    }
    samples = calloc(count, sizeof(*samples));
    if (samples == NULL) {
        bc_harness_fail("no memory for %" PRIu64 " samples", count);
    }
    for (uint64_t i = 0; i < count; i++) {
        int rc = bc_ping(subject->client, BC_SUBJECT_WAIT_MS, &samples[i]);

        if (rc != 0) {
            bc_harness_fail("bc_ping: %s", strerror(-rc));
        }
    }
    bc_harness_answer(
        "{\"samples\": %" PRIu64 ", \"p50_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64 "}", count,
        bc_harness_percentile(samples, count, 500), bc_harness_percentile(samples, count, 990));
    free(samples);
}

static bool line_waits(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&input, 1, 0) != 0;
}

/* The keys go round with the ring, so that the load replaces its own objects and pushes nobody
 * else's out. */
void bc_latency_load(struct bc_subject *subject, const char *line)
{
    struct bc_request *flying[LOAD_WINDOW_MAX];
    uint64_t size;
    uint64_t window;
    uint64_t objects;
    uint64_t begun = 0;
    uint64_t done = 0;
    char last[BC_HARNESS_LINE_MAX];

    if (sscanf(line, "load %" SCNu64 " %" SCNu64, &size, &window) != 2 || size == 0 ||
        window == 0 || window > LOAD_WINDOW_MAX || subject->ring_len / size < window) {
        bc_harness_fail("load takes a size and how many requests are in flight");
    }
    objects = subject->ring_len / size;
    while (!line_waits()) {
        char key[BC_SUBJECT_KEY_ROOM];
        struct bc_entry entry = {
            .memory = subject->memory,
            .memory_offset = begun % objects * size,
            .length = size,
            .key = key,
            .key_len = (size_t)snprintf(key, sizeof(key), "load/%" PRIu64, begun % objects)};

        if (begun - done == window) {
            bc_subject_finish(flying[done++ % window]);
        }
        flying[begun++ % window] = bc_subject_submit(subject, BC_PUSH, &entry, 1);
    }
    while (done < begun) {
        bc_subject_finish(flying[done++ % window]);
    }
    (void)bc_harness_command(last);
    bc_harness_answer("{\"pushed\": %" PRIu64 "}", done);
}
