/* SPDX-License-Identifier: Apache-2.0 */
/* crew.c - see crew.h. */
#include "agent/crew.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "session/server.h"
#include "session/session.h"

#define MIB           (UINT64_C(1) << 20)
#define CHECK_NS      (2 * BC_NS_PER_MS)
#define STOP_GRACE_MS 20000u
#define CHUNKS_MAX    4096u
#define OPENS_MAX     512u

/* How far a worker is; only grows. Written by the worker, waited for by main under the crew's
 * lock. */
enum stage {
    STAGE_MAKING = 0,
    STAGE_MADE = 1,    /* waits for bc_crew_run */
    STAGE_FAILED = 2,  /* could not be made; the thread ended */
    STAGE_RUNNING = 3, /* its loop runs */
    STAGE_EMPTY = 4,   /* draining; no session left */
    STAGE_QUIET = 5,   /* no session left anywhere; it has told of every group it dropped */
    STAGE_STOPPED = 6, /* its loop ended; it sends no mail any more */
    STAGE_ENDED = 7,   /* everything it owned is freed */
};

struct member {
    struct bc_worker worker;
    struct bc_crew *crew;
    pthread_t thread;
    bool started;
    enum stage stage;
    struct bc_options_error error;
    struct bc_mail drain_mail;
    struct bc_mail quiet_mail;
    struct bc_mail stop_mail;
    struct bc_timer drain_timer;
    struct bc_timer quiet_timer;
    struct bc_batch_op stop_op;
    uint64_t drain_until_ns;
    bool closed_all;
};

struct bc_crew {
    struct bc_crew_options options;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool run;  /* the loops may start */
    bool quit; /* members may free what they own: no one sends them mail any more */
    uint64_t group_clock;
    struct member *members;
    struct bc_worker **peers;
};

uint64_t bc_crew_pool_len(uint64_t staging_bytes, uint64_t workers)
{
    return bc_align_down_u64(staging_bytes / workers, 2 * MIB);
}

uint64_t bc_crew_cache_len(uint64_t pool_len, uint32_t chunk_len)
{
    uint64_t floor = bc_max_u64(pool_len / 16, 2 * bc_staging_cost(chunk_len));
    return floor < pool_len ? pool_len - floor : 0;
}

static void set_stage(struct member *member, enum stage stage)
{
    struct bc_crew *crew = member->crew;
    pthread_mutex_lock(&crew->lock);
    member->stage = stage;
    pthread_cond_broadcast(&crew->changed);
    pthread_mutex_unlock(&crew->lock);
}

/* True when the member reached `stage` (or failed) in time. */
static bool wait_stage(struct member *member, enum stage stage, uint64_t timeout_ms)
{
    struct bc_crew *crew = member->crew;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&crew->lock);
    int rc = 0;
    while (member->stage < stage && rc == 0) {
        rc = pthread_cond_timedwait(&crew->changed, &crew->lock, &until);
    }
    bool reached = member->stage >= stage;
    pthread_mutex_unlock(&crew->lock);
    return reached;
}

static int say(struct member *member, int rc, const char *what)
{
    if (rc != 0 && member->error.text[0] == '\0') {
        snprintf(member->error.text, sizeof(member->error.text), "worker %u: %s: %s",
                 member->worker.index, what, strerror(-rc));
    }
    return rc;
}

static int make_loop(struct member *member)
{
    char name[16];
    snprintf(name, sizeof(name), "bc-worker%u", member->worker.index);
    struct bc_loop_options options = {.spin_ns = member->crew->options.spin_ns, .name = name};
    int rc = bc_loop_create(&options, &member->worker.loop);
    if (rc == 0) {
        bc_uring_files_init(&member->worker.files, member->worker.loop);
        rc = bc_loop_register_metrics(member->worker.loop, member->worker.metrics);
    }
    return say(member, rc, "cannot set up io_uring (a container's seccomp profile must allow it)");
}

static int make_staging(struct member *member)
{
    const struct bc_crew_options *crew = &member->crew->options;
    uint64_t pool_len = bc_crew_pool_len(crew->staging_bytes, crew->workers);
    bool keeps = crew->backend_type == &bc_backend_dram;
    uint64_t cache = keeps ? bc_crew_cache_len(pool_len, crew->chunk_len) : 0;
    if (crew->capacity_bytes > 0) {
        cache = bc_min_u64(cache, crew->capacity_bytes / crew->workers);
    }
    struct bc_staging_options options = {
        .pool_len = pool_len,
        .cache_len = bc_align_down_u64(cache, BC_STAGING_PAGE),
        .huge_pages = crew->huge_pages,
    };
    return say(member, bc_staging_create(&options, member->worker.metrics, &member->worker.staging),
               "cannot take the staging memory (-m)");
}

