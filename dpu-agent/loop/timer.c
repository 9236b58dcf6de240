/* SPDX-License-Identifier: Apache-2.0 */
/* timer.c - the loop's timers: a binary heap ordered by deadline, then by start.
 *
 * Invariants: entries[i] is not later than its children 2i+1 and 2i+2; a started timer's heap_index
 * is the place of its entry. Deadlines are kept in the entries, so sifting touches the timers only
 * to write their index.
 * Memory: doubles when full (see loop.h); without memory the process stops, since bc_timer_start
 * has no way to fail and a lost deadline would be a hang. */
#include "loop/internal.h"

#include <errno.h>
#include <stdlib.h>

static bool entry_before(const struct bc_timer_entry *a, const struct bc_timer_entry *b)
{
    return a->deadline_ns != b->deadline_ns ? a->deadline_ns < b->deadline_ns : a->seq < b->seq;
}

static void heap_place(struct bc_timer_heap *heap, uint32_t index, struct bc_timer_entry entry)
{
    heap->entries[index] = entry;
    entry.timer->heap_index = index;
}

static void heap_sift_up(struct bc_timer_heap *heap, uint32_t index, struct bc_timer_entry entry)
{
    while (index > 0) {
        uint32_t parent = (index - 1) / 2;
        if (!entry_before(&entry, &heap->entries[parent])) {
            break;
        }
        heap_place(heap, index, heap->entries[parent]);
        index = parent;
    }
    heap_place(heap, index, entry);
}

static void heap_sift_down(struct bc_timer_heap *heap, uint32_t index, struct bc_timer_entry entry)
{
    for (;;) {
        uint32_t child = 2 * index + 1;
        if (child >= heap->count) {
            break;
        }
        if (child + 1 < heap->count &&
            entry_before(&heap->entries[child + 1], &heap->entries[child])) {
            child++;
        }
        if (!entry_before(&heap->entries[child], &entry)) {
            break;
        }
        heap_place(heap, index, heap->entries[child]);
        index = child;
    }
    heap_place(heap, index, entry);
}

static void heap_remove(struct bc_timer_heap *heap, uint32_t index)
{
    struct bc_timer_entry last;

    heap->entries[index].timer->heap_index = BC_TIMER_STOPPED;
    last = heap->entries[--heap->count];
    if (index == heap->count) {
        return;
    }
    if (index > 0 && entry_before(&last, &heap->entries[(index - 1) / 2])) {
        heap_sift_up(heap, index, last);
    } else {
        heap_sift_down(heap, index, last);
    }
}

int bc_timer_heap_init(struct bc_timer_heap *heap, uint32_t capacity)
{
    heap->entries = calloc(capacity, sizeof(heap->entries[0]));
    if (heap->entries == NULL) {
        return -ENOMEM;
    }
    heap->count = 0;
    heap->capacity = capacity;
    heap->next_seq = 0;
    return 0;
}

void bc_timer_heap_fini(struct bc_timer_heap *heap)
{
    uint32_t i;

    for (i = 0; i < heap->count; i++) {
        heap->entries[i].timer->heap_index = BC_TIMER_STOPPED;
    }
    free(heap->entries);
    heap->entries = NULL;
    heap->count = 0;
}

uint32_t bc_timer_heap_expire(struct bc_timer_heap *heap, uint64_t now_ns)
{
    uint64_t seq_end = heap->next_seq;
    uint32_t expired = 0;

    /* A timer that restarts itself with no delay comes again in the next turn, not in this loop. */
    while (heap->count > 0 && heap->entries[0].deadline_ns <= now_ns &&
           heap->entries[0].seq < seq_end) {
        struct bc_timer *timer = heap->entries[0].timer;
        heap_remove(heap, 0);
        timer->expired(timer);
        expired++;
    }
    return expired;
}

uint64_t bc_timer_heap_next_ns(const struct bc_timer_heap *heap)
{
    return heap->count == 0 ? UINT64_MAX : heap->entries[0].deadline_ns;
}

void bc_timer_init(struct bc_timer *timer, bc_timer_fn expired)
{
    timer->expired = expired;
    timer->deadline_ns = 0;
    timer->heap_index = BC_TIMER_STOPPED;
}

void bc_timer_start(struct bc_loop *loop, struct bc_timer *timer, uint64_t delay_ns)
{
    struct bc_timer_heap *heap = &loop->timers;
    uint64_t now_ns = bc_clock_now_ns(loop->clock);
    struct bc_timer_entry entry;

    bc_loop_assert_owner(loop);
    bc_timer_stop(loop, timer);
    if (heap->count == heap->capacity) {
        uint32_t capacity = heap->capacity * 2;
        struct bc_timer_entry *entries =
            reallocarray(heap->entries, capacity, sizeof(heap->entries[0]));
        BC_ASSERT(entries != NULL && capacity > heap->capacity);
        heap->entries = entries;
        heap->capacity = capacity;
    }
    timer->deadline_ns = delay_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + delay_ns;
    entry.deadline_ns = timer->deadline_ns;
    entry.seq = heap->next_seq++;
    entry.timer = timer;
    heap_sift_up(heap, heap->count++, entry);
}

void bc_timer_stop(struct bc_loop *loop, struct bc_timer *timer)
{
    bc_loop_assert_owner(loop);
    if (timer->heap_index == BC_TIMER_STOPPED) {
        return;
    }
    BC_ASSERT(timer->heap_index < loop->timers.count &&
              loop->timers.entries[timer->heap_index].timer == timer);
    heap_remove(&loop->timers, timer->heap_index);
}
