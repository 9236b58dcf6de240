/* SPDX-License-Identifier: Apache-2.0 */
/* startup.c - see startup.h. */
#include "agent/startup.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <time.h>

#include "base/crc32c.h"
#include "base/log.h"

#define SERVER_STOP_TIMEOUT_S 10
#define KEEPALIVE_MS          10000u
#define ADDRESS_LEN           512

/* Passes rc on; an error gets a sentence, unless who failed has given one. */
static int fail(struct bc_agent *agent, int rc, const char *what, const char *hint)
{
    if (rc != 0 && agent->error.text[0] == '\0') {
        snprintf(agent->error.text, sizeof(agent->error.text), "%s: %s%s%s", what, strerror(-rc),
                 hint[0] != '\0' ? "; " : "", hint);
    }
    return rc;
}

/* Descriptors: one per connection and per open object. */
static int raise_limits(struct bc_agent *agent)
{
    struct rlimit limit;
    (void)agent;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            BC_WARN("agent", "cannot raise the limit of open files: %s", strerror(errno));
        }
    }
    return 0;
}

static int make_metrics(struct bc_agent *agent)
{
    return fail(agent, bc_metrics_create(&agent->metrics), "metrics", "");
}

static void drop_metrics(struct bc_agent *agent)
{
    bc_metrics_destroy(agent->metrics);
}

static int open_device(struct bc_agent *agent)
{
    int rc = bc_dma_device_open(agent->options->pci_addr, &agent->device);
    if (rc != 0) {
        return fail(agent, rc, "cannot open the BlueField function (-p)",
                    "the log lists the functions that were found");
    }
    uint64_t chunk = bc_min_u64(agent->options->chunk_bytes, bc_dma_device_max_len(agent->device));
    agent->chunk_len =
        (uint32_t)bc_max_u64(bc_align_down_u64(chunk, BC_CRC_BLOCK_SIZE), BC_CRC_BLOCK_SIZE);
    if (agent->chunk_len != agent->options->chunk_bytes) {
        BC_INFO("agent", "chunks of %u bytes: what the DMA engine can copy at once",
                agent->chunk_len);
    }
    if (bc_dma_device_emulated(agent->device)) {
        BC_WARN("agent", "the DMA engine is a software emulation of DOCA: no BlueField is in use");
    }
    return 0;
}

static void close_device(struct bc_agent *agent)
{
    bc_dma_device_close(agent->device);
}

/* The limit in force: asked for, or half of the file system, or what the pool can hold. */
static int choose_capacity(struct bc_agent *agent)
{
    agent->capacity_bytes = agent->options->capacity_bytes;
    if (agent->backend_type == &bc_backend_dram) {
        uint64_t workers = agent->options->workers;
        uint64_t pool = bc_crew_pool_len(agent->options->staging_bytes, workers);
        uint64_t cache = bc_crew_cache_len(pool, agent->chunk_len) * workers;
        if (agent->capacity_bytes > cache) {
            snprintf(agent->error.text, sizeof(agent->error.text),
                     "--capacity: dram keeps objects in the staging memory; -m %llu MiB has room "
                     "for %llu MiB of them",
                     (unsigned long long)(agent->options->staging_bytes >> 20),
                     (unsigned long long)(cache >> 20));
            return -EINVAL;
        }
        if (agent->capacity_bytes == 0) {
            agent->capacity_bytes = cache;
        }
    } else if (agent->capacity_bytes == 0) {
        struct statvfs fs;
        if (statvfs(agent->options->root, &fs) != 0) {
            return fail(agent, -errno, "cannot look at --root", "");
        }
        agent->capacity_bytes = (uint64_t)fs.f_blocks * fs.f_frsize / 2;
    }
    return 0;
}

static void close_store(struct bc_agent *agent)
{
    if (agent->backend_type->close_store != NULL && agent->store != NULL) {
        agent->backend_type->close_store(agent->store);
        agent->store = NULL;
    }
}

static int open_store(struct bc_agent *agent)
{
    const struct bc_agent_options *options = agent->options;
    if (agent->backend_type->open_store != NULL) {
        int rc = agent->backend_type->open_store(options->root, options->format,
                                                 (uint32_t)options->workers, &agent->error,
                                                 &agent->store);
        if (rc != 0) {
            return fail(agent, rc, "cannot open the store in --root", "");
        }
    }
    int rc = choose_capacity(agent);
    if (rc != 0) {
        close_store(agent);
    }
    return rc;
}

