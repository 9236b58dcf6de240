/* SPDX-License-Identifier: Apache-2.0 */
/* posix_recover.c - the index from what is on disk.
 *
 *   scan     directories of this worker's partitions, by a few threads: of every file the footer
 *   discard  files of ours that are torn, of another store, or of another format; not those that
 *            cannot be read now: they stay on disk for a later start, and out of this index
 *   order    by version: the oldest is evicted first
 *   limit    what is more than the capacity goes, oldest first; its groups go when the loop runs
 *   index    the rest
 *
 * Data is not read: its checksums are verified by gets. Files whose names are not ours are left
 * alone. Blocking, before the loop runs. Memory: 40 bytes an object while it lasts. */
#include "backend/posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define SCAN_THREADS_MAX  8u
#define SCAN_DIRS         (BC_POSIX_DIRS * BC_POSIX_DIRS)
#define PROGRESS_OBJECTS  10000u
#define FOUND_COUNT_FIRST 1024u

struct found {
    struct bc_hash128 hash;
    uint64_t version;
    uint64_t group; /* bc_group_name; 0: none */
    uint32_t size;
    bool meta;
};

/* What the threads share. */
struct scan {
    const struct posix_store *store;
    uint32_t worker;
    uint32_t workers;
    uint32_t next_dir; /* atomic: the next one to be looked at */
    uint64_t objects;  /* atomic, for progress */
};

struct scanner {
    struct scan *scan;
    pthread_t thread;
    struct found *found;
    size_t count;
    size_t capacity;
    uint64_t discarded;
    uint64_t foreign;
    uint64_t unreadable;
    int error;
    char error_path[64];
    struct bc_posix_footer *footer; /* aligned */
};

/* A directory holds the hashes that begin with its byte; never those of two workers. */
static uint32_t dir_worker(uint32_t dir, uint32_t workers)
{
    struct bc_hash128 first = {.low = 0, .high = (uint64_t)dir << 56};

    return bc_store_worker(first, workers);
}
BC_STATIC_ASSERT(SCAN_DIRS % BC_STORE_PARTITIONS == 0, "a directory lies in one partition");

static int add_found(struct scanner *scanner, const struct bc_posix_footer *footer,
                     struct bc_hash128 hash)
{
    static const uint8_t no_meta[BC_OBJECT_META_LEN];

    if (scanner->count == scanner->capacity) {
        size_t capacity = scanner->capacity == 0 ? FOUND_COUNT_FIRST : scanner->capacity * 2;
        struct found *grown = realloc(scanner->found, capacity * sizeof(*grown));

        if (grown == NULL) {
            return -ENOMEM;
        }
        scanner->found = grown;
        scanner->capacity = capacity;
    }
    scanner->found[scanner->count++] = (struct found){
        .hash = hash,
        .version = footer->object_version,
        .group = footer->group == 0 ? 0 : bc_group_name(footer->tenant, footer->group),
        .size = (uint32_t)footer->data_len,
        .meta = memcmp(footer->meta, no_meta, sizeof(no_meta)) != 0,
    };
    return 0;
}

static bool is_of_process(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}

/* 1: a whole object of this store; 0: not; negative errno: cannot tell. */
static int read_footer(struct scanner *scanner, int dir_fd, const char *name,
                       struct bc_hash128 hash)
{
    const struct posix_store *store = scanner->scan->store;
    int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | (store->direct ? O_DIRECT : 0);
    int fd = openat(dir_fd, name, flags);
    struct stat info;
    ssize_t got = 0;
    int rc = 0;

    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, &info) != 0) {
        rc = -errno;
    } else if (S_ISREG(info.st_mode) && info.st_size >= (off_t)BC_POSIX_BLOCK &&
               info.st_size % (off_t)BC_POSIX_BLOCK == 0) {
        do {
            got = pread(fd, scanner->footer, BC_POSIX_BLOCK, info.st_size - (off_t)BC_POSIX_BLOCK);
        } while (got < 0 && errno == EINTR);
        rc = got < 0 ? -errno : 0;
    }
    (void)close(fd);
    if (rc != 0) {
        return rc;
    }
    return got == (ssize_t)BC_POSIX_BLOCK &&
           bc_posix_footer_valid(scanner->footer, store->uuid, hash, (uint64_t)info.st_size);
}

static void progress(struct scan *scan)
{
    uint64_t objects = __atomic_add_fetch(&scan->objects, 1, __ATOMIC_RELAXED);

    if (objects % PROGRESS_OBJECTS == 0) {
        BC_INFO("posix", "%s: worker %u has read the records of %llu objects", scan->store->root,
                scan->worker, (unsigned long long)objects);
    }
}