static int make_dma(struct member *member)
{
    const struct bc_crew_options *crew = &member->crew->options;
    void *base;
    size_t len;
    bc_staging_memory(member->worker.staging, &base, &len);
    struct bc_dma_options options = {.depth = crew->depth, .local = base, .local_len = len};
    return say(member,
               bc_dma_create(crew->device, member->worker.loop, &options, member->worker.metrics,
                             &member->worker.dma),
               "cannot start the DMA engine");
}

static int make_backend(struct member *member)
{
    const struct bc_crew_options *crew = &member->crew->options;
    struct bc_backend_env env = {
        .loop = member->worker.loop,
        .files = &member->worker.files.files,
        .staging = member->worker.staging,
        .metrics = member->worker.metrics,
        .root = crew->root,
        .capacity = crew->capacity_bytes / crew->workers,
        .worker = member->worker.index,
        .workers = crew->workers,
        .handles_max = 2 * OPENS_MAX,
        .format = crew->format,
        .group_clock = member->worker.group_clock,
    };
    return say(
        member,
        crew->backend_type->create(&env, crew->store, &member->error, &member->worker.backend),
        "cannot start the backend");
}

static int make_pipeline(struct member *member)
{
    const struct bc_crew_options *crew = &member->crew->options;
    struct bc_pipeline_options options = {
        .loop = member->worker.loop,
        .dma = member->worker.dma,
        .backend = member->worker.backend,
        .worker = member->worker.index,
        .depth = crew->depth,
        .chunk_len = crew->chunk_len,
        .dma_len_max = bc_dma_device_max_len(crew->device),
        .chunks_max = CHUNKS_MAX,
        .opens_max = OPENS_MAX,
        .metrics = member->worker.metrics,
    };
    bc_group_post_init(&member->worker.group_post, &member->worker);
    return say(member, bc_pipeline_create(&options, &member->worker.pipeline),
               "cannot make the pipeline");
}

static int make_sessions(struct member *member)
{
    return say(member, bc_sessions_create(&member->worker, &member->worker.sessions),
               "cannot make the session tables");
}

/* Whoever listens gives the first worker its server; an engine of it belongs to this thread. */
static int make_server(struct member *member)
{
    member->worker.server = NULL;
    return 0;
}

/* Lets what was told to end (watches, last operations) end; gives up after about 5 s. */
static void settle(struct member *member)
{
    struct bc_loop *loop = member->worker.loop;
    for (int turn = 0; turn < 500 && bc_loop_in_flight(loop) > 0; turn++) {
        bc_loop_turn(loop, 10 * BC_NS_PER_MS);
    }
}

static void drop_loop(struct member *member)
{
    settle(member);
    bc_loop_destroy(member->worker.loop);
}

static void drop_staging(struct member *member)
{
    bc_staging_destroy(member->worker.staging);
}

static void drop_dma(struct member *member)
{
    bc_dma_destroy(member->worker.dma);
    settle(member);
}

static void drop_backend(struct member *member)
{
    member->worker.backend->ops->destroy(member->worker.backend);
}

static void drop_pipeline(struct member *member)
{
    bc_pipeline_destroy(member->worker.pipeline);
}

static void drop_sessions(struct member *member)
{
    bc_sessions_destroy(member->worker.sessions);
}

static void drop_server(struct member *member)
{
    bc_server_destroy(member->worker.server);
}

/* What a worker is made of, in order; taken down in reverse. */
static const struct {
    const char *name;
    int (*make)(struct member *member);
    void (*drop)(struct member *member);
} parts[] = {
    {"loop", make_loop, drop_loop},
    {"staging", make_staging, drop_staging},
    {"dma", make_dma, drop_dma},
    {"backend", make_backend, drop_backend},
    {"pipeline", make_pipeline, drop_pipeline},
    {"sessions", make_sessions, drop_sessions},
    {"server", make_server, drop_server},
};

/* Waits until the loop may run or is not needed: true to run it. */
static bool wait_for_run(struct bc_crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    while (!crew->run && !crew->quit) {
        pthread_cond_wait(&crew->changed, &crew->lock);
    }
    bool run = crew->run;
    pthread_mutex_unlock(&crew->lock);
    return run;
}

