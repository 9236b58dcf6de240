/* SPDX-License-Identifier: Apache-2.0 */
/* push_pull.c - BlueCache itself, for the benchmarks: a client of a running agent that pushes and
 * pulls through libbluecache and tells how long it took, and how much processor time it and the
 * agent used.
 *
 *   push_pull addr=HOST:PORT [memory=shared|malloc|huge] [ring=BYTES] [agent=PID] [device=STATFILE]
 *
 *   round COUNT SIZE REQUESTS WINDOW SEED CHECK
 *       Pushes REQUESTS requests of COUNT objects of SIZE bytes, WINDOW of them in flight, under
 *       the fresh keys bench/SEED/0, 1, ..., then pulls them. CHECK 1 looks at every object that
 *       came back (and stops between two laps of the ring to do so), CHECK 0 at those that are
 *       still in the ring at the end, which are all of them when the ring holds that many.
 *   push COUNT SIZE REQUESTS WINDOW SEED [MEMBERS]
 *       The first half of a round. MEMBERS objects after one another have one group; 0: none has.
 *   check PREFIX SIZE OBJECTS STRIDE SEED
 *       Pulls the objects PREFIX0, PREFIX<STRIDE>, ... below OBJECTS of a push of another process,
 *       and looks at their bytes.
 *   remove PREFIX COUNT
 *       Removes the objects PREFIX0, PREFIX1, ..., those that are not there too.
 *   latency PULLS SIZE wait|spin SEED
 *       Pulls one object at a time, each from and to memory that was not touched lately.
 *   ping COUNT
 *       Asks the agent COUNT empty questions, one after the other.
 *   load SIZE WINDOW
 *       Pushes objects of SIZE bytes, a request each, WINDOW in flight, until the next line comes.
 *
 * As soon as a push completed, the memory that it came from is overwritten, with what it is to hold
 * in the next lap: an agent that read late would store wrong bytes. With one request in flight the
 * clocks stand still meanwhile; with several they run, since the others go on. The processor time
 * of the overwriting is never counted. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness.h"
#include "ring.h"
#include "subject.h"

#define WINDOW_MAX   64u
#define REMOVE_BATCH 1024u
#define CHECK_BATCH  1024u

/* One command `round`. */
struct round {
    struct bc_subject *subject;
    uint64_t count;
    uint64_t size;
    uint64_t requests;
    uint64_t window;
    uint64_t seed;
    uint64_t members;      /* objects of a group; 0: no groups */
    uint64_t lap_requests; /* that the ring holds */
    uint64_t spent_ns;     /* processor time of overwriting */
    struct bc_entry *entries;
    char (*keys)[BC_SUBJECT_KEY_ROOM];
};

/* ---- requests ------------------------------------------------------------------------------- */

static uint64_t ring_offset(const struct round *round, uint64_t object)
{
    return object % (round->lap_requests * round->count) * round->size;
}

static void prepare(struct round *round)
{
    for (uint64_t i = 0; i < round->requests * round->count; i++) {
        struct bc_entry *entry = &round->entries[i];

        entry->memory = round->subject->memory;
        entry->memory_offset = ring_offset(round, i);
        entry->length = round->size;
        entry->key = round->keys[i];
        entry->key_len = (size_t)snprintf(round->keys[i], sizeof(round->keys[i]),
                                          "bench/%" PRIu64 "/%" PRIu64, round->seed, i);
        entry->group = round->members == 0 ? 0 : 1 + i / round->members;
    }
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec used = {0};

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * BC_HARNESS_NS_PER_S + (uint64_t)used.tv_nsec;
}

static void overwrite(struct round *round, uint64_t request)
{
    uint64_t len = round->count * round->size;
    uint64_t begin_ns = thread_cpu_ns();

    bc_ring_fill(round->subject->ring + request % round->lap_requests * len, len, round->seed,
                 (request + round->lap_requests) * len);
    round->spent_ns += thread_cpu_ns() - begin_ns;
}

/* Returns what passed on the clock. */
static uint64_t run_one_by_one(struct round *round, enum bc_op op, uint64_t first,
                               uint64_t requests)
{
    uint64_t total_ns = 0;

    for (uint64_t i = first; i < first + requests; i++) {
        uint64_t begin_ns = bc_harness_now_ns();
        struct bc_request *request =
            bc_subject_submit(round->subject, op, &round->entries[i * round->count], round->count);

        bc_subject_finish(request);
        total_ns += bc_harness_now_ns() - begin_ns;
        if (op == BC_PUSH) {
            overwrite(round, i);
        }
    }
    return total_ns;
}