static int fill_limits(struct bc_agent *agent)
{
    const struct bc_agent_options *options = agent->options;
    struct bc_session_limits *limits = &agent->limits;
    snprintf(agent->name, sizeof(agent->name), "dpu_dma_copy %s %s", BC_AGENT_VERSION,
             agent->backend_type->name);
    *limits = (struct bc_session_limits){
        .sessions_max = (uint32_t)options->connections_max,
        .requests_max = (uint32_t)options->requests_max,
        .entries_max = (uint32_t)options->entries_max,
        .bytes_max = options->bytes_max,
        .regions_max = (uint32_t)options->regions_max,
        .message_max = BC_MESSAGE_BODY_MAX,
        .object_size_max = BC_OBJECT_SIZE_MAX,
        .chunk_len = agent->chunk_len,
        .keepalive_ms = KEEPALIVE_MS,
        .hello_timeout_ms = (uint32_t)options->hello_timeout_ms,
        .features = BC_FEATURE_GROUPS |
                    (bc_dma_device_emulated(agent->device) ? BC_FEATURE_EMULATED_DOCA : 0),
        .agent_name = agent->name,
    };
    if (getrandom(limits->agent_id, sizeof(limits->agent_id), 0) !=
        (ssize_t)sizeof(limits->agent_id)) {
        return fail(agent, -EIO, "no random numbers for the agent's id", "");
    }
    return 0;
}

static int make_crew(struct bc_agent *agent)
{
    const struct bc_agent_options *options = agent->options;
    int rc = fill_limits(agent);
    if (rc != 0) {
        return rc;
    }
    struct bc_crew_options crew = {
        .workers = (uint32_t)options->workers,
        .limits = &agent->limits,
        .metrics = agent->metrics,
        .device = agent->device,
        .backend_type = agent->backend_type,
        .store = agent->store,
        .root = options->root,
        .staging_bytes = options->staging_bytes,
        .capacity_bytes = agent->capacity_bytes,
        .depth = (uint32_t)options->depth,
        .chunk_len = agent->chunk_len,
        .spin_ns = options->spin_us * BC_NS_PER_US,
        .huge_pages = options->huge_pages,
        .format = options->format,
        .drain_timeout_ms = options->drain_timeout_ms,
    };
    return fail(agent, bc_crew_create(&crew, &agent->error, &agent->crew),
                "cannot start the workers", "");
}

static void drop_crew(struct bc_agent *agent)
{
    if (bc_crew_destroy(agent->crew) != 0) {
        agent->stuck = true;
    }
}

/* The first worker's, and destroyed with it. */
static int make_server(struct bc_agent *agent, const struct bc_transport_ops *transport,
                       const char *address)
{
    struct bc_worker *worker = bc_crew_worker(agent->crew, 0);
    int rc = bc_server_create(worker, transport, address, &agent->server);
    if (rc == 0) {
        worker->server = agent->server;
    }
    return rc;
}

static int listen_tcp(struct bc_agent *agent)
{
    const struct bc_agent_options *options = agent->options;
    bool emulated = bc_dma_device_emulated(agent->device);
    char fallback[32];
    snprintf(fallback, sizeof(fallback), "%s:%u", emulated ? "127.0.0.1" : "0.0.0.0", BC_WIRE_PORT);
    const char *address = options->listen != NULL ? options->listen : fallback;
    if (options->listen == NULL && !emulated) {
        BC_WARN("agent", "listening on all addresses: the control channel is not encrypted; give "
                         "--listen ADDR:PORT to choose the network of the host");
    }
    int rc = make_server(agent, bc_transport_tcp(), address);
    if (rc != 0) {
        snprintf(agent->error.text, sizeof(agent->error.text), "cannot listen on %s: %s%s", address,
                 strerror(-rc),
                 rc == -EADDRINUSE ? "; is another agent running? choose a port by --listen" : "");
    }
    return rc;
}

static const char *comch_hint(int rc)
{
    switch (rc) {
    case -EADDRINUSE:
        return "; is another agent running? choose a name by --service";
    case -ENODEV:
        return "; the host's function is chosen by --rep, the log names those that there are";
    default:
        return "; the log says more, and -T works without Comch";
    }
}

