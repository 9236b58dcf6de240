/* SPDX-License-Identifier: Apache-2.0 */
/* Deficit round robin: who goes next, and how long a newcomer waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "session/drr.h"

#define QUANTUM 1048576u

struct flow {
    struct bc_drr_flow drr;
    uint64_t items[64]; /* costs */
    uint32_t first;
    uint32_t count;
    uint64_t issued_bytes;
};

static uint64_t cost(const struct bc_drr_flow *drr_flow)
{
    const struct flow *flow = BC_CONTAINER_OF(drr_flow, struct flow, drr);
    return flow->items[flow->first];
}

static void add(struct bc_drr *drr, struct flow *flow, uint64_t item_cost)
{
    flow->items[flow->first + flow->count++] = item_cost;
    bc_drr_activate(drr, &flow->drr);
}

static struct flow *issue(struct bc_drr *drr)
{
    struct bc_drr_flow *drr_flow = bc_drr_pick(drr, cost);
    if (drr_flow == NULL) {
        return NULL;
    }
    struct flow *flow = BC_CONTAINER_OF(drr_flow, struct flow, drr);
    uint64_t bytes = flow->items[flow->first];
    bc_drr_charge(drr_flow, bytes);
    flow->issued_bytes += bytes;
    flow->first++;
    flow->count--;
    if (flow->count == 0) {
        bc_drr_deactivate(drr, drr_flow);
    }
    return flow;
}

static void idle_has_no_next(void **state)
{
    (void)state;
    struct bc_drr drr;
    bc_drr_init(&drr, QUANTUM);
    assert_null(bc_drr_pick(&drr, cost));
}

static void newcomer_waits_behind_at_most_two_chunks(void **state)
{
    (void)state;
    /* Whatever the busy client had issued before, in chunks of any size up to one quantum. */
    for (uint32_t before = 0; before < 20; before++) {
        for (uint64_t chunk = QUANTUM; chunk >= QUANTUM / 4; chunk -= QUANTUM / 8) {
            struct bc_drr drr;
            struct flow busy = {0};
            struct flow small = {0};
            bc_drr_init(&drr, QUANTUM);
            bc_drr_flow_init(&busy.drr);
            bc_drr_flow_init(&small.drr);
            for (int i = 0; i < 40; i++) {
                add(&drr, &busy, chunk);
            }
            for (uint32_t i = 0; i < before; i++) {
                assert_ptr_equal(issue(&drr), &busy);
            }
            add(&drr, &small, 65536);
            uint64_t ahead = 0;
            struct flow *next;
            while ((next = issue(&drr)) == &busy) {
                ahead += chunk;
                assert_true(ahead <= 2 * QUANTUM);
            }
            assert_ptr_equal(next, &small);
        }
    }
}

static void bytes_are_shared_evenly_between_large_and_small_items(void **state)
{
    (void)state;
    struct bc_drr drr;
    struct flow large = {0};
    struct flow small = {0};
    bc_drr_init(&drr, QUANTUM);
    bc_drr_flow_init(&large.drr);
    bc_drr_flow_init(&small.drr);
    for (int i = 0; i < 4; i++) {
        add(&drr, &large, QUANTUM);
    }
    for (int i = 0; i < 60; i++) {
        add(&drr, &small, QUANTUM / 16);
    }
    while (large.count > 0 && small.count > 0) {
        assert_non_null(issue(&drr));
        int64_t difference = (int64_t)large.issued_bytes - (int64_t)small.issued_bytes;
        assert_true(llabs(difference) <= 2 * (int64_t)QUANTUM);
    }
}

static void deficit_is_lost_when_a_flow_has_nothing_to_send(void **state)
{
    (void)state;
    struct bc_drr drr;
    struct flow flow = {0};
    bc_drr_init(&drr, QUANTUM);
    bc_drr_flow_init(&flow.drr);
    add(&drr, &flow, 1);
    assert_ptr_equal(issue(&drr), &flow);
    assert_int_equal(flow.drr.deficit_bytes, 0);
    assert_null(bc_drr_pick(&drr, cost));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_has_no_next),
        cmocka_unit_test(newcomer_waits_behind_at_most_two_chunks),
        cmocka_unit_test(bytes_are_shared_evenly_between_large_and_small_items),
        cmocka_unit_test(deficit_is_lost_when_a_flow_has_nothing_to_send),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