static uint64_t run_overlapped(struct round *round, enum bc_op op, uint64_t first,
                               uint64_t requests)
{
    struct bc_request *flying[WINDOW_MAX];
    uint64_t done = 0;
    uint64_t begin_ns = bc_harness_now_ns();

    for (uint64_t i = 0; i < requests + round->window; i++) {
        if (i >= round->window && done < requests) {
            bc_subject_finish(flying[done % round->window]);
            if (op == BC_PUSH) {
                overwrite(round, first + done);
            }
            done++;
        }
        if (i < requests) {
            flying[i % round->window] = bc_subject_submit(
                round->subject, op, &round->entries[(first + i) * round->count], round->count);
        }
    }
    return bc_harness_now_ns() - begin_ns;
}

static void run(struct round *round, enum bc_op op, uint64_t first, uint64_t requests,
                struct bc_subject_used *total)
{
    uint64_t spent_ns = round->spent_ns;
    struct bc_subject_used begin = bc_subject_now(round->subject);

    total->ns += round->window == 1 ? run_one_by_one(round, op, first, requests)
                                    : run_overlapped(round, op, first, requests);
    bc_subject_add_since(total, round->subject, &begin);
    total->cpu_ns -= round->spent_ns - spent_ns;
}

/* ---- round ---------------------------------------------------------------------------------- */

static void check(const struct round *round, uint64_t first, uint64_t objects)
{
    for (uint64_t i = first; i < first + objects; i++) {
        if (!bc_ring_check(round->subject->ring + ring_offset(round, i), round->size, round->seed,
                           i * round->size)) {
            bc_harness_fail("object %" PRIu64 " came back with other bytes", i);
        }
    }
}

/* Returns how many objects it looked at. */
static uint64_t pull(struct round *round, bool check_all, struct bc_subject_used *total)
{
    uint64_t left = round->requests;
    uint64_t first = 0;
    uint64_t last;

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
    if (round->lap_requests < round->window) {
        bc_harness_fail("round: the ring is too small for these requests");
    }
    round->entries = calloc(objects, sizeof(*round->entries));
    round->keys = calloc(objects, sizeof(*round->keys));
    if (round->entries == NULL || round->keys == NULL) {
        bc_harness_fail("no memory for %" PRIu64 " entries", objects);
    }
    prepare(round);
}

static void push(struct round *round, struct bc_subject_used *total)
{
    open_round(round);
    bc_ring_fill(round->subject->ring, round->subject->ring_len, round->seed, 0);
    run(round, BC_PUSH, 0, round->requests, total);
}

static void close_round(struct round *round)
{
    free(round->entries);
    free(round->keys);
}

static void do_round(struct bc_subject *subject, const char *line)
{
    struct round round = {.subject = subject};
    struct bc_subject_used in = {0};
    struct bc_subject_used out = {0};
    uint64_t checked;
    unsigned check_all;

    if (sscanf(line, "round %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %u",
               &round.count, &round.size, &round.requests, &round.window, &round.seed,
               &check_all) != 6) {
        bc_harness_fail("round takes six numbers");
    }
    push(&round, &in);
    checked = pull(&round, check_all != 0, &out);
    bc_harness_answer(
        "{\"bytes\": %" PRIu64 ", \"checked\": %" PRIu64 ", \"push_ns\": %" PRIu64
        ", \"push_cpu_ns\": %" PRIu64 ", \"push_agent_cpu_ns\": %" PRIu64
        ", \"push_device_bytes\": %" PRIu64 ", \"pull_ns\": %" PRIu64 ", \"pull_cpu_ns\": %" PRIu64
        ", \"pull_agent_cpu_ns\": %" PRIu64 ", \"pull_device_bytes\": %" PRIu64 "}",
        round.count * round.requests * round.size, checked * round.size, in.ns, in.cpu_ns,
        in.agent_cpu_ns, in.device_bytes, out.ns, out.cpu_ns, out.agent_cpu_ns, out.device_bytes);
    close_round(&round);
}

static void do_push(struct bc_subject *subject, const char *line)
{
    struct round round = {.subject = subject};
    struct bc_subject_used used = {0};

    if (sscanf(line, "push %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
               &round.count, &round.size, &round.requests, &round.window, &round.seed,
               &round.members) < 5) {
        bc_harness_fail("push takes five numbers, or six");
    }
    push(&round, &used);
    bc_harness_answer("{\"bytes\": %" PRIu64 ", \"push_ns\": %" PRIu64 "}",
                      round.count * round.requests * round.size, used.ns);
    close_round(&round);
}

/* ---- check ---------------------------------------------------------------------------------- */

