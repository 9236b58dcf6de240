/* SPDX-License-Identifier: Apache-2.0 */
/* spin.h - how long it pays to poll before sleeping. Being woken on another processor costs tens of
 * microseconds, so a wait that is over sooner is better polled through; a longer one is not.
 *
 *   while (nothing has come && bc_spin_again(&spin, now - began, false)) { look again }
 *   if (nothing has come) { sleep }
 *   bc_spin_learn(&spin, now - began);
 *
 * What was learned from earlier waits decides: as long as waits end within max_ns all of that is
 * spent; each longer one halves the budget, down to nothing, so what waits long burns no processor
 * (but for one try in 64 waits).
 * Polling lets whoever else wants the processor run. If that keeps it away for long the processor
 * is needed more elsewhere, and the next waits sleep at once: who sleeps is scheduled sooner than
 * who has yielded.
 *
 * Thread: the owner's; nothing is allocated. */
#ifndef BC_BASE_SPIN_H
#define BC_BASE_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

struct bc_spin {
    uint64_t max_ns;
    uint64_t budget_ns; /* 0 to max_ns */
    uint32_t rest;      /* waits that sleep at once, whatever the budget is */
    uint32_t slept;     /* waits since the budget is 0 */
    bool polling;       /* the last answer of bc_spin_again */
};

/* max_ns 0: never polls. */
void bc_spin_init(struct bc_spin *spin, uint64_t max_ns);
/* True: look again. Yields the processor before it says so. expected: something is under way that
 * comes surely and mostly soon, so max_ns is spent whatever was learned. */
bool bc_spin_again(struct bc_spin *spin, uint64_t waited_ns, bool expected);
/* A wait is over after waited_ns, polling or asleep. */
void bc_spin_learn(struct bc_spin *spin, uint64_t waited_ns);

BC_EXTERN_C_END

#endif
