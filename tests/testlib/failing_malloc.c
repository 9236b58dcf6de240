/* SPDX-License-Identifier: Apache-2.0 */
/* failing_malloc.c - a library for LD_PRELOAD that lets a program's memory run out at a chosen
 * allocation.
 *
 *   BLUECACHE_TEST_ALLOC_FAIL=N     the N-th allocation fails (from 1); N+: that one and all behind
 *                                   it; 0 or unset: none
 *   BLUECACHE_TEST_ALLOC_COUNT=FILE at exit the number of allocations is written there, in decimal
 *
 * Counted are malloc, calloc, realloc, posix_memalign and aligned_alloc, over all threads together,
 * from main on, those of libraries included. free is left alone: what is handed out comes from
 * glibc's own functions, by the names that it exports, so nothing has to be looked up before the
 * first allocation. With another C library this file compiles to nothing.
 *
 * Invariants: never allocates itself; a failure is the documented one (NULL and errno ENOMEM, or
 * ENOMEM returned). Thread: any. Which of several threads comes first is the scheduler's choice, so
 * N names no certain call; a sweep over every N reaches about all of them. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "failing_calls.h"

#ifdef __GLIBC__

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

#define EXPORTED __attribute__((visibility("default")))

static unsigned long counter;
static unsigned long fail_at; /* 0: never */
static int and_all_behind;
static int begun;

/* Runs before main, in the only thread. What the dynamic linker and the libraries' start took is
 * not counted: no program survives that. */
static __attribute__((constructor)) void begin(void)
{
    const char *text = getenv("BLUECACHE_TEST_ALLOC_FAIL");

    for (; text != NULL && *text >= '0' && *text <= '9'; text++) {
        fail_at = fail_at * 10 + (unsigned long)(*text - '0');
    }
    and_all_behind = text != NULL && *text == '+';
    begun = 1;
    (void)prctl(BC_TEST_BEGIN, 0, 0, 0, 0); /* for failing_calls; otherwise it is refused */
}

/* Whether this allocation is one that fails. */
static int fails(void)
{
    unsigned long number;

    if (!begun) {
        return 0;
    }
    number = __atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED);
    return fail_at != 0 && (and_all_behind ? number >= fail_at : number == fail_at);
}

EXPORTED void *malloc(size_t size)
{
    if (fails()) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(size);
}

EXPORTED void *calloc(size_t count, size_t size)
{
    if (fails()) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_calloc(count, size);
}

EXPORTED void *realloc(void *old, size_t size)
{
    if (fails()) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(old, size);
}

EXPORTED void *aligned_alloc(size_t alignment, size_t size)
{
    if (fails()) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_memalign(alignment, size);
}

EXPORTED int posix_memalign(void **place, size_t alignment, size_t size)
{
    void *memory;

    if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) {
        return EINVAL;
    }
    memory = fails() ? NULL : __libc_memalign(alignment, size);
    if (memory == NULL) {
        return ENOMEM;
    }
    *place = memory;
    return 0;
}

static __attribute__((destructor)) void write_count(void)
{
    const char *path = getenv("BLUECACHE_TEST_ALLOC_COUNT");
    unsigned long number = __atomic_load_n(&counter, __ATOMIC_RELAXED);
    char text[24];
    size_t begin = sizeof(text);
    int fd;

    if (path == NULL) {
        return;
    }
    text[--begin] = '\n';
    do {
        text[--begin] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd >= 0) {
        /* A file that is short reads as no number: the test sees it. */
        ssize_t written = write(fd, text + begin, sizeof(text) - begin);

        (void)written;
        close(fd);
    }
}

#endif