struct looked_at {
    char prefix[BC_SUBJECT_KEY_ROOM / 2];
    uint64_t size;
    uint64_t objects;
    uint64_t stride;
    uint64_t seed;
};

/* Objects first, first + stride, ...: as many as `batch`. Returns how many there were. */
static uint64_t check_some(struct bc_subject *subject, const struct looked_at *what, uint64_t first,
                           uint64_t batch)
{
    static char keys[CHECK_BATCH][BC_SUBJECT_KEY_ROOM];
    static struct bc_entry entries[CHECK_BATCH];
    uint64_t count = 0;

    for (uint64_t i = first; i < what->objects && count < batch; i += what->stride, count++) {
        entries[count] = (struct bc_entry){
            .memory = subject->memory,
            .memory_offset = count * what->size,
            .length = what->size,
            .key = keys[count],
            .key_len =
                (size_t)snprintf(keys[count], sizeof(keys[count]), "%s%" PRIu64, what->prefix, i),
        };
    }
    bc_ring_spoil(subject->ring, count * what->size);
    bc_subject_finish(bc_subject_submit(subject, BC_PULL, entries, count));
    for (uint64_t i = 0; i < count; i++) {
        uint64_t object = first + i * what->stride;

        if (!bc_ring_check(subject->ring + i * what->size, what->size, what->seed,
                           object * what->size)) {
            bc_harness_fail("another process finds wrong bytes in object %" PRIu64, object);
        }
    }
    return count;
}

static void do_check(struct bc_subject *subject, const char *line)
{
    struct looked_at what;
    uint64_t batch;
    uint64_t checked = 0;

    if (sscanf(line, "check %23s %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, what.prefix,
               &what.size, &what.objects, &what.stride, &what.seed) != 5 ||
        what.size == 0 || what.size > subject->ring_len || what.stride == 0) {
        bc_harness_fail("check takes a prefix and four numbers");
    }
    batch =
        subject->ring_len / what.size < CHECK_BATCH ? subject->ring_len / what.size : CHECK_BATCH;
    for (uint64_t first = 0; first < what.objects; first += batch * what.stride) {
        checked += check_some(subject, &what, first, batch);
    }
    bc_harness_answer("{\"checked\": %" PRIu64 "}", checked);
}

/* ---- remove --------------------------------------------------------------------------------- */

static void remove_some(struct bc_subject *subject, const char *prefix, uint64_t first,
                        uint64_t count)
{
    static char names[REMOVE_BATCH][BC_SUBJECT_KEY_ROOM];
    struct bc_key keys[REMOVE_BATCH];
    int rc;

    for (uint64_t i = 0; i < count; i++) {
        keys[i] = (struct bc_key){
            .data = names[i],
            .len = (size_t)snprintf(names[i], sizeof(names[i]), "%s%" PRIu64, prefix, first + i)};
    }
    rc = bc_remove(subject->client, keys, count, 0, NULL);
    if (rc != 0) {
        bc_harness_fail("bc_remove: %s", strerror(-rc));
    }
}

static void do_remove(struct bc_subject *subject, const char *line)
{
    char prefix[BC_SUBJECT_KEY_ROOM / 2];
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

/* ---- main ----------------------------------------------------------------------------------- */

static void obey(struct bc_subject *subject, const char *line)
{
    static const struct {
        const char *word;
        void (*run)(struct bc_subject *subject, const char *line);
    } commands[] = {
        {"round ", do_round},       {"push ", do_push},           {"check ", do_check},
        {"remove ", do_remove},     {"latency ", bc_latency_run}, {"load ", bc_latency_load},
        {"ping ", bc_latency_ping},
    };

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strncmp(line, commands[i].word, strlen(commands[i].word)) == 0) {
            commands[i].run(subject, line);
            return;
        }
    }
    bc_harness_fail("%s: no such command", line);
}

int main(int argc, char **argv)
{
    struct bc_subject subject = {0};
    char line[BC_HARNESS_LINE_MAX];

    subject.agent = (pid_t)bc_harness_number(argc, argv, "agent", 0);
    subject.device = bc_harness_text(argc, argv, "device", NULL);
    bc_subject_open(&subject, bc_harness_text(argc, argv, "addr", NULL),
                    bc_harness_text(argc, argv, "memory", "shared"),
                    bc_harness_number(argc, argv, "ring", 512 * BC_HARNESS_MIB));
    bc_harness_answer("{\"ready\": true, \"memory\": \"%s\"}", bc_ring_pages(subject.ring));
    while (bc_harness_command(line)) {
        obey(&subject, line);
    }
    bc_subject_close(&subject);
    return EXIT_SUCCESS;
}
