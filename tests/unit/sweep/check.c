/* SPDX-License-Identifier: Apache-2.0 */
/* check.c - see check.h. */
#include "check.h"

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LABEL_LEN 512

/* ---- failures ------------------------------------------------------------------------------- */

static char label[LABEL_LEN] = "\n";

static void aborted(int signal_number)
{
    (void)!write(STDERR_FILENO, label, strlen(label));
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

void world_label(const char *format, ...)
{
    static bool watched;
    va_list args;

    va_start(args, format);
    (void)vsnprintf(label, sizeof(label) - 1, format, args);
    va_end(args);
    (void)strcat(label, "\n");
    if (!watched) {
        (void)signal(SIGABRT, aborted);
        watched = true;
    }
}

void world_fail(const char *format, ...)
{
    char text[LABEL_LEN];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    print_error("%s%s\n", label, text);
    fail();
    abort();
}

uint32_t world_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint32_t count = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        count++;
    }
    (void)closedir(dir);
    return count;
}

uint64_t run_setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text == NULL || text[0] == '\0' ? otherwise : strtoull(text, NULL, 0);
}

uint32_t run_slowness(void)
{
#if defined(__SANITIZE_THREAD__)
    return 8;
#elif defined(__SANITIZE_ADDRESS__)
    return 4;
#else
    return 1;
#endif
}
