/* SPDX-License-Identifier: Apache-2.0 */
/* progress.h - one line on stderr, redrawn in place, that shows how far long work is: a bar, bytes,
 * rate and the time left. It appears only on a terminal, and only for work that takes longer than a
 * moment.
 * Thread: main only, but for bc_cli_progress_hide.
 * Lifetime: at most one runs at a time; it ends with bc_cli_progress_end. */
#ifndef BC_TOOLS_PROGRESS_H
#define BC_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Without `wanted`, or when stderr is no terminal, all of this does nothing. `label` is kept. */
void bc_cli_progress_begin(bool wanted, const char *label);

/* Another part of the same line begins, with times and rates of its own. */
void bc_cli_progress_relabel(const char *label);

/* `bytes` so far; `permille` of the work is done, or -1 when nobody can tell. Draws at most ten
 * times a second, so it may be called often. */
void bc_cli_progress_update(uint64_t bytes, int32_t permille);

void bc_cli_progress_end(void);

/* Takes the line away for a message; the next update draws it again. Any thread. */
void bc_cli_progress_hide(void);

#ifdef __cplusplus
}
#endif

#endif