static int scan_file(struct scanner *scanner, int dir_fd, uint32_t dir, const char *name)
{
    struct bc_hash128 hash;
    int rc;

    if (!bc_posix_name_parse(name, &hash) || hash.high >> 56 != dir) {
        scanner->foreign++;
        return 0;
    }
    rc = read_footer(scanner, dir_fd, name, hash);
    if (rc < 0 && is_of_process(-rc)) {
        return rc;
    }
    if (rc < 0) {
        scanner->unreadable++;
        BC_DBG("posix", "%s: %s cannot be read: %s", scanner->scan->store->root, name,
               strerror(-rc));
        return 0;
    }
    if (rc > 0) {
        progress(scanner->scan);
        return add_found(scanner, scanner->footer, hash);
    }
    scanner->discarded++;
    BC_DBG("posix", "%s: %s is torn or of another store: removed", scanner->scan->store->root,
           name);
    return unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT ? 0 : -errno;
}

static int scan_dir(struct scanner *scanner, uint32_t dir)
{
    char path[32];
    struct dirent *entry;
    DIR *stream;
    int rc = 0;
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%x/%x", BC_POSIX_OBJECTS_NAME, dir / BC_POSIX_DIRS,
                   dir % BC_POSIX_DIRS);
    fd = openat(scanner->scan->store->root_fd, path,
                O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    stream = fd < 0 ? NULL : fdopendir(fd);
    if (stream == NULL) {
        rc = -errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return rc;
    }
    errno = 0;
    while (rc == 0 && (entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] != '.') {
            rc = scan_file(scanner, fd, dir, entry->d_name);
        }
        errno = 0;
    }
    if (rc == 0 && errno != 0) {
        rc = -errno;
    }
    (void)closedir(stream);
    return rc;
}

static void *scan_thread(void *arg)
{
    struct scanner *scanner = arg;
    struct scan *scan = scanner->scan;

    while (scanner->error == 0) {
        uint32_t dir = __atomic_fetch_add(&scan->next_dir, 1, __ATOMIC_RELAXED);

        if (dir >= SCAN_DIRS) {
            break;
        }
        if (dir_worker(dir, scan->workers) == scan->worker) {
            scanner->error = scan_dir(scanner, dir);
            (void)snprintf(scanner->error_path, sizeof(scanner->error_path), "%s/%x/%x",
                           BC_POSIX_OBJECTS_NAME, dir / BC_POSIX_DIRS, dir % BC_POSIX_DIRS);
        }
    }
    return NULL;
}

static int by_version(const void *left, const void *right)
{
    uint64_t a = ((const struct found *)left)->version;
    uint64_t b = ((const struct found *)right)->version;

    return a < b ? -1 : a > b;
}

/* All scanners' finds in one array, oldest first. */
static int merge(struct scanner *scanners, uint32_t count, struct found **all_out,
                 size_t *all_count_out)
{
    size_t total = 0;
    size_t at = 0;
    struct found *all;

    for (uint32_t i = 0; i < count; i++) {
        total += scanners[i].count;
    }
    all = malloc((total == 0 ? 1 : total) * sizeof(*all));
    if (all == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (scanners[i].count > 0) {
            memcpy(all + at, scanners[i].found, scanners[i].count * sizeof(*all));
            at += scanners[i].count;
        }
        free(scanners[i].found); /* sorting and the index need the memory */
        scanners[i].found = NULL;
    }
    qsort(all, total, sizeof(*all), by_version);
    *all_out = all;
    *all_count_out = total;
    return 0;
}

/* Unlinks the oldest until the rest fits; returns how many, negative errno. */
static int64_t limit(const struct posix *posix, const struct found *all, size_t count)
{
    uint64_t bytes = 0;
    size_t dropped = 0;

    for (size_t i = 0; i < count; i++) {
        bytes += bc_posix_file_len(all[i].size);
    }
    while (bytes > posix->capacity) {
        char path[BC_POSIX_PATH_LEN];

        bc_posix_path(all[dropped].hash, path);
        if (unlinkat(posix->store->root_fd, path, 0) != 0 && errno != ENOENT) {
            return -errno;
        }
        bytes -= bc_posix_file_len(all[dropped].size);
        dropped++;
    }
    return (int64_t)dropped;
}

