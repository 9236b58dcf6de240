/* SPDX-License-Identifier: Apache-2.0 */
/* bench.h - the parts of bluecache bench: settings, threads, the data and its verification, the
 * report.
 *
 * A run has phases (fill, push, pull, clean up). In a phase every thread, which has a connection
 * and memory of its own, keeps `depth` requests of `batch` objects in flight over its own share of
 * the keys:
 *
 *   keys of thread t    | block 0 | block 1 | ... | block B-1 |   a block is one request's keys
 *   requests in flight       ^ oldest, waited for first   (a ring of `depth` slots)
 *
 * Invariants: two requests in flight never name the same key (B >= depth, requests end in order),
 * so what a key holds is known: its number and how often it was pushed.
 * Thread: a worker belongs to its thread during a phase and to main between phases. */
#ifndef BC_TOOLS_BENCH_H
#define BC_TOOLS_BENCH_H

#include "cli.h"
#include "histogram.h"

#ifdef __cplusplus
extern "C" {
#endif

enum bc_bench_op { BC_BENCH_BOTH = 0, BC_BENCH_PUSH = 1, BC_BENCH_PULL = 2 };
enum bc_bench_memory { BC_BENCH_SHARED = 0, BC_BENCH_MALLOC = 1 };

struct bc_bench_settings {
    uint32_t op;
    uint32_t memory;
    uint64_t size;
    uint64_t batch;
    uint64_t depth;
    uint64_t threads;
    uint64_t ms;     /* of a phase; 0: count decides */
    uint64_t count;  /* requests of a phase, of all threads; 0: ms decides */
    uint64_t warmup; /* requests of each thread before it counts */
    uint64_t keys;   /* of all threads; a multiple of threads * batch */
    bool verify;
    bool fresh;
    bool keep;
    const char *prefix;
};

/* What one thread, or all of them, did in one phase. */
struct bc_bench_result {
    uint64_t requests;
    uint64_t objects;
    uint64_t bytes;
    uint64_t misses;     /* objects not found, or whose checksum was wrong */
    uint64_t mismatches; /* objects whose bytes are not what was pushed */
    struct bc_cli_histogram times;
};

enum bc_bench_phase { BC_BENCH_FILL, BC_BENCH_PUSHING, BC_BENCH_PULLING };

struct bc_bench;

struct bc_bench_slot {
    struct bc_request *request; /* NULL: free */
    uint64_t block;
    uint64_t start_ns;
    uint64_t end_ns; /* 0: not seen to have ended */
};

struct bc_bench_worker {
    struct bc_bench *bench;
    uint64_t index;
    struct bc_client *client;
    void *memory; /* depth * batch * stride bytes */
    struct bc_memory *registered;
    struct bc_bench_slot *slots; /* depth of them */
    struct bc_entry *entries;    /* batch of them, for the submit */
    char *names;                 /* batch keys of name_room bytes */
    uint32_t *rounds;            /* of each own key: pushes so far; 0: it is not in the store */
    uint64_t blocks;
    uint64_t next_block;
    struct bc_bench_result result;
    uint64_t done_ns;   /* when the phase was over for it */
    uint64_t bytes_now; /* for the progress line; atomic, relaxed */
};

struct bc_bench {
    struct bc_cli *cli;
    struct bc_bench_settings settings;
    struct bc_bench_worker *workers; /* settings.threads of them */
    size_t name_room;
    uint64_t stride; /* from one object in memory to the next: the size, kept aligned */
    uint64_t seed;
    enum bc_bench_phase phase;
    int64_t claims;    /* requests left to start when settings.count decides; atomic */
    uint64_t end_ns;   /* when settings.ms decides */
    bool stop;         /* a thread failed; atomic */
    int status;        /* of the first that failed; atomic */
    uint64_t running;  /* threads; atomic */
    uint64_t phase_ns; /* what the last phase took */
    uint64_t cpu_ns;   /* of this process in the last phase */
};

/* ---- bench_setup.c: connections and memory ------------------------------------------------- */

/* An exit status; after any, bc_bench_close frees. Opens cli->client as the first of the
 * connections. */
int bc_bench_open(struct bc_bench *bench, struct bc_cli *cli,
                  const struct bc_bench_settings *settings);
void bc_bench_close(struct bc_bench *bench);

/* ---- bench_data.c: keys and contents ------------------------------------------------------- */

/* Writes the name of a worker's key, as of its `round`; returns its length. */
size_t bc_bench_key(const struct bc_bench_worker *worker, uint64_t key, uint32_t round, char *name);

/* Fills and checks the bytes of an object. Before a pull: makes sure that what was there cannot
 * pass for what should come. */
void bc_bench_write(const struct bc_bench_worker *worker, uint64_t key, uint32_t round, void *at);
bool bc_bench_check(const struct bc_bench_worker *worker, uint64_t key, uint32_t round,
                    const void *at);
void bc_bench_spoil(const struct bc_bench_worker *worker, void *at);

/* ---- bench_worker.c: one thread ------------------------------------------------------------ */

/* Fills what is missing of the worker's keys. */
void bc_bench_worker_fill(struct bc_bench_worker *worker);
/* `limit` requests, without regard to time and count, nothing recorded. */
void bc_bench_worker_warm_up(struct bc_bench_worker *worker);
/* Until time or count are used up. */
void bc_bench_worker_measure(struct bc_bench_worker *worker);
/* Removes what was pushed. */
void bc_bench_worker_clean(struct bc_bench_worker *worker);

/* ---- bench_run.c: phases ------------------------------------------------------------------- */

/* All threads through one phase, with the progress line. An exit status. The results are merged
 * into result_out. */
int bc_bench_run(struct bc_bench *bench, enum bc_bench_phase phase,
                 struct bc_bench_result *result_out);
/* Removes the objects of all threads. */
void bc_bench_clean(struct bc_bench *bench);
/* Ends the phase for all threads; keeps the first status. Any thread. */
void bc_bench_fail(struct bc_bench *bench, int status);
bool bc_bench_stopped(const struct bc_bench *bench);

/* ---- bench_report.c ------------------------------------------------------------------------ */

struct bc_bench_report {
    bool has[2]; /* push, pull */
    struct bc_bench_result results[2];
    uint64_t ns[2];
    uint64_t cpu_ns[2];
};

void bc_bench_print(const struct bc_bench *bench, const struct bc_bench_report *report);

#ifdef __cplusplus
}
#endif

#endif
