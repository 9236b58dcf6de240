/* SPDX-License-Identifier: Apache-2.0 */
/* subject.h - a client of a running agent, as the benchmark programs use it: one connection, one
 * ring of memory, and the sums of what its requests took.
 * Thread: one a subject. Lifetime: until bc_subject_close. Whatever fails ends the program
 * (bc_harness_fail). */
#ifndef BENCH_SUBJECT_H
#define BENCH_SUBJECT_H

#include <stdint.h>
#include <sys/types.h>

#include <bluecache/bluecache.h>

#define BC_SUBJECT_KEY_ROOM 48u
#define BC_SUBJECT_WAIT_MS  UINT64_C(60000)

struct bc_subject {
    struct bc_client *client;
    struct bc_memory *memory;
    uint8_t *ring;
    uint64_t ring_len;
    pid_t agent;           /* 0: unknown */
    const char *device;    /* statistics of the disk, a path; NULL: none */
    uint64_t latency_seed; /* 0: its objects are not there yet */
    uint64_t latency_next;
};

/* What some requests took. */
struct bc_subject_used {
    uint64_t ns;     /* on the clock; who asks for them knows when it ran */
    uint64_t cpu_ns; /* of this process */
    uint64_t agent_cpu_ns;
    uint64_t device_bytes; /* read and written; 0 when there is no device */
};

void bc_subject_open(struct bc_subject *subject, const char *addr, const char *kind, uint64_t len);
void bc_subject_close(struct bc_subject *subject);

struct bc_request *bc_subject_submit(struct bc_subject *subject, enum bc_op op,
                                     const struct bc_entry *entries, uint64_t count);
/* Sleeps until the request ended; it must have ended well. */
void bc_subject_finish(struct bc_request *request);

/* Everything but `ns`: as it stands now, and what was added since then. */
struct bc_subject_used bc_subject_now(const struct bc_subject *subject);
void bc_subject_add_since(struct bc_subject_used *total, const struct bc_subject *subject,
                          const struct bc_subject_used *begin);

/* Commands `latency`, `ping` and `load` (push_pull.c tells what they are), in latency.c. */
void bc_latency_run(struct bc_subject *subject, const char *line);
void bc_latency_ping(struct bc_subject *subject, const char *line);
void bc_latency_load(struct bc_subject *subject, const char *line);

#endif
