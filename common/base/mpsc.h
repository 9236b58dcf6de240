/* SPDX-License-Identifier: Apache-2.0 */
/* mpsc.h - intrusive queue from many producers to one consumer, without locks: the body of a
 * worker's mailbox. A node belongs to the queue from push until pop returned it.
 * Order: per producer, first in first out. */
#ifndef BC_BASE_MPSC_H
#define BC_BASE_MPSC_H

#include <stdbool.h>

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

struct bc_mpsc_node {
    struct bc_mpsc_node *next; /* accessed with atomics */
};

struct bc_mpsc {
    struct bc_mpsc_node *pushed; /* newest first; producers exchange here */
    struct bc_mpsc_node *ready;  /* oldest first; consumer only */
};

void bc_mpsc_init(struct bc_mpsc *queue);

/* Any thread. True when the queue's shared part was empty before: the caller then wakes the
 * consumer, which pops until NULL before it sleeps. Release order; pairs with pop's acquire. */
bool bc_mpsc_push(struct bc_mpsc *queue, struct bc_mpsc_node *node);

/* Consumer thread only. NULL when empty. */
struct bc_mpsc_node *bc_mpsc_pop(struct bc_mpsc *queue);

BC_EXTERN_C_END

#endif