/* A sender touches a loop still after the mail is in: every loop outlives the last mail of all. */
static void wait_for_quit(struct bc_crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    while (!crew->quit) {
        pthread_cond_wait(&crew->changed, &crew->lock);
    }
    pthread_mutex_unlock(&crew->lock);
}

static void *thread_main(void *arg)
{
    struct member *member = arg;
    size_t made = 0;
    while (made < BC_ARRAY_LEN(parts) && parts[made].make(member) == 0) {
        made++;
    }
    bool ok = made == BC_ARRAY_LEN(parts);
    if (ok) {
        set_stage(member, STAGE_MADE);
        if (wait_for_run(member->crew)) {
            set_stage(member, STAGE_RUNNING);
            bc_loop_run(member->worker.loop);
            set_stage(member, STAGE_STOPPED);
            wait_for_quit(member->crew);
        }
    }
    while (made > 0) {
        parts[--made].drop(member);
    }
    set_stage(member, ok ? STAGE_ENDED : STAGE_FAILED);
    return NULL;
}

static int start_member(struct bc_crew *crew, uint32_t index, struct bc_options_error *error)
{
    struct member *member = &crew->members[index];
    member->crew = crew;
    member->worker.index = index;
    member->worker.worker_count = crew->options.workers;
    member->worker.peers = crew->peers;
    member->worker.limits = crew->options.limits;
    member->worker.metrics = crew->options.metrics;
    member->worker.group_clock = &crew->group_clock;
    int rc = pthread_create(&member->thread, NULL, thread_main, member);
    if (rc != 0) {
        snprintf(error->text, sizeof(error->text), "cannot start a worker thread: %s",
                 strerror(rc));
        return -rc;
    }
    member->started = true;
    pthread_mutex_lock(&crew->lock);
    /* No deadline: rebuilding a large store's index takes as long as it takes, and says so. */
    while (member->stage < STAGE_MADE) {
        pthread_cond_wait(&crew->changed, &crew->lock);
    }
    bool failed = member->stage == STAGE_FAILED;
    pthread_mutex_unlock(&crew->lock);
    if (failed) {
        *error = member->error;
        return -EIO;
    }
    return 0;
}

static void quit(struct bc_crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    crew->quit = true;
    pthread_cond_broadcast(&crew->changed);
    pthread_mutex_unlock(&crew->lock);
}

static void join_all(struct bc_crew *crew)
{
    for (uint32_t i = 0; i < crew->options.workers; i++) {
        if (crew->members[i].started) {
            pthread_join(crew->members[i].thread, NULL);
        }
    }
}

static void crew_free(struct bc_crew *crew)
{
    pthread_cond_destroy(&crew->changed);
    pthread_mutex_destroy(&crew->lock);
    free(crew->peers);
    free(crew->members);
    free(crew);
}

int bc_crew_create(const struct bc_crew_options *options, struct bc_options_error *error,
                   struct bc_crew **crew_out)
{
    struct bc_crew *crew = calloc(1, sizeof(*crew));
    if (crew == NULL) {
        return -ENOMEM;
    }
    crew->options = *options;
    crew->members = calloc(options->workers, sizeof(*crew->members));
    crew->peers = calloc(options->workers, sizeof(*crew->peers));
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    int rc = -ENOMEM;
    if (crew->members == NULL || crew->peers == NULL) {
        goto err_free;
    }
    for (uint32_t i = 0; i < options->workers; i++) {
        crew->peers[i] = &crew->members[i].worker;
    }
    for (uint32_t i = 0; i < options->workers; i++) {
        rc = start_member(crew, i, error);
        if (rc != 0) {
            goto err_quit;
        }
    }
    *crew_out = crew;
    return 0;

err_quit:
    quit(crew);
    join_all(crew);
err_free:
    crew_free(crew);
    return rc;
}

void bc_crew_run(struct bc_crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    crew->run = true;
    pthread_cond_broadcast(&crew->changed);
    pthread_mutex_unlock(&crew->lock);
}

struct bc_worker *bc_crew_worker(struct bc_crew *crew, uint32_t index)
{
    return &crew->members[index].worker;
}

