/* SPDX-License-Identifier: Apache-2.0 */
/* faults.c - see faults.h. */
#include "testlib/faults.h"

#include <string.h>

#include "base/assert.h"

void bc_faults_init(struct bc_faults *faults, uint64_t seed)
{
    memset(faults, 0, sizeof(*faults));
    faults->state = seed;
}

void bc_faults_add(struct bc_faults *faults, struct bc_fault_rule rule)
{
    BC_ASSERT(faults->count < BC_FAULT_RULES_MAX);
    rule.seen = 0;
    faults->rules[faults->count++] = rule;
}

uint64_t bc_faults_random(struct bc_faults *faults)
{
    uint64_t x;

    /* splitmix64: any seed will do, 0 as well. */
    faults->state += UINT64_C(0x9e3779b97f4a7c15);
    x = faults->state;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static bool strikes(struct bc_faults *faults, const struct bc_fault_rule *rule)
{
    if (rule->first == 0) {
        return bc_faults_random(faults) % 1000 < rule->chance;
    }
    return rule->seen == rule->first || (rule->every != 0 && rule->seen > rule->first &&
                                         (rule->seen - rule->first) % rule->every == 0);
}

const struct bc_fault_rule *bc_faults_next(struct bc_faults *faults, uint32_t kind)
{
    const struct bc_fault_rule *found = NULL;
    uint32_t i;

    faults->events++;
    /* Every rule sees every event, whichever strikes. */
    for (i = 0; i < faults->count; i++) {
        struct bc_fault_rule *rule = &faults->rules[i];
        if ((rule->kinds >> kind & 1u) == 0) {
            continue;
        }
        rule->seen++;
        if (strikes(faults, rule) && found == NULL) {
            found = rule;
        }
    }
    if (found != NULL) {
        faults->struck[found->action]++;
    }
    return found;
}

void bc_faults_clear(struct bc_faults *faults)
{
    faults->count = 0;
}

const char *bc_fault_action_name(enum bc_fault_action action)
{
    static const char *const names[BC_FAULT_ACTION_COUNT] = {
        [BC_FAULT_NONE] = "none",       [BC_FAULT_FAIL] = "fail",     [BC_FAULT_SHORT] = "short",
        [BC_FAULT_CORRUPT] = "corrupt", [BC_FAULT_DELAY] = "delay",   [BC_FAULT_REFUSE] = "refuse",
        [BC_FAULT_REORDER] = "reorder", [BC_FAULT_VANISH] = "vanish",
    };

    BC_ASSERT(action < BC_FAULT_ACTION_COUNT);
    return names[action];
}

uint8_t *bc_faults_flip(struct bc_faults *faults, void *data, uint64_t len, uint8_t *bit_out)
{
    uint8_t *byte;

    *bit_out = 0;
    if (len == 0) {
        return NULL;
    }
    byte = (uint8_t *)data + bc_faults_random(faults) % len;
    *bit_out = (uint8_t)(1u << (bc_faults_random(faults) % 8));
    *byte ^= *bit_out;
    return byte;
}
