/* SPDX-License-Identifier: Apache-2.0 */
/* crowd.c - many clients of one agent in one process: some that do nothing, some that do nothing
 * else but pull.
 *
 *   crowd addr=HOST:PORT agent=PID [busy=CLIENTS] [size=BYTES]
 *
 *   idle COUNT
 *       Opens or closes clients until COUNT of them are connected, each with a registered page, and
 *       does nothing with them.
 *   busy PULLS
 *       Each of the busy clients pulls an object of its own PULLS times, one request at a time, all
 *       of them at once. Answers what processor time the agent used meanwhile.
 *
 * Thread: one for each busy client, each with its own subject. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "ring.h"
#include "subject.h"

#define BUSY_MAX  64u
#define IDLE_MAX  1024u
#define IDLE_LEN  4096u
#define SETTLE_US 200000u

struct worker {
    struct bc_subject subject;
    pthread_t thread;
    uint64_t number;
    uint64_t size;
    uint64_t pulls;
};

struct crowd {
    const char *addr;
    pid_t agent;
    uint64_t busy;
    struct worker workers[BUSY_MAX];
    uint64_t idle;
    struct bc_subject sleepers[IDLE_MAX];
};

static void transfer(struct worker *worker, enum bc_op op)
{
    char key[BC_SUBJECT_KEY_ROOM];
    struct bc_entry entry = {
        .memory = worker->subject.memory,
        .key = key,
        .key_len = (size_t)snprintf(key, sizeof(key), "crowd/%" PRIu64, worker->number),
        .length = worker->size,
    };

    bc_subject_finish(bc_subject_submit(&worker->subject, op, &entry, 1));
}

static void *pull_all(void *arg)
{
    struct worker *worker = arg;

    for (uint64_t i = 0; i < worker->pulls; i++) {
        transfer(worker, BC_PULL);
    }
    return NULL;
}

static void open_workers(struct crowd *crowd, uint64_t size)
{
    for (uint64_t i = 0; i < crowd->busy; i++) {
        struct worker *worker = &crowd->workers[i];

        worker->number = i;
        worker->size = size;
        bc_subject_open(&worker->subject, crowd->addr, "shared", size);
        bc_ring_fill(worker->subject.ring, size, i + 1, 0);
        transfer(worker, BC_PUSH);
        bc_ring_spoil(worker->subject.ring, size);
    }
}

static void do_idle(struct crowd *crowd, const char *line)
{
    uint64_t count;

    if (sscanf(line, "idle %" SCNu64, &count) != 1 || count > IDLE_MAX) {
        bc_harness_fail("idle takes a number up to %u", IDLE_MAX);
    }
    for (; crowd->idle < count; crowd->idle++) {
        bc_subject_open(&crowd->sleepers[crowd->idle], crowd->addr, "malloc", IDLE_LEN);
    }
    for (; crowd->idle > count; crowd->idle--) {
        struct bc_subject *sleeper = &crowd->sleepers[crowd->idle - 1];

        bc_subject_close(sleeper);
        free(sleeper->ring);
    }
    (void)usleep(SETTLE_US); /* what the agent still does for those that came or went */
    bc_harness_answer("{\"idle\": %" PRIu64 "}", crowd->idle);
}

static void do_busy(struct crowd *crowd, const char *line)
{
    uint64_t pulls;
    uint64_t cpu_ns;
    uint64_t ns;

    if (sscanf(line, "busy %" SCNu64, &pulls) != 1 || pulls == 0) {
        bc_harness_fail("busy takes a number");
    }
    cpu_ns = bc_harness_cpu_of_ns(crowd->agent);
    ns = bc_harness_now_ns();
    for (uint64_t i = 0; i < crowd->busy; i++) {
        crowd->workers[i].pulls = pulls;
        if (pthread_create(&crowd->workers[i].thread, NULL, pull_all, &crowd->workers[i]) != 0) {
            bc_harness_fail("pthread_create failed");
        }
    }
    for (uint64_t i = 0; i < crowd->busy; i++) {
        (void)pthread_join(crowd->workers[i].thread, NULL);
    }
    ns = bc_harness_now_ns() - ns;
    cpu_ns = bc_harness_cpu_of_ns(crowd->agent) - cpu_ns;
    for (uint64_t i = 0; i < crowd->busy; i++) {
        struct worker *worker = &crowd->workers[i];

        if (!bc_ring_check(worker->subject.ring, worker->size, i + 1, 0)) {
            bc_harness_fail("a pull brought other bytes");
        }
        bc_ring_spoil(worker->subject.ring, worker->size);
    }
    bc_harness_answer("{\"requests\": %" PRIu64 ", \"ns\": %" PRIu64 ", \"agent_cpu_ns\": %" PRIu64
                      "}",
                      pulls * crowd->busy, ns, cpu_ns);
}

int main(int argc, char **argv)
{
    static struct crowd crowd;
    char line[BC_HARNESS_LINE_MAX];

    crowd.addr = bc_harness_text(argc, argv, "addr", NULL);
    crowd.agent = (pid_t)bc_harness_number(argc, argv, "agent", 0);
    crowd.busy = bc_harness_number(argc, argv, "busy", 4);
    if (crowd.busy == 0 || crowd.busy > BUSY_MAX) {
        bc_harness_fail("busy: 1 to %u", BUSY_MAX);
    }
    open_workers(&crowd, bc_harness_number(argc, argv, "size", 64 * BC_HARNESS_KIB));
    bc_harness_answer("{\"ready\": true}");
    while (bc_harness_command(line)) {
        if (strncmp(line, "idle ", 5) == 0) {
            do_idle(&crowd, line);
        } else if (strncmp(line, "busy ", 5) == 0) {
            do_busy(&crowd, line);
        } else {
            bc_harness_fail("%s: no such command", line);
        }
    }
    for (uint64_t i = 0; i < crowd.idle; i++) {
        bc_subject_close(&crowd.sleepers[i]);
    }
    for (uint64_t i = 0; i < crowd.busy; i++) {
        bc_subject_close(&crowd.workers[i].subject);
    }
    return EXIT_SUCCESS;
}
