/* SPDX-License-Identifier: Apache-2.0 */
/* scenario.h - a small but complete piece of a client's work, and a model of what each key may show while
 * things go wrong: the old object or the new one, whole, and never anything else.
 *
 *   register, push five objects, pull, query, overwrite two while two are read, push one and cancel it,
 *   overwrite, remove, pull, query, unregister, goodbye */
#ifndef BC_TEST_SWEEP_SCENARIO_H
#define BC_TEST_SWEEP_SCENARIO_H

#include "client.h"

#define SCENARIO_KEYS 6u

struct scenario {
    struct world *world;
    /* Bit 0: the key may be absent; bit v: it may hold version v of versions[]. */
    uint32_t possible[SCENARIO_KEYS];
    uint32_t failures; /* results that only a fault explains */
    bool cut_short;    /* the connection was lost before the work was done */
    /* Of worlds before this one. */
    bool dropped;
    uint64_t wrong_bits;
};

void scenario_init(struct scenario *scenario, struct world *world);
/* The work; ends early when the connection is lost. Afterwards the client is gone. */
void scenario_run(struct scenario *scenario, bool may_fall_silent);
/* Before the world is closed, when another one on the same store follows. */
void scenario_carry(struct scenario *scenario);
/* Without faults: every key shows what it may, and what the store says it uses is what it does use.
 * `stranded`: files of failed operations may be left until the store is opened again. */
void scenario_verify(struct scenario *scenario, bool stranded);
/* Removes every key; then nothing is left of them. */
void scenario_clean(struct scenario *scenario);

#endif
