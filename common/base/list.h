/* SPDX-License-Identifier: Apache-2.0 */
/* list.h - intrusive doubly linked list. The node lives in its owner; on no list, its next is NULL.
 * One thread at a time. Removing a node that is on no list is a bug (asserted in debug builds). */
#ifndef BC_BASE_LIST_H
#define BC_BASE_LIST_H

#include <stdbool.h>

#include "base/assert.h"

struct bc_list_node {
    struct bc_list_node *next;
    struct bc_list_node *prev;
};

struct bc_list {
    struct bc_list_node head;
    size_t count;
};

static inline void bc_list_init(struct bc_list *list)
{
    list->head.next = &list->head;
    list->head.prev = &list->head;
    list->count = 0;
}

static inline bool bc_list_empty(const struct bc_list *list)
{
    return list->count == 0;
}

static inline bool bc_list_linked(const struct bc_list_node *node)
{
    return node->next != NULL;
}

static inline void bc_list_insert_before(struct bc_list *list, struct bc_list_node *at,
                                         struct bc_list_node *node)
{
    BC_DASSERT(!bc_list_linked(node));
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
    list->count++;
}

static inline void bc_list_push_back(struct bc_list *list, struct bc_list_node *node)
{
    bc_list_insert_before(list, &list->head, node);
}

static inline void bc_list_push_front(struct bc_list *list, struct bc_list_node *node)
{
    bc_list_insert_before(list, list->head.next, node);
}

static inline void bc_list_remove(struct bc_list *list, struct bc_list_node *node)
{
    BC_DASSERT(bc_list_linked(node) && list->count > 0);
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = NULL;
    node->prev = NULL;
    list->count--;
}

/* NULL when empty. */
static inline struct bc_list_node *bc_list_first(const struct bc_list *list)
{
    return list->count == 0 ? NULL : list->head.next;
}

static inline struct bc_list_node *bc_list_last(const struct bc_list *list)
{
    return list->count == 0 ? NULL : list->head.prev;
}

/* NULL after the last one. */
static inline struct bc_list_node *bc_list_next(const struct bc_list *list,
                                                const struct bc_list_node *node)
{
    return node->next == &list->head ? NULL : node->next;
}

static inline struct bc_list_node *bc_list_pop_front(struct bc_list *list)
{
    struct bc_list_node *node = bc_list_first(list);
    if (node != NULL) {
        bc_list_remove(list, node);
    }
    return node;
}

#endif
