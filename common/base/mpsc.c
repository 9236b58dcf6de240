/* SPDX-License-Identifier: Apache-2.0 */
/* mpsc.c - a stack that producers push on and the consumer takes whole, turned round into a list.
 *
 *   producers --> pushed: c -> b -> a        pop, when ready is empty, swaps pushed with NULL and
 *   consumer  <-- ready:  a -> b -> c        reverses it: a -> b -> c, oldest first
 *
 * Nodes leave the shared part only all together, so a producer's compare-and-swap cannot be fooled
 * by a node that went and came back: whatever the head is when it succeeds, it is what node->next
 * says. */
#include "base/mpsc.h"

void bc_mpsc_init(struct bc_mpsc *queue)
{
    queue->pushed = NULL;
    queue->ready = NULL;
}

bool bc_mpsc_push(struct bc_mpsc *queue, struct bc_mpsc_node *node)
{
    struct bc_mpsc_node *head = __atomic_load_n(&queue->pushed, __ATOMIC_RELAXED);

    /* Release: node's contents are seen by the consumer, whose exchange acquires. Later pushes are
     * read-modify-writes and so carry this release on, though the consumer reads their value. */
    do {
        __atomic_store_n(&node->next, head, __ATOMIC_RELAXED);
    } while (!__atomic_compare_exchange_n(&queue->pushed, &head, node, true, __ATOMIC_RELEASE,
                                          __ATOMIC_RELAXED));
    return head == NULL;
}

struct bc_mpsc_node *bc_mpsc_pop(struct bc_mpsc *queue)
{
    struct bc_mpsc_node *node = queue->ready;

    if (node == NULL) {
        struct bc_mpsc_node *newest = __atomic_exchange_n(&queue->pushed, NULL, __ATOMIC_ACQUIRE);

        while (newest != NULL) {
            struct bc_mpsc_node *older = __atomic_load_n(&newest->next, __ATOMIC_RELAXED);

            __atomic_store_n(&newest->next, node, __ATOMIC_RELAXED);
            node = newest;
            newest = older;
        }
        if (node == NULL) {
            return NULL;
        }
    }
    queue->ready = __atomic_load_n(&node->next, __ATOMIC_RELAXED);
    __atomic_store_n(&node->next, NULL, __ATOMIC_RELAXED);
    return node;
}
