/* SPDX-License-Identifier: Apache-2.0 */
/* drr.h - deficit round robin in bytes (Shreedhar and Varghese, 1995): which client goes next.
 *
 * A flow is a queue of items kept by the caller; here it is only known to be active (not empty) or
 * not. A flow's turn gives it `quantum` bytes on top of what it had left; it may issue items while
 * its deficit covers their cost, then the turn passes on. With items of at most one quantum, every
 * active flow issues at least one item a round and at most two in a row: what becomes active waits
 * behind at most two items of each other flow.
 * Thread: one. Memory: none of its own. No clock. */
#ifndef BC_SESSION_DRR_H
#define BC_SESSION_DRR_H

#include <stdbool.h>

#include "base/list.h"

BC_EXTERN_C_BEGIN

struct bc_drr_flow {
    struct bc_list_node node;
    uint64_t deficit_bytes;
    bool in_turn;
};

struct bc_drr {
    struct bc_list active; /* the head has the turn */
    uint64_t quantum_bytes;
};

/* Cost in bytes of the flow's first item; at least 1. */
typedef uint64_t (*bc_drr_cost_fn)(const struct bc_drr_flow *flow);

void bc_drr_init(struct bc_drr *drr, uint64_t quantum_bytes);
void bc_drr_flow_init(struct bc_drr_flow *flow);

/* The flow has items: it joins behind the others. Nothing happens when it is active already. */
void bc_drr_activate(struct bc_drr *drr, struct bc_drr_flow *flow);
/* The flow has none, or must wait: it leaves and loses its deficit. Idempotent. */
void bc_drr_deactivate(struct bc_drr *drr, struct bc_drr_flow *flow);

/* The flow whose first item is next; NULL when none is active. Its item is issued and charged by
 * bc_drr_charge; without that, the same flow is returned again. */
struct bc_drr_flow *bc_drr_pick(struct bc_drr *drr, bc_drr_cost_fn cost);
void bc_drr_charge(struct bc_drr_flow *flow, uint64_t cost_bytes);

BC_EXTERN_C_END

#endif
