/* SPDX-License-Identifier: Apache-2.0 */
/* counts.c - what a world has in use: bytes, files, handles. See world.h. */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "testlib/recount.h"
#include "world.h"

#define SETTLE_TURNS 50000u
#define ROOTS_MAX    4u

/* ---- roots ---------------------------------------------------------------------------------- */

static struct {
    char path[256];
} roots[ROOTS_MAX];
static uint32_t root_count;

void world_make_root(const char *backend, char *root_out, size_t len)
{
    const char *base = getenv("TMPDIR");

    root_out[0] = '\0';
    if (bc_backend_find(backend)->open_store == NULL) {
        return;
    }
    assert_true(root_count < ROOTS_MAX);
    (void)snprintf(roots[root_count].path, sizeof(roots[0].path), "%s/bc-sweep-XXXXXX",
                   base == NULL ? "/tmp" : base);
    assert_non_null(mkdtemp(roots[root_count].path));
    (void)snprintf(root_out, len, "%s", roots[root_count].path);
    root_count++;
}

void world_remove_roots(void)
{
    while (root_count > 0) {
        bc_tree_remove(roots[--root_count].path);
    }
}

uint64_t world_disk_bytes(const struct world *world, uint32_t *objects_out, uint32_t *temporary_out)
{
    int64_t bytes = bc_recount_store(world->root, objects_out, temporary_out);

    WORLD_CHECK(bytes >= 0);
    return (uint64_t)bytes;
}

/* ---- metrics -------------------------------------------------------------------------------- */

int64_t world_metric(const struct world *world, const char *name)
{
    int64_t sum = 0;

    if (!bc_recount_metric(world->metrics, name, &sum)) {
        world_fail("there is no metric %s", name);
    }
    return sum;
}

int64_t world_store_metric(const struct world *world, const char *suffix)
{
    char name[128];

    (void)snprintf(name, sizeof(name), "bluecache_%s_%s", world->backend, suffix);
    return world_metric(world, name);
}

uint64_t world_leased(const struct world *world)
{
    uint64_t leased = 0;

    for (uint32_t i = 0; i < world->workers; i++) {
        const struct bc_staging *staging = world->members[i].worker.staging;
        void *base;
        size_t len;

        bc_staging_memory(staging, &base, &len);
        leased += len - bc_staging_free_len(staging, BC_LEASE_STREAM);
    }
    return leased;
}

/* ---- what may be left ----------------------------------------------------------------------- */

static uint64_t busy(const struct world *world)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < world->workers; i++) {
        const struct world_worker *member = &world->members[i];

        count += bc_sessions_count(member->worker.sessions);
        count += member->files.under_way + member->dma.under_way + member->backend.under_way;
        /* With no session, what is in flight on the ring is the store's. */
        count += bc_loop_in_flight(member->worker.loop);
    }
    return count;
}

void world_settle(struct world *world)
{
    uint32_t quiet = 0;

    for (uint32_t i = 0; i < SETTLE_TURNS && quiet < 8; i++) {
        world_turn(world);
        quiet = busy(world) == 0 ? quiet + 1 : 0;
    }
    for (uint32_t i = 0; i < world->workers; i++) {
        const struct world_worker *member = &world->members[i];

        WORLD_CHECK_EQUAL(bc_sessions_count(member->worker.sessions), 0);
        WORLD_CHECK_EQUAL(member->files.under_way, 0);
        WORLD_CHECK_EQUAL(member->dma.under_way, 0);
        WORLD_CHECK_EQUAL(member->dma.imports, 0);
        WORLD_CHECK_EQUAL(member->backend.under_way, 0);
        WORLD_CHECK_EQUAL(member->backend.puts_open, 0);
        WORLD_CHECK_EQUAL(member->backend.leases_open, 0);
        WORLD_CHECK_EQUAL(member->backend.gets_open, 0);
        WORLD_CHECK_EQUAL(member->backend.views_open, 0);
        WORLD_CHECK_EQUAL(bc_loop_in_flight(member->worker.loop), 0);
    }
    WORLD_CHECK_EQUAL(bc_faulty_transport_conns(&world->transport), 0);
    WORLD_CHECK_EQUAL(world_metric(world, "bluecache_session_open"), 0);
    WORLD_CHECK_EQUAL(world_metric(world, "bluecache_session_requests"), 0);
    WORLD_CHECK_EQUAL(world_metric(world, "bluecache_session_regions"), 0);
}
