/* SPDX-License-Identifier: Apache-2.0 */
/* pages.c - see pages.h for the structure and its invariants. */
#include "staging/pages.h"

#include "base/assert.h"

#define PAGE_FREE_FIRST (1u << 31)
#define PAGE_FREE_LAST  (1u << 30)
#define PAGE_USED_FIRST (1u << 29)
#define PAGE_SIZE_MASK  (PAGE_USED_FIRST - 1)
#define PAGE_NONE       UINT32_MAX

/* Lists of the sizes from BC_PAGES_EXACT on: 32 for each power of two from 2^11. */
#define LIST_SHIFT 11u
#define LIST_SUB   32u

BC_STATIC_ASSERT(BC_PAGES_EXACT + (29 - LIST_SHIFT) * LIST_SUB <= BC_PAGES_LISTS,
                 "every size has a list");
BC_STATIC_ASSERT(BC_PAGES_LISTS == 64 * 64, "two levels of 64 bits");

static uint32_t list_of_size(uint32_t count)
{
    uint32_t power;

    if (count < BC_PAGES_EXACT) {
        return count;
    }
    power = 31u - (uint32_t)__builtin_clz(count);
    return BC_PAGES_EXACT + (power - LIST_SHIFT) * LIST_SUB +
           ((count >> (power - 5)) & (LIST_SUB - 1));
}

static void list_insert(struct bc_pages *pages, uint32_t index, uint32_t count)
{
    uint32_t list = list_of_size(count);
    uint32_t head = pages->heads[list];
    struct bc_page *row = &pages->table[index];

    row->next = head;
    row->prev = PAGE_NONE;
    if (head != PAGE_NONE) {
        pages->table[head].prev = index;
    }
    pages->heads[list] = index;
    pages->words[list / 64] |= UINT64_C(1) << (list % 64);
    pages->summary |= UINT64_C(1) << (list / 64);
}

static void list_remove(struct bc_pages *pages, uint32_t index, uint32_t count)
{
    uint32_t list = list_of_size(count);
    struct bc_page *row = &pages->table[index];

    if (row->next != PAGE_NONE) {
        pages->table[row->next].prev = row->prev;
    }
    if (row->prev != PAGE_NONE) {
        pages->table[row->prev].next = row->next;
        return;
    }
    pages->heads[list] = row->next;
    if (row->next == PAGE_NONE) {
        pages->words[list / 64] &= ~(UINT64_C(1) << (list % 64));
        if (pages->words[list / 64] == 0) {
            pages->summary &= ~(UINT64_C(1) << (list / 64));
        }
    }
}

/* The first list at or above `list` that is not empty; BC_PAGES_LISTS when there is none. */
static uint32_t list_find(const struct bc_pages *pages, uint32_t list)
{
    uint32_t word = list / 64;
    uint64_t bits = pages->words[word] & (UINT64_MAX << (list % 64));

    if (bits == 0) {
        bits = word == 63 ? 0 : pages->summary & (UINT64_MAX << (word + 1));
        if (bits == 0) {
            return BC_PAGES_LISTS;
        }
        word = (uint32_t)__builtin_ctzll(bits);
        bits = pages->words[word];
    }
    return word * 64 + (uint32_t)__builtin_ctzll(bits);
}

static void make_free(struct bc_pages *pages, uint32_t index, uint32_t count)
{
    /* One row is both ends of an extent of one page. */
    pages->table[index].size = 0;
    pages->table[index + count - 1].size = count | PAGE_FREE_LAST;
    pages->table[index].size |= count | PAGE_FREE_FIRST;
    list_insert(pages, index, count);
}

/* Takes the free extent off its list and wipes its ends. */
static uint32_t unmake_free(struct bc_pages *pages, uint32_t index)
{
    uint32_t count = pages->table[index].size & PAGE_SIZE_MASK;

    BC_DASSERT((pages->table[index].size & PAGE_FREE_FIRST) != 0);
    list_remove(pages, index, count);
    pages->table[index + count - 1].size = 0;
    pages->table[index].size = 0;
    return count;
}

