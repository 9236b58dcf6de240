/* SPDX-License-Identifier: Apache-2.0 */
/* process.h - what this process holds: to see that what was started is undone. */
#ifndef BC_TEST_AGENT_PROCESS_H
#define BC_TEST_AGENT_PROCESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct holdings {
    unsigned threads;
    unsigned descriptors;
};

struct holdings holdings_now(void);
/* As many threads and descriptors as before; threads that end get a moment for it. */
void assert_holdings(struct holdings before);

/* An emulated world of this process's own; before anything is counted. */
void use_own_world(void);
/* A new empty directory; removed, with everything in it, by remove_dir. */
void make_dir(char path[64]);
void remove_dir(const char *path);

#endif
