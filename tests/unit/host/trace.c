/* SPDX-License-Identifier: Apache-2.0 */
/* trace.c - see trace.h. */
#include "trace.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ENTRIES_MAX 65536
#define TEXT_MAX    48

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t added;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static char entries[ENTRIES_MAX][TEXT_MAX];
static int entry_count;

static void set_up(void)
{
    pthread_condattr_t attributes;

    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&added, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

void trace_clear(void)
{
    (void)pthread_once(&once, set_up);
    (void)pthread_mutex_lock(&lock);
    entry_count = 0;
    (void)pthread_mutex_unlock(&lock);
}

void trace_add(const char *format, ...)
{
    va_list args;

    (void)pthread_once(&once, set_up);
    (void)pthread_mutex_lock(&lock);
    if (entry_count < ENTRIES_MAX) {
        va_start(args, format);
        (void)vsnprintf(entries[entry_count++], TEXT_MAX, format, args);
        va_end(args);
    }
    (void)pthread_cond_broadcast(&added);
    (void)pthread_mutex_unlock(&lock);
}

static int find_locked(const char *text, int nth, int *count_out)
{
    size_t len = strlen(text);
    int count = 0;
    int found = -1;

    for (int i = 0; i < entry_count; i++) {
        if (strncmp(entries[i], text, len) == 0) {
            count++;
            if (count == nth) {
                found = i;
            }
        }
    }
    *count_out = count;
    return found;
}

int trace_count(const char *text)
{
    int count;

    (void)pthread_mutex_lock(&lock);
    (void)find_locked(text, 0, &count);
    (void)pthread_mutex_unlock(&lock);
    return count;
}

bool trace_wait(const char *text, int count)
{
    struct timespec until;
    int have = 0;
    int rc = 0;

    (void)pthread_once(&once, set_up);
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += TRACE_WAIT_MS / 1000;
    (void)pthread_mutex_lock(&lock);
    (void)find_locked(text, 0, &have);
    while (have < count && rc == 0) {
        rc = pthread_cond_timedwait(&added, &lock, &until);
        (void)find_locked(text, 0, &have);
    }
    (void)pthread_mutex_unlock(&lock);
    return have >= count;
}

int trace_index(const char *text, int nth)
{
    int count;
    int found;

    (void)pthread_mutex_lock(&lock);
    found = find_locked(text, nth, &count);
    (void)pthread_mutex_unlock(&lock);
    return found;
}