static int fill_index(struct posix *posix, const struct found *all, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct posix_object *object = bc_posix_object_alloc(posix, all[i].group != 0);

        if (object == NULL) {
            return -ENOMEM;
        }
        object->node.hash = all[i].hash;
        object->version = all[i].version;
        object->size = all[i].size;
        object->flags |= all[i].meta ? POSIX_OBJECT_META : 0;
        if (all[i].group != 0) {
            /* Put before any drop of this life. */
            *bc_posix_member(object) =
                (struct bc_group_member){.node = {.hash = {.low = all[i].group}}};
        }
        bc_posix_charge(posix, bc_posix_object_bytes(object));
        bc_posix_index_add(posix, object);
    }
    if (count > 0) {
        posix->last_version = bc_max_u64(posix->last_version, all[count - 1].version);
    }
    return 0;
}

static int note_lost(struct posix *posix, const struct found *all, size_t count)
{
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = all[i].group == 0 ? 0 : bc_posix_group_lost(posix, all[i].group);
    }
    return rc;
}

static int index_finds(struct posix *posix, struct scanner *scanners, uint32_t count,
                       struct bc_options_error *error_out)
{
    struct found *all = NULL;
    size_t all_count = 0;
    int64_t dropped = 0;
    uint64_t discarded = 0;
    uint64_t foreign = 0;
    uint64_t unreadable = 0;
    int rc = merge(scanners, count, &all, &all_count);

    if (rc == 0) {
        dropped = limit(posix, all, all_count);
        rc = dropped < 0 ? (int)dropped : note_lost(posix, all, (size_t)dropped);
    }
    if (rc == 0) {
        rc = fill_index(posix, all + dropped, all_count - (size_t)dropped);
    }
    if (rc == 0 && all_count > 0) {
        /* Also of those that had to go. */
        posix->last_version = bc_max_u64(posix->last_version, all[all_count - 1].version);
    }
    free(all);
    if (rc != 0) {
        (void)snprintf(error_out->text, sizeof(error_out->text),
                       "posix: cannot take up the objects of %s: %s.", posix->store->root,
                       strerror(-rc));
        return rc;
    }
    for (uint32_t i = 0; i < count; i++) {
        discarded += scanners[i].discarded;
        foreign += scanners[i].foreign;
        unreadable += scanners[i].unreadable;
    }
    if (unreadable > 0) {
        BC_WARN(
            "posix",
            "%s: worker %u cannot read %llu files; they are left alone, and their objects are not found",
            posix->store->root, posix->worker, (unsigned long long)unreadable);
    }
    if (all_count > 0 || discarded > 0 || foreign > 0) {
        BC_INFO(
            "posix",
            "%s: worker %u found %zu objects; %lld were more than the capacity, %llu torn or of "
            "another store were removed, %llu files of others left alone",
            posix->store->root, posix->worker, all_count - (size_t)dropped, (long long)dropped,
            (unsigned long long)discarded, (unsigned long long)foreign);
    }
    return 0;
}

static int scan_all(struct scanner *scanners, uint32_t count, struct bc_options_error *error_out,
                    const char *root)
{
    uint32_t started = 1; /* the first one is this thread */
    int rc = 0;

    while (started < count &&
           pthread_create(&scanners[started].thread, NULL, scan_thread, &scanners[started]) == 0) {
        started++;
    }
    (void)scan_thread(&scanners[0]);
    for (uint32_t i = 1; i < started; i++) {
        (void)pthread_join(scanners[i].thread, NULL);
    }
    for (uint32_t i = 0; i < started && rc == 0; i++) {
        rc = scanners[i].error;
        if (rc != 0) {
            (void)snprintf(error_out->text, sizeof(error_out->text),
                           "posix: cannot read %s/%s: %s.", root, scanners[i].error_path,
                           strerror(-rc));
        }
    }
    return rc;
}

int bc_posix_recover(struct posix *posix, struct bc_options_error *error_out)
{
    struct scan scan = {.store = posix->store, .worker = posix->worker, .workers = posix->workers};
    struct scanner scanners[SCAN_THREADS_MAX];
    uint32_t count = 0;
    int rc = 0;

    memset(scanners, 0, sizeof(scanners));
    while (count < SCAN_THREADS_MAX) {
        void *block = NULL;

        if (posix_memalign(&block, BC_POSIX_BLOCK, BC_POSIX_BLOCK) != 0) {
            break;
        }
        scanners[count++] = (struct scanner){.scan = &scan, .footer = block};
    }
    if (count == 0) {
        (void)snprintf(error_out->text, sizeof(error_out->text), "posix: out of memory at start.");
        return -ENOMEM;
    }
    rc = scan_all(scanners, count, error_out, posix->store->root);
    if (rc == 0) {
        rc = index_finds(posix, scanners, count, error_out);
    }
    for (uint32_t i = 0; i < count; i++) {
        free(scanners[i].footer);
        free(scanners[i].found);
    }
    return rc;
}
