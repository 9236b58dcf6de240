/* SPDX-License-Identifier: Apache-2.0 */
/* harness.c - see harness.h. */
#include "harness.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static uint64_t ns_of(struct timespec at)
{
    return (uint64_t)at.tv_sec * BC_HARNESS_NS_PER_S + (uint64_t)at.tv_nsec;
}

void bc_harness_fail(const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    for (char *at = text; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\' || (unsigned char)*at < ' ') {
            *at = '\'';
        }
    }
    printf("{\"error\": \"%s\"}\n", text);
    (void)fflush(stdout);
    exit(EXIT_FAILURE);
}

const char *bc_harness_text(int argc, char **argv, const char *name, const char *fallback)
{
    size_t len = strlen(name);

    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], name, len) == 0 && argv[i][len] == '=') {
            return argv[i] + len + 1;
        }
    }
    return fallback;
}

uint64_t bc_harness_number(int argc, char **argv, const char *name, uint64_t fallback)
{
    const char *text = bc_harness_text(argc, argv, name, NULL);
    char *end = NULL;
    uint64_t value;

    if (text == NULL) {
        return fallback;
    }
    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0') {
        bc_harness_fail("%s=%s is not a number", name, text);
    }
    return value;
}

bool bc_harness_command(char line[BC_HARNESS_LINE_MAX])
{
    if (fgets(line, (int)BC_HARNESS_LINE_MAX, stdin) == NULL) {
        return false;
    }
    line[strcspn(line, "\n")] = '\0';
    return true;
}

void bc_harness_answer(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)putchar('\n');
    (void)fflush(stdout);
}

void bc_harness_pin(int which)
{
    static cpu_set_t all;
    static bool known;
    cpu_set_t one;
    int count;
    int skip;

    if (!known && sched_getaffinity(0, sizeof(all), &all) != 0) {
        return; /* a matter of speed alone */
    }
    known = true;
    count = CPU_COUNT(&all);
    skip = (which % count + count) % count;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &all) && skip-- == 0) {
            CPU_SET(cpu, &one);
        }
    }
    (void)sched_setaffinity(0, sizeof(one), &one);
}

uint64_t bc_harness_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return ns_of(now);
}

uint64_t bc_harness_cpu_ns(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * BC_HARNESS_NS_PER_S +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

uint64_t bc_harness_cpu_of_ns(pid_t pid)
{
    struct timespec used;
    clockid_t clock;

    if (pid == 0 || clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0) {
        return 0;
    }
    return ns_of(used);
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

uint64_t bc_harness_percentile(uint64_t *samples, size_t count, unsigned permille)
{
    size_t at;

    if (count == 0) {
        return 0;
    }
    qsort(samples, count, sizeof(*samples), compare);
    at = count * permille / 1000;
    return samples[at < count ? at : count - 1];
}
