/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/recount.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_LEN 1024u
#define BLOCK    4096u

void bc_tree_remove(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char name[PATH_LEN];
        struct stat info;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        (void)snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        if (lstat(name, &info) == 0 && S_ISDIR(info.st_mode)) {
            bc_tree_remove(name);
        } else {
            (void)unlink(name);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    (void)rmdir(path);
}

static int add_tree(const char *path, uint64_t *bytes, uint32_t *files)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int rc = 0;

    while (rc == 0 && dir != NULL && (entry = readdir(dir)) != NULL) {
        char name[PATH_LEN];
        struct stat info;

        if (entry->d_name[0] == '.') {
            continue;
        }
        (void)snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        if (lstat(name, &info) != 0) {
            rc = -errno;
        } else if (S_ISDIR(info.st_mode)) {
            rc = add_tree(name, bytes, files);
        } else {
            *bytes += bc_align_up_u64((uint64_t)info.st_size, BLOCK);
            (*files)++;
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return rc;
}

int64_t bc_recount_store(const char *root, uint32_t *objects_out, uint32_t *temporary_out)
{
    char name[PATH_LEN];
    uint64_t bytes = 0;
    int rc;

    *objects_out = 0;
    *temporary_out = 0;
    if (root[0] == '\0') {
        return 0;
    }
    (void)snprintf(name, sizeof(name), "%s/objects", root);
    rc = add_tree(name, &bytes, objects_out);
    (void)snprintf(name, sizeof(name), "%s/tmp", root);
    if (rc == 0) {
        rc = add_tree(name, &bytes, temporary_out);
    }
    return rc != 0 ? rc : (int64_t)bytes;
}

struct wanted {
    const char *name;
    int64_t *sum;
    bool found;
};

static void visit(void *arg, enum bc_metric_kind kind, const char *name, const char *help,
                  int64_t value, const struct bc_histogram *histogram)
{
    struct wanted *wanted = arg;

    (void)kind;
    (void)help;
    (void)histogram;
    if (strcmp(name, wanted->name) == 0) {
        *wanted->sum += value;
        wanted->found = true;
    }
}

bool bc_recount_metric(const struct bc_metrics *metrics, const char *name, int64_t *sum)
{
    struct wanted wanted = {.name = name, .sum = sum};

    bc_metrics_visit(metrics, visit, &wanted);
    return wanted.found;
}
