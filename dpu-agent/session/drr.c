/* SPDX-License-Identifier: Apache-2.0 */
#include "session/drr.h"

void bc_drr_init(struct bc_drr *drr, uint64_t quantum_bytes)
{
    BC_ASSERT(quantum_bytes > 0);
    bc_list_init(&drr->active);
    drr->quantum_bytes = quantum_bytes;
}

void bc_drr_flow_init(struct bc_drr_flow *flow)
{
    flow->node.next = NULL;
    flow->node.prev = NULL;
    flow->deficit_bytes = 0;
    flow->in_turn = false;
}

void bc_drr_activate(struct bc_drr *drr, struct bc_drr_flow *flow)
{
    if (!bc_list_linked(&flow->node)) {
        bc_list_push_back(&drr->active, &flow->node);
    }
}

void bc_drr_deactivate(struct bc_drr *drr, struct bc_drr_flow *flow)
{
    if (bc_list_linked(&flow->node)) {
        bc_list_remove(&drr->active, &flow->node);
    }
    flow->deficit_bytes = 0;
    flow->in_turn = false;
}

struct bc_drr_flow *bc_drr_pick(struct bc_drr *drr, bc_drr_cost_fn cost)
{
    for (;;) {
        struct bc_list_node *node = bc_list_first(&drr->active);
        if (node == NULL) {
            return NULL;
        }
        struct bc_drr_flow *flow = BC_CONTAINER_OF(node, struct bc_drr_flow, node);
        if (!flow->in_turn) {
            flow->in_turn = true;
            flow->deficit_bytes += drr->quantum_bytes;
        }
        uint64_t need = cost(flow);
        BC_DASSERT(need > 0);
        if (need <= flow->deficit_bytes) {
            return flow;
        }
        flow->in_turn = false;
        bc_list_remove(&drr->active, node);
        bc_list_push_back(&drr->active, node);
    }
}

void bc_drr_charge(struct bc_drr_flow *flow, uint64_t cost_bytes)
{
    BC_ASSERT(flow->in_turn && cost_bytes <= flow->deficit_bytes);
    flow->deficit_bytes -= cost_bytes;
}
