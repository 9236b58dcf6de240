/* SPDX-License-Identifier: Apache-2.0 */
/* faults.h - when something goes wrong, and what: a list of rules that count events, or strike at
 * random by a seed. The same seed and the same events give the same faults, so a failure can be
 * played again.
 *
 * Every ops table has a twin that is driven by these (faulty_backend.h, faulty_clock.h, faulty_dma.h,
 * faulty_files.h, faulty_transport.h); the head of each says in a table what an action does to which
 * operation. Where the table has a dash, the operation goes on as if nothing had struck.
 *
 * Thread: one. Memory: none of its own. */
#ifndef BC_TESTLIB_FAULTS_H
#define BC_TESTLIB_FAULTS_H

#include <stdbool.h>

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

#define BC_FAULT_RULES_MAX 8u
#define BC_FAULT_ANY_KIND  UINT32_MAX

enum bc_fault_action {
    BC_FAULT_NONE = 0,
    BC_FAULT_FAIL = 1,    /* nothing is done; `error` is the result */
    BC_FAULT_SHORT = 2,   /* only `amount` bytes; see the twin for what follows */
    BC_FAULT_CORRUPT = 3, /* one bit of the data is wrong, and nobody says so */
    BC_FAULT_DELAY = 4,   /* done as it should, `amount` nanoseconds of the loop's clock later */
    BC_FAULT_REFUSE = 5,  /* submission is refused with -EAGAIN */
    BC_FAULT_REORDER = 6, /* done at once, but told `amount` turns of the loop later (0: 3) */
    BC_FAULT_VANISH = 7,  /* what is behind the table is gone: from now on everything fails */
    BC_FAULT_ACTION_COUNT
};

struct bc_fault_rule {
    uint32_t kinds;  /* bit 1 << kind for each kind of event; BC_FAULT_ANY_KIND */
    uint64_t first;  /* strikes at the first-th event of these kinds (1: the next); 0: by chance */
    uint64_t every;  /* and at each every-th after it; 0: only once */
    uint32_t chance; /* of 1,000, when first is 0 */
    enum bc_fault_action action;
    int error;
    uint64_t amount;

    uint64_t seen; /* internal: events of these kinds */
};

struct bc_faults {
    struct bc_fault_rule rules[BC_FAULT_RULES_MAX];
    uint32_t count;
    uint64_t state;                         /* of the random numbers */
    uint64_t events;                        /* counted so far, of every kind */
    uint64_t struck[BC_FAULT_ACTION_COUNT]; /* faults so far, by action */
};

void bc_faults_init(struct bc_faults *faults, uint64_t seed);
/* At most BC_FAULT_RULES_MAX (asserted). */
void bc_faults_add(struct bc_faults *faults, struct bc_fault_rule rule);
/* Counts one event; the first rule that strikes, or NULL. Valid until the next add. */
const struct bc_fault_rule *bc_faults_next(struct bc_faults *faults, uint32_t kind);
uint64_t bc_faults_random(struct bc_faults *faults);
/* No rule any more; the counts stay. */
void bc_faults_clear(struct bc_faults *faults);
/* "fail", "short" ...; "none" for BC_FAULT_NONE. */
const char *bc_fault_action_name(enum bc_fault_action action);
/* One bit of `len` bytes, chosen by the seed: the byte it is in (NULL when len is 0) and the bit, which is
 * flipped. */
uint8_t *bc_faults_flip(struct bc_faults *faults, void *data, uint64_t len, uint8_t *bit_out);

BC_EXTERN_C_END

#endif
