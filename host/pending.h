/* SPDX-License-Identifier: Apache-2.0 */
/* pending.h - messages that wait for their answer, by request id.
 * An id is (serial, slot): an answer to something given up finds nothing, and is dropped.
 * Invariants: every entry gets either its final reply or `lost`, once, unless it is removed before.
 * Memory: the entry belongs to the caller and stays in place while it is in the table.
 * Thread: guarded by the client's lock. */
#ifndef BC_HOST_PENDING_H
#define BC_HOST_PENDING_H

#include <stdbool.h>

#include "channel/channel.h"

BC_EXTERN_C_BEGIN

#define BC_PENDING_MAX 65536u

struct bc_client;
struct bc_pending;

/* The entry is still in the table: the handler removes it when nothing more is to come, and may
 * free it then. Returns 0, or -EBADMSG: the answer makes no sense, the link is dropped. */
typedef int (*bc_pending_reply_fn)(struct bc_client *client, struct bc_pending *pending,
                                   const struct bc_message *message);
/* The entry is out of the table already; the handler may free it. */
typedef void (*bc_pending_lost_fn)(struct bc_client *client, struct bc_pending *pending);

struct bc_pending {
    uint64_t id; /* 0: not in a table */
    uint8_t reply_type;
    bc_pending_reply_fn reply;
    bc_pending_lost_fn lost;
};

struct bc_pending_table {
    struct bc_pending **slots;
    uint32_t *free_slots; /* stack */
    uint32_t capacity;
    uint32_t used;
    uint64_t serial;
};

void bc_pending_init(struct bc_pending_table *table);
void bc_pending_fini(struct bc_pending_table *table);

/* Gives the entry its id. -ENOMEM, -EAGAIN (BC_PENDING_MAX reached). */
BC_MUST_USE int bc_pending_add(struct bc_pending_table *table, struct bc_pending *pending);
void bc_pending_remove(struct bc_pending_table *table, struct bc_pending *pending);

/* The entry with this id, or NULL. */
struct bc_pending *bc_pending_find(const struct bc_pending_table *table, uint64_t id);

/* Any entry, or NULL when the table is empty: for emptying it after a loss. *cursor starts at 0. */
struct bc_pending *bc_pending_any(const struct bc_pending_table *table, uint32_t *cursor);

BC_EXTERN_C_END

#endif