void bc_pages_init(struct bc_pages *pages, struct bc_page *table, uint32_t first, uint32_t count)
{
    uint32_t i;

    BC_ASSERT(count <= PAGE_SIZE_MASK);
    pages->table = table;
    pages->first = first;
    pages->end = first + count;
    pages->free_count = count;
    pages->summary = 0;
    for (i = 0; i < BC_PAGES_LISTS; i++) {
        pages->words[i / 64] = 0;
        pages->heads[i] = PAGE_NONE;
    }
    if (count > 0) {
        make_free(pages, first, count);
    }
}

bool bc_pages_take(struct bc_pages *pages, uint32_t count, bool high, uint32_t *index_out)
{
    uint32_t list;
    uint32_t index;
    uint32_t have;

    /* A list below BC_PAGES_EXACT holds one size, and every shared one only larger sizes. */
    BC_ASSERT(count >= 2 && count < BC_PAGES_EXACT);
    list = list_find(pages, count);
    if (list == BC_PAGES_LISTS) {
        return false;
    }
    index = pages->heads[list];
    have = unmake_free(pages, index);
    if (have > count && high) {
        make_free(pages, index, have - count);
        index += have - count;
    } else if (have > count) {
        make_free(pages, index + count, have - count);
    }
    pages->table[index].size = count | PAGE_USED_FIRST;
    pages->free_count -= count;
    *index_out = index;
    return true;
}

uint32_t bc_pages_give(struct bc_pages *pages, uint32_t index)
{
    struct bc_page *table = pages->table;
    uint32_t count;
    uint32_t joined;

    BC_ASSERT(index >= pages->first && index < pages->end && bc_page_used(&table[index]));
    count = table[index].size & PAGE_SIZE_MASK;
    table[index].size = 0;
    pages->free_count += count;
    joined = count;
    if (index + count < pages->end && (table[index + count].size & PAGE_FREE_FIRST) != 0) {
        joined += unmake_free(pages, index + count);
    }
    if (index > pages->first && (table[index - 1].size & PAGE_FREE_LAST) != 0) {
        index -= table[index - 1].size & PAGE_SIZE_MASK;
        joined += unmake_free(pages, index);
    }
    make_free(pages, index, joined);
    return count;
}

bool bc_page_used(const struct bc_page *page)
{
    return (page->size & PAGE_USED_FIRST) != 0;
}

static bool list_holds(const struct bc_pages *pages, uint32_t list, uint32_t wanted)
{
    uint32_t index;
    uint32_t steps = 0;

    for (index = pages->heads[list]; index != PAGE_NONE && steps <= pages->end - pages->first;
         index = pages->table[index].next) {
        if (index == wanted) {
            return true;
        }
        steps++;
    }
    return false;
}

void bc_pages_check(const struct bc_pages *pages)
{
    const struct bc_page *table = pages->table;
    uint32_t free_count = 0;
    bool before_free = false;
    uint32_t index;
    uint32_t i;

    for (index = pages->first; index < pages->end;) {
        uint32_t count = table[index].size & PAGE_SIZE_MASK;
        bool is_free = (table[index].size & PAGE_FREE_FIRST) != 0;

        BC_ASSERT(is_free != bc_page_used(&table[index]));
        BC_ASSERT(count > 0 && count <= pages->end - index);
        BC_ASSERT(!(is_free && before_free)); /* they would have been joined */
        for (i = 1; i + 1 < count; i++) {
            BC_ASSERT(table[index + i].size == 0);
        }
        if (is_free) {
            uint32_t last = table[index + count - 1].size;
            BC_ASSERT((last & PAGE_FREE_LAST) != 0 && (last & PAGE_SIZE_MASK) == count);
            BC_ASSERT(list_holds(pages, list_of_size(count), index));
            free_count += count;
        } else {
            BC_ASSERT(count == 1 || table[index + count - 1].size == 0);
        }
        before_free = is_free;
        index += count;
    }
    BC_ASSERT(free_count == pages->free_count);
    for (i = 0; i < BC_PAGES_LISTS; i++) {
        bool bit = (pages->words[i / 64] >> (i % 64) & 1) != 0;
        BC_ASSERT(bit == (pages->heads[i] != PAGE_NONE));
        BC_ASSERT((pages->words[i / 64] != 0) == ((pages->summary >> (i / 64) & 1) != 0));
    }
}