static int listen_comch(struct bc_agent *agent)
{
    const struct bc_agent_options *options = agent->options;
    char address[ADDRESS_LEN];
    int len =
        snprintf(address, sizeof(address), "comch:%s/%s/%s", bc_dma_device_pci_addr(agent->device),
                 options->rep != NULL ? options->rep : "", options->service);
    int rc = len < (int)sizeof(address) ? make_server(agent, bc_transport_comch(), address)
                                        : -ENAMETOOLONG;
    if (rc != 0) {
        snprintf(agent->error.text, sizeof(agent->error.text),
                 "cannot offer the Comch service %.64s: %s%s", options->service, strerror(-rc),
                 comch_hint(rc));
    }
    return rc;
}

static int listen_for_clients(struct bc_agent *agent)
{
    return agent->options->tcp ? listen_tcp(agent) : listen_comch(agent);
}

/* The server lives on worker 0; main waits for its end. */
struct server_stop {
    struct bc_mail mail;
    struct bc_server *server;
    sem_t stopped;
};

static void server_stopped(void *arg)
{
    struct server_stop *stop = arg;
    sem_post(&stop->stopped);
}

static void server_stop(struct bc_mail *mail)
{
    struct server_stop *stop = BC_CONTAINER_OF(mail, struct server_stop, mail);
    bc_server_stop(stop->server, server_stopped, stop);
}

static void stop_server(struct bc_agent *agent)
{
    /* Static: if worker 0 is stuck the mail outlives this call. */
    static struct server_stop stop;
    stop.server = agent->server;
    stop.mail.deliver = server_stop;
    sem_init(&stop.stopped, 0, 0);
    bc_loop_send(bc_crew_worker(agent->crew, 0)->loop, &stop.mail);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += SERVER_STOP_TIMEOUT_S;
    int rc;
    do {
        rc = sem_timedwait(&stop.stopped, &until);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0) {
        BC_ERROR("agent", "worker 0 does not answer");
        agent->stuck = true;
        return;
    }
    sem_destroy(&stop.stopped);
}

static void serve(struct bc_mail *mail)
{
    bc_server_start(BC_CONTAINER_OF(mail, struct server_stop, mail)->server);
}

/* The last step: from here on clients are served. */
static int go(struct bc_agent *agent)
{
    static struct server_stop start;
    start.server = agent->server;
    start.mail.deliver = serve;
    bc_crew_run(agent->crew);
    bc_loop_send(bc_crew_worker(agent->crew, 0)->loop, &start.mail);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(struct bc_agent *agent);
    void (*undo)(struct bc_agent *agent); /* may be NULL */
} steps[] = {
    {"limits of the process", raise_limits, NULL},
    {"metrics", make_metrics, drop_metrics},
    {"device", open_device, close_device},
    {"store", open_store, close_store},
    {"workers", make_crew, drop_crew},
    {"listener", listen_for_clients, NULL},
    {"service", go, stop_server},
};

static void undo(struct bc_agent *agent, size_t done)
{
    while (done > 0 && !agent->stuck) {
        done--;
        if (steps[done].undo != NULL) {
            steps[done].undo(agent);
        }
    }
}

int bc_agent_start(struct bc_agent *agent, bool preflight)
{
    size_t count = BC_ARRAY_LEN(steps) - (preflight ? 1 : 0);
    agent->backend_type = bc_backend_find(agent->options->backend);
    BC_ASSERT(agent->backend_type != NULL);
    for (size_t i = 0; i < count; i++) {
        int rc = steps[i].run(agent);
        if (preflight && agent->step_done != NULL) {
            agent->step_done(agent->step_arg, steps[i].name, rc == 0 ? NULL : agent->error.text);
        }
        if (rc != 0) {
            BC_ERROR("agent", "start-up failed at step '%s': %s", steps[i].name, agent->error.text);
            undo(agent, i);
            return rc;
        }
        BC_DBG("agent", "start-up step '%s' done", steps[i].name);
    }
    if (preflight) {
        undo(agent, count);
    }
    return agent->stuck ? -ETIMEDOUT : 0;
}

int bc_agent_stop(struct bc_agent *agent)
{
    undo(agent, BC_ARRAY_LEN(steps));
    return agent->stuck ? -ETIMEDOUT : 0;
}
