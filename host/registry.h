/* SPDX-License-Identifier: Apache-2.0 */
/* registry.h - the life of exports: opened, told to the agent, taken back, closed.
 *
 *   OPENING -> LOCAL -> SENDING -> LIVE -> LEAVING -> CLOSING -> CLOSED
 *                 \         \--------\---------\---(link lost)--^
 *                  \------------------(not wanted any more)-----^
 *
 * A retired export (its region is gone or has a newer one) leaves as soon as it has no users.
 * Thread: any, with the client's lock; functions that open or close windows release it meanwhile
 * and say so. Errors: negative errno; what the agent refuses is kept in region->error. */
#ifndef BC_HOST_REGISTRY_H
#define BC_HOST_REGISTRY_H

#include "client.h"

BC_EXTERN_C_BEGIN

#define BC_CLOSE_RETRY_MS UINT64_C(50)

/* For a new session: every id is free again. -ENOMEM. */
BC_MUST_USE int bc_registry_reset_ids_locked(struct bc_client *client, uint32_t regions_max);

/* Opens a window for the region (releases the lock) and makes it region->current, LOCAL. When the
 * export was retired meanwhile it is on its way out, and 0 is returned. Errors of
 * bc_window_open. */
BC_MUST_USE int bc_registry_open_locked(struct bc_client *client, struct bc_region *region,
                                        struct bc_error *error);

/* Tells the agent of every LOCAL export, as far as there is room. */
void bc_registry_announce_locked(struct bc_client *client);

/* Cuts the export off its region. */
void bc_registry_retire_locked(struct bc_client *client, struct bc_export *exported);

/* After bc_regions_attach: retires and destroys the regions that were absorbed. */
void bc_registry_drop_absorbed_locked(struct bc_client *client, struct bc_list *absorbed);

/* Counts entries of requests that name the export. */
static inline void bc_registry_use_locked(struct bc_export *exported)
{
    exported->users++;
}
void bc_registry_unuse_locked(struct bc_client *client, struct bc_export *exported);

/* Makes the export CLOSING, due now. */
void bc_registry_close_locked(struct bc_client *client, struct bc_export *exported);

/* Closes every window that is due (releases the lock). Lowers *next_ns to the next one. */
void bc_registry_close_due_locked(struct bc_client *client, uint64_t now_ns, uint64_t *next_ns);

/* Gives up on UNREGISTERs that were not answered. */
void bc_registry_timers_locked(struct bc_client *client, uint64_t now_ns, uint64_t *next_ns);

/* Opens windows for regions that have none, and announces them (releases the lock): library
 * thread. */
void bc_registry_restore_locked(struct bc_client *client, uint64_t now_ns, uint64_t *next_ns);

BC_EXTERN_C_END

#endif
