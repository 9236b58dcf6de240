/* SPDX-License-Identifier: Apache-2.0 */
/* revoke.c - see revoke.h. */
#include "revoke.h"

#include "base/assert.h"
#include "base/log.h"
#include "registry.h"
#include "request.h"
#include "transfer.h"

static void close_session_exports(struct bc_client *client)
{
    struct bc_list_node *node = bc_list_first(&client->exports);

    while (node != NULL) {
        struct bc_export *exported = BC_CONTAINER_OF(node, struct bc_export, node);

        node = bc_list_next(&client->exports, node);
        if (exported->state == BC_EXPORT_SENDING || exported->state == BC_EXPORT_LIVE ||
            exported->state == BC_EXPORT_LEAVING) {
            bc_registry_close_locked(client, exported);
        }
    }
}

/* Into a region that has no export and covers it, or into a new one. -ENOMEM: stays where it is. */
static int place(struct bc_client *client, struct bc_memory *memory)
{
    struct bc_region *region = bc_regions_find(&client->regions, &memory->extent);
    struct bc_region *old = memory->region;
    struct bc_list absorbed;
    int rc = 0;

    bc_list_init(&absorbed);
    if (region == NULL) {
        struct bc_extent merged;

        bc_regions_plan(&client->regions, &memory->extent, true, &merged);
        rc = bc_region_create(&merged, &region);
        if (rc == 0) {
            rc = bc_regions_attach(&client->regions, region, &absorbed);
            if (rc != 0) {
                bc_region_destroy(region);
            }
        }
    }
    if (rc == 0) {
        bc_list_remove(&old->memories, &memory->node);
        bc_region_join(region, memory);
    }
    bc_registry_drop_absorbed_locked(client, &absorbed);
    return rc;
}

static void dissolve(struct bc_client *client, struct bc_region *region)
{
    size_t count = region->memories.count;

    for (size_t i = 0; i < count; i++) {
        struct bc_list_node *node = bc_list_first(&region->memories);

        if (place(client, BC_CONTAINER_OF(node, struct bc_memory, node)) != 0) {
            BC_WARN("host", "out of memory: a region with holes stays");
            return;
        }
    }
    bc_list_remove(&client->regions.detached, &region->node);
    bc_region_destroy(region);
}

void bc_revoke_session_locked(struct bc_client *client)
{
    struct bc_list_node *node;

    close_session_exports(client);
    for (size_t i = 0; i < client->regions.count; i++) {
        client->regions.items[i]->error = 0; /* another agent may take what this one refused */
    }
    node = bc_list_first(&client->regions.detached);
    while (node != NULL) {
        struct bc_region *region = BC_CONTAINER_OF(node, struct bc_region, node);

        node = bc_list_next(&client->regions.detached, node);
        if (region->current == NULL) {
            dissolve(client, region);
        }
    }
    bc_revoke_settle_locked(client);
}

void bc_revoke_settle_locked(struct bc_client *client)
{
    struct bc_list_node *node = bc_list_first(&client->dying);
    bool finished = false;

    while (node != NULL) {
        struct bc_request *request = BC_CONTAINER_OF(node, struct bc_request, queue_node);

        node = bc_list_next(&client->dying, node);
        if (bc_request_is_safe_locked(request)) {
            bc_list_remove(&client->dying, &request->queue_node);
            bc_request_finish_locked(client, request);
            finished = true;
        }
    }
    if (finished) {
        bc_transfer_pump_locked(client); /* what it held may be what others wait for */
    }
}