/* In the worker. */
static void drain_check(struct bc_timer *timer)
{
    struct member *member = BC_CONTAINER_OF(timer, struct member, drain_timer);
    struct bc_worker *worker = &member->worker;
    if (bc_sessions_count(worker->sessions) == 0) {
        set_stage(member, STAGE_EMPTY);
        return;
    }
    if (!member->closed_all && bc_loop_now_ns(worker->loop) >= member->drain_until_ns) {
        BC_WARN("agent", "worker %u: %u clients are still connected; closing them", worker->index,
                bc_sessions_count(worker->sessions));
        member->closed_all = true;
        bc_sessions_close_all(worker->sessions);
    }
    bc_timer_start(worker->loop, timer, CHECK_NS);
}

static void drain(struct bc_mail *mail)
{
    struct member *member = BC_CONTAINER_OF(mail, struct member, drain_mail);
    struct bc_worker *worker = &member->worker;
    bc_sessions_drain(worker->sessions);
    member->drain_until_ns =
        bc_loop_now_ns(worker->loop) + member->crew->options.drain_timeout_ms * BC_NS_PER_MS;
    bc_timer_init(&member->drain_timer, drain_check);
    bc_timer_start(worker->loop, &member->drain_timer, 0);
}

/* In the worker. Nothing is put any more, so that a post that is quiet stays so. */
static void quiet_check(struct bc_timer *timer)
{
    struct member *member = BC_CONTAINER_OF(timer, struct member, quiet_timer);
    if (bc_group_post_is_quiet(&member->worker.group_post)) {
        set_stage(member, STAGE_QUIET);
        return;
    }
    bc_timer_start(member->worker.loop, timer, CHECK_NS);
}

static void quiet(struct bc_mail *mail)
{
    struct member *member = BC_CONTAINER_OF(mail, struct member, quiet_mail);
    bc_timer_init(&member->quiet_timer, quiet_check);
    /* Behind what was deferred at the start, should this be the first turn. */
    bc_timer_start(member->worker.loop, &member->quiet_timer, 0);
}

static void stopped(struct bc_batch_op *op, int result)
{
    struct member *member = BC_CONTAINER_OF(op, struct member, stop_op);
    if (result != 0) {
        BC_ERROR("agent", "worker %u: the backend stopped with: %s", member->worker.index,
                 strerror(-result));
    }
    bc_loop_stop(member->worker.loop);
}

static void stop(struct bc_mail *mail)
{
    struct member *member = BC_CONTAINER_OF(mail, struct member, stop_mail);
    struct bc_backend *backend = member->worker.backend;
    member->stop_op.done = stopped;
    backend->ops->stop(backend, &member->stop_op);
}

/* True when every member reached `stage` in time. */
static bool wait_all(struct bc_crew *crew, enum stage stage)
{
    for (uint32_t i = 0; i < crew->options.workers; i++) {
        if (!wait_stage(&crew->members[i], stage, crew->options.drain_timeout_ms + STOP_GRACE_MS)) {
            return false;
        }
    }
    return true;
}

static int drain_and_stop(struct bc_crew *crew)
{
    for (uint32_t i = 0; i < crew->options.workers; i++) {
        crew->members[i].drain_mail.deliver = drain;
        bc_loop_send(crew->members[i].worker.loop, &crew->members[i].drain_mail);
    }
    if (!wait_all(crew, STAGE_EMPTY)) {
        return -ETIMEDOUT;
    }
    /* A group that one worker dropped reaches the others' stores before these are stopped. */
    for (uint32_t i = 0; i < crew->options.workers; i++) {
        crew->members[i].quiet_mail.deliver = quiet;
        bc_loop_send(crew->members[i].worker.loop, &crew->members[i].quiet_mail);
    }
    if (!wait_all(crew, STAGE_QUIET)) {
        return -ETIMEDOUT;
    }
    for (uint32_t i = 0; i < crew->options.workers; i++) {
        crew->members[i].stop_mail.deliver = stop;
        bc_loop_send(crew->members[i].worker.loop, &crew->members[i].stop_mail);
    }
    return wait_all(crew, STAGE_STOPPED) ? 0 : -ETIMEDOUT;
}

int bc_crew_destroy(struct bc_crew *crew)
{
    if (crew == NULL) {
        return 0;
    }
    int rc = crew->run ? drain_and_stop(crew) : 0;
    if (rc != 0) {
        return rc;
    }
    quit(crew);
    if (!wait_all(crew, STAGE_ENDED)) {
        return -ETIMEDOUT;
    }
    join_all(crew);
    crew_free(crew);
    return 0;
}
