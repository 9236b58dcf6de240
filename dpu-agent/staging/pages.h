/* SPDX-License-Identifier: Apache-2.0 */
/* pages.h - a run of 4 KiB pages cut into extents and joined again: two-level segregated fit.
 *
 * Free extents hang on lists by size. Every size that can be asked for (up to BC_PAGES_EXACT pages)
 * has a list of its own, so a hole left by an extent is found by the next one of that size, and the
 * smallest fitting hole is always taken; larger ones share lists, 32 for each power of two. A
 * bitmap of two levels finds the first list at or above a size in two steps.
 *
 *   table, one row a page:   [F n][    ][   L n][U n][    ][    ][F 1 L][U n][    ] ...
 *                            \_ free, n pages _/\_ used _________/\free/
 *
 * F: first page of a free extent, L: last page of one, U: first page of a used one; all others are
 * 0. Joining looks at the L before and the F after, so it takes no search. The pages themselves are
 * never touched: all is in the table.
 * Thread: one. Memory: the caller's table; O(1) for everything. */
#ifndef BC_STAGING_PAGES_H
#define BC_STAGING_PAGES_H

#include <stdbool.h>

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

#define BC_PAGES_EXACT 2052u /* extents of this many pages or more share lists */
#define BC_PAGES_LISTS 4096u

struct bc_page {
    uint32_t size;       /* pages of the extent, and the flags of pages.c */
    uint32_t generation; /* of the lease that begins here, kept when it has ended */
    uint32_t next;       /* of the list of free extents; UINT32_MAX at its ends */
    uint32_t prev;
};

/* A contiguous part of the table; extents are not joined across its ends. */
struct bc_pages {
    struct bc_page *table;
    uint32_t first;
    uint32_t end;
    uint32_t free_count;
    uint64_t summary;
    uint64_t words[BC_PAGES_LISTS / 64];
    uint32_t heads[BC_PAGES_LISTS];
};

/* Rows [first, first + count) of a zeroed table become one free extent; count may be 0. */
void bc_pages_init(struct bc_pages *pages, struct bc_page *table, uint32_t first, uint32_t count);

/* Takes `count` >= 2 pages in one piece. False when no free extent is that large. `high`: cut it
 * from the end of a larger extent instead of its beginning, which keeps short-lived extents
 * apart. */
BC_MUST_USE bool bc_pages_take(struct bc_pages *pages, uint32_t count, bool high,
                               uint32_t *index_out);

/* Gives back the used extent that begins at `index` (asserted); returns its size in pages. */
uint32_t bc_pages_give(struct bc_pages *pages, uint32_t index);

/* True when a used extent begins at this row. */
bool bc_page_used(const struct bc_page *page);

/* For tests: walks over all rows and asserts every invariant above. */
void bc_pages_check(const struct bc_pages *pages);

BC_EXTERN_C_END

#endif
