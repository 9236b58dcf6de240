/* SPDX-License-Identifier: Apache-2.0 */
/* exports.h - the cache of exports: which stretches of memory are exported, and who uses each.
 *
 *   bc_memory (a registration) --> bc_region (a stretch of the cache) --> bc_export (one window to
 *   it)
 *
 * A region stands for a stretch that lasts; its export is made anew for every session with the
 * agent. Many registrations share a region. A request keeps the export that it was sent with.
 *
 * What a region covers. A registration inside an attached region joins it. Otherwise a region is
 * made: of the whole allocation where that is known (bc_memory_alloc, GPU), else of the range
 * rounded to pages and merged with regions that touch it and are not larger, again and again. So n
 * pages that are registered one after the other give at most log2(n) + 1 regions, exactly one when
 * n is a power of two, and each page is exported log2(n) times at most. Merging stops at
 * BC_REGION_LEN_MAX.
 *
 * Why never more than that. A device keeps the pages it was given. If an export reached beyond what
 * is registered, the program could unmap such a part and map something else there, and a later
 * registration of it would be served from the old pages. For the same reason a region that loses a
 * registration whose bytes no other one holds is `detached`: its other registrations go on using
 * it, no new one joins, and at the next session it is dissolved into regions of what is left.
 *
 * Merging while requests run: they keep the old export, which is retired, and leaves once its last
 * user is gone; the registrations move to the new region at once.
 *
 * Invariants: no attached region contains another one of the same memory (type, device), so both
 * ends grow along the sorted array; every registration is inside its region.
 * Thread: guarded by the client's lock. Must not know: DOCA, the agent, locks. */
#ifndef BC_HOST_EXPORTS_H
#define BC_HOST_EXPORTS_H

#include "base/list.h"
#include "extent.h"
#include "pending.h"
#include "window.h"

BC_EXTERN_C_BEGIN

#define BC_REGION_LEN_MAX (UINT64_C(64) << 30)

enum bc_export_state {
    BC_EXPORT_OPENING, /* a thread makes its window, without the lock */
    BC_EXPORT_LOCAL,   /* the window is open; no agent was told */
    BC_EXPORT_SENDING, /* REGISTER is on its way */
    BC_EXPORT_LIVE,    /* the agent has it: requests may name it */
    BC_EXPORT_LEAVING, /* UNREGISTER is on its way */
    BC_EXPORT_CLOSING, /* the window is to be closed, again and again until it is */
    BC_EXPORT_CLOSED,  /* revoked: nobody reaches the memory through it */
    BC_EXPORT_STATE_COUNT
};

struct bc_region;

struct bc_export {
    struct bc_pending pending; /* LEAVING: the UNREGISTER that waits for its answer */
    struct bc_list_node node;  /* in the client's exports; in its closings while CLOSING */
    struct bc_region *region;  /* NULL: retired */
    struct bc_extent extent;
    struct bc_window window;
    enum bc_export_state state;
    uint32_t users;     /* entries of requests under way that name it */
    uint32_t memory_id; /* valid from SENDING on, in that session */
    uint32_t generation;
    uint64_t session;  /* serial of the link that it was sent on; 0: none */
    uint64_t due_ns;   /* LEAVING: give up waiting; CLOSING: next attempt */
    uint32_t attempts; /* CLOSING: closes that did not succeed */
    bool closing_now;  /* CLOSING: a thread is at it, without the lock */
};

struct bc_region {
    struct bc_extent extent;
    struct bc_export *current; /* NULL: none in this session (yet) */
    struct bc_list memories;   /* struct bc_memory.node; a region without any is freed */
    struct bc_list_node node;  /* in regions->detached, or in a list of absorbed ones */
    bool attached;             /* in the array */
    int error;                 /* why it has no export; 0: none */
    uint64_t retry_ns;         /* when to try again after an error */
};

/* A registration: what bluecache.h hands out. */
struct bc_memory {
    struct bc_client *client;
    struct bc_list_node node; /* in region->memories, then in the client's leaving; if bounced, in
                                 the bounce's memories */
    struct bc_region *region; /* NULL once unregistering has begun, and if bounced */
    struct bc_extent extent;  /* of this registration alone */
    uint64_t addr;
    uint64_t len;
    uint32_t users; /* entries of requests in progress */
    bool shared;    /* unregistering: others go on using its region */
    bool bounced;   /* GPU memory in no region: copied by way of host memory (bounce.h) */
    uint32_t lane;  /* then: who copies it */
};

struct bc_regions {
    struct bc_region **items; /* the attached ones, sorted by (type, device, base) */
    size_t count;
    size_t capacity;
    struct bc_list detached;
    uint64_t epoch; /* counts the times that registered bytes were given up */
};

void bc_regions_init(struct bc_regions *regions);
void bc_regions_fini(struct bc_regions *regions); /* must be empty (asserted) */

/* The attached region that covers `wanted`, or NULL. */
struct bc_region *bc_regions_find(const struct bc_regions *regions, const struct bc_extent *wanted);

/* What to export for `wanted`, which no region covers: itself, merged by the rule above.
 * `absent_only`: merge only with regions that have no export now (they cost nothing). */
void bc_regions_plan(const struct bc_regions *regions, const struct bc_extent *wanted,
                     bool absent_only, struct bc_extent *merged_out);

/* -ENOMEM. */
BC_MUST_USE int bc_region_create(const struct bc_extent *extent, struct bc_region **region_out);
void bc_region_destroy(struct bc_region *region); /* no memories, not attached; NULL: nothing */

/* Attaches the region, which no attached one may cover. Regions inside it are taken out, their
 * memories move to it, and they are put on `absorbed`: the caller retires their exports and
 * destroys them. -ENOMEM: nothing changed. */
BC_MUST_USE int bc_regions_attach(struct bc_regions *regions, struct bc_region *region,
                                  struct bc_list *absorbed);

void bc_region_join(struct bc_region *region, struct bc_memory *memory);

/* Takes the memory out of its region. Returns the region when that was its last one: it is out of
 * the cache then, and the caller's to retire and destroy. NULL: it lives on, perhaps detached. */
struct bc_region *bc_regions_release(struct bc_regions *regions, struct bc_memory *memory);

const char *bc_export_state_name(enum bc_export_state state);

BC_EXTERN_C_END

#endif
