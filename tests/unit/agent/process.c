/* SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <dirent.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MOMENT_MS 5000

static unsigned count_entries(const char *path)
{
    DIR *dir = opendir(path);
    unsigned count = 0;
    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count;
}

struct holdings holdings_now(void)
{
    return (struct holdings){.threads = count_entries("/proc/self/task"),
                             .descriptors = count_entries("/proc/self/fd")};
}

/* A joined thread may be listed for a moment; nothing else here takes time. One of the test before
 * may have been among those of `before`. */
void assert_holdings(struct holdings before)
{
    for (int ms = 0; ms < MOMENT_MS && holdings_now().threads > before.threads; ms++) {
        struct timespec pause = {.tv_nsec = 1000000};
        nanosleep(&pause, NULL);
    }
    assert_true(holdings_now().threads <= before.threads);
    assert_int_equal(holdings_now().descriptors, before.descriptors);
}

static void *name_itself(void *path)
{
    (void)snprintf(path, 64, "/proc/self/task/%d", (int)gettid());
    return NULL;
}

void use_own_world(void)
{
    char world[64];
    char task[64];
    pthread_t thread;
    /* A sanitizer may start a thread of its own with the first one. Ours is not to be counted by who
     * comes next: see above. */
    assert_int_equal(pthread_create(&thread, NULL, name_itself, task), 0);
    pthread_join(thread, NULL);
    for (int ms = 0; ms < MOMENT_MS && access(task, F_OK) == 0; ms++) {
        struct timespec pause = {.tv_nsec = 1000000};
        nanosleep(&pause, NULL);
    }
    (void)snprintf(world, sizeof(world), "agent-test-%d", (int)getpid());
    assert_int_equal(setenv("DOCA_EMU_WORLD", world, 1), 0);
}

void make_dir(char path[64])
{
    (void)snprintf(path, 64, "%s", "/tmp/bluecache-agent-XXXXXX");
    assert_non_null(mkdtemp(path));
}

static int remove_one(const char *path, const struct stat *info, int flag, struct FTW *ftw)
{
    (void)info;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void remove_dir(const char *path)
{
    assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}
