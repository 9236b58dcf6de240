/* SPDX-License-Identifier: Apache-2.0 */
/* client.c - bc_client_open, bc_client_close, and what a client tells about itself. */
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "errors.h"
#include "progress.h"
#include "registry.h"
#include "request.h"
#include "session.h"
#include "thread.h"
#include "transfer.h"

uint64_t bc_client_deadline(const struct bc_client *client, uint64_t timeout_ms)
{
    uint64_t limit_ms = timeout_ms != 0 ? timeout_ms : client->settings.timeout_ms;

    return bc_now_ns() + bc_min_u64(limit_ms, BC_TIMEOUT_MS_MAX) * BC_NS_PER_MS;
}

uint8_t *bc_client_scratch_locked(struct bc_client *client, size_t len)
{
    if (len > client->scratch_len) {
        uint8_t *scratch = realloc(client->scratch, len);

        if (scratch == NULL) {
            return NULL;
        }
        client->scratch = scratch;
        client->scratch_len = len;
    }
    return client->scratch;
}

/* ---- open ---------------------------------------------------------------------------------- */

static void free_client(struct bc_client *client)
{
    int fds[] = {client->thread_fd, client->leader_fd, client->ready_fd, client->stop_fd};

    for (size_t i = 0; i < BC_ARRAY_LEN(fds); i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
    bc_bounce_fini(client);
    bc_pending_fini(&client->pending);
    bc_regions_fini(&client->regions);
    bc_device_close(&client->device);
    bc_settings_fini(&client->settings);
    (void)pthread_mutex_destroy(&client->lock);
    free(client->ids.used);
    free(client->scratch);
    free(client);
}

static int create_client(struct bc_client **client_out)
{
    struct bc_client *client = calloc(1, sizeof(*client));

    if (client == NULL) {
        return -ENOMEM;
    }
    (void)pthread_mutex_init(&client->lock, NULL);
    bc_list_init(&client->waiters);
    bc_list_init(&client->dead_links);
    bc_list_init(&client->requests);
    bc_list_init(&client->finished);
    bc_list_init(&client->queue);
    bc_list_init(&client->dying);
    bc_list_init(&client->exports);
    bc_list_init(&client->closings);
    bc_list_init(&client->leaving);
    bc_pending_init(&client->pending);
    bc_regions_init(&client->regions);
    bc_bounce_init(&client->bounce);
    client->connect_wanted = true;
    client->random = bc_now_ns() ^ (uint64_t)getpid() << 32 ^ (uint64_t)(uintptr_t)client;
    client->random |= 1; /* a state of zero would stay zero */
    client->thread_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    client->leader_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    client->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    client->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (client->thread_fd < 0 || client->leader_fd < 0 || client->ready_fd < 0 ||
        client->stop_fd < 0) {
        free_client(client);
        return -EMFILE;
    }
    *client_out = client;
    return 0;
}

static bool first_outcome_cb(void *arg)
{
    const struct bc_client *client = arg;

    return bc_session_is_up(client) || client->connect_error != 0;
}

/* The library thread connects; this waits for how the first attempt ends. */
static int wait_connected(struct bc_client *client, struct bc_error *error)
{
    uint64_t deadline_ns =
        bc_client_deadline(client, 0) + BC_NS_PER_S; /* the attempt has its own */
    int rc;

    bc_client_lock(client);
    (void)bc_progress_wait_locked(client, first_outcome_cb, client, deadline_ns);
    rc = client->connect_error;
    if (rc == 0 && !client->connected_once) {
        rc = -ETIMEDOUT;
        (void)bc_error_set(&client->error, rc, "the agent at %s does not answer",
                           client->settings.dpu_addr);
    }
    if (rc != 0 && error != NULL) {
        *error = client->error;
    }
    client->error.text[0] = '\0';
    client->connect_wanted = rc == 0;
    bc_client_unlock(client);
    return rc;
}

/* For good: an attempt to connect that hangs must not hold up the library thread's last work. */
static void stop_connecting_locked(struct bc_client *client)
{
    client->closing = true;
    client->connect_wanted = false;
    bc_progress_signal_fd(client->stop_fd);
}

static void drop_link(struct bc_client *client)
{
    bc_client_lock(client);
    stop_connecting_locked(client);
    if (client->link != NULL) {
        bc_session_drop_locked(client, -ESHUTDOWN, "the client is closed");
    }
    bc_client_unlock(client);
}

/* In somebody else's program a library is quiet, unless it is asked to tell more. */
static void set_log_level(void)
{
    const char *text = getenv("BLUECACHE_LOG");
    enum bc_log_level level;

    if (text == NULL || bc_log_level_parse(text, &level) != 0) {
        level = BC_LOG_WARN;
    }
    bc_log_set_level(level);
}

/* With Comch the agent is named by the function through which it is reached, and its service. */
static int choose_transport(struct bc_client *client, struct bc_error *error)
{
    char *address;

    if (!client->settings.comch) {
        client->transport = bc_transport_tcp();
        return 0;
    }
    client->transport = bc_transport_comch();
    if (asprintf(&address, "comch:%s/%s", client->device.pci_addr, client->settings.dpu_addr) < 0) {
        return bc_error_set(error, -ENOMEM, "out of memory");
    }
    free(client->settings.dpu_addr);
    client->settings.dpu_addr = address;
    return 0;
}

int bc_client_open(const struct bc_client_options *options, struct bc_client **client_out,
                   struct bc_error *error)
{
    static pthread_once_t log_once = PTHREAD_ONCE_INIT;
    struct bc_client *client;
    int rc = create_client(&client);

    (void)pthread_once(&log_once, set_log_level);

    if (rc != 0) {
        return bc_error_set(error, rc, "out of memory or of file descriptors");
    }
    rc = bc_settings_resolve(options, &client->settings, error);
    if (rc == 0) {
        client->timeout_ns = client->settings.timeout_ms * BC_NS_PER_MS;
        bc_spin_init(&client->spin, client->settings.spin_us * BC_NS_PER_US);
        rc = bc_device_open(client->settings.pci_addr, &client->device, error);
    }
    if (rc == 0) {
        rc = choose_transport(client, error);
    }
    if (rc == 0) {
        rc = bc_thread_start(client);
        if (rc != 0) {
            (void)bc_error_set(error, rc, "cannot start a thread: %s", strerror(-rc));
        }
    }
    if (rc == 0) {
        rc = wait_connected(client, error);
    }
    if (rc != 0) {
        drop_link(client);
        bc_thread_stop(client);
        free_client(client);
        return rc;
    }
    *client_out = client;
    return 0;
}

/* ---- close --------------------------------------------------------------------------------- */

static bool idle_cb(void *arg)
{
    const struct bc_client *client = arg;

    return bc_list_empty(&client->requests);
}

static bool left_cb(void *arg)
{
    const struct bc_client *client = arg;

    return bc_list_empty(&client->requests) && bc_list_empty(&client->exports);
}

static bool closed_cb(void *arg)
{
    const struct bc_client *client = arg;

    return left_cb(arg) && bc_list_empty(&client->closings);
}

static void cancel_all_locked(struct bc_client *client)
{
    struct bc_list_node *node = bc_list_first(&client->requests);

    while (node != NULL) {
        struct bc_request *request = BC_CONTAINER_OF(node, struct bc_request, node);

        node = bc_list_next(&client->requests, node);
        request->cancelled = true;
        bc_transfer_stop_locked(client, request, BC_STATUS_CANCELLED);
    }
}

/* Registrations end with the client. Their exports are retired: they leave, or are closed. */
static void release_regions_locked(struct bc_client *client)
{
    struct bc_regions *regions = &client->regions;

    while (regions->count > 0 || !bc_list_empty(&regions->detached)) {
        struct bc_region *region =
            regions->count > 0
                ? regions->items[regions->count - 1]
                : BC_CONTAINER_OF(bc_list_first(&regions->detached), struct bc_region, node);
        struct bc_memory *memory =
            BC_CONTAINER_OF(bc_list_first(&region->memories), struct bc_memory, node);

        region = bc_regions_release(regions, memory);
        free(memory);
        if (region == NULL) {
            continue;
        }
        if (region->current != NULL) {
            bc_registry_retire_locked(client, region->current);
        }
        bc_region_destroy(region);
    }
}

/* 0, or -EBUSY at the deadline: something is in quarantine. */
static int wind_up_locked(struct bc_client *client, uint64_t deadline_ns)
{
    cancel_all_locked(client);
    (void)bc_progress_wait_locked(client, idle_cb, client, deadline_ns);
    if (bc_list_empty(&client->requests)) {
        release_regions_locked(client);
        (void)bc_progress_wait_locked(client, left_cb, client, deadline_ns);
    }
    if (client->link != NULL) {
        bc_session_goodbye_locked(client);
        bc_session_drop_locked(client, -ESHUTDOWN, "the client is closed");
    }
    /* Without a link nothing but closing windows is left to wait for. */
    (void)bc_progress_wait_locked(client, idle_cb, client,
                                  bc_max_u64(deadline_ns, bc_now_ns() + BC_NS_PER_S));
    if (!bc_list_empty(&client->requests)) {
        return -EBUSY;
    }
    release_regions_locked(client);
    (void)bc_progress_wait_locked(client, closed_cb, client,
                                  bc_max_u64(deadline_ns, bc_now_ns() + BC_NS_PER_S));
    return closed_cb(client) ? 0 : -EBUSY;
}

static void free_handles(struct bc_client *client)
{
    struct bc_list_node *node;

    while ((node = bc_list_pop_front(&client->leaving)) != NULL) {
        free(BC_CONTAINER_OF(node, struct bc_memory, node));
    }
    while ((node = bc_list_pop_front(&client->finished)) != NULL) {
        bc_request_destroy(BC_CONTAINER_OF(node, struct bc_request, node));
    }
}

int bc_client_close(struct bc_client *client)
{
    int rc;

    if (client == NULL) {
        return 0;
    }
    bc_client_lock(client);
    stop_connecting_locked(client);
    bc_progress_changed_locked(client);
    rc = wind_up_locked(client, bc_client_deadline(client, 0));
    bc_client_unlock(client);
    if (rc != 0) {
        return rc;
    }
    bc_thread_stop(client);
    free_handles(client);
    free_client(client);
    return 0;
}

/* ---- what it tells ------------------------------------------------------------------------- */

void bc_client_get_info(struct bc_client *client, struct bc_client_info *info_out)
{
    bc_client_lock(client);
    *info_out = (struct bc_client_info){
        .connected = bc_session_is_up(client),
        .emulated = (client->grant.features & BC_FEATURE_EMULATED_DOCA) != 0,
        .reconnects = client->reconnects,
        .session_id = client->grant.session_id,
        .requests_max =
            client->settings.requests_max != 0
                ? (uint32_t)bc_min_u64(client->settings.requests_max, client->grant.requests_max)
                : client->grant.requests_max,
        .entries_max = client->grant.entries_max,
        .regions_max = client->grant.regions_max,
        .object_size_max = client->grant.object_size_max,
        .chunk_len = client->grant.chunk_len};
    (void)snprintf(info_out->agent, sizeof(info_out->agent), "%s", client->agent_name);
    (void)snprintf(info_out->dpu_addr, sizeof(info_out->dpu_addr), "%s", client->settings.dpu_addr);
    (void)snprintf(info_out->pci_addr, sizeof(info_out->pci_addr), "%s", client->device.pci_addr);
    bc_client_unlock(client);
}

const char *bc_version(void)
{
    return BC_VERSION;
}
