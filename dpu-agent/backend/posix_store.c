/* SPDX-License-Identifier: Apache-2.0 */
/* posix_store.c - takes possession of a directory, once per process: locked against a second agent,
 * recognised or formatted, temporary files of a crash removed, O_DIRECT tried.
 *
 * Nothing is touched in a directory that is not ours: it is looked at first, then locked, then
 * looked at again, as another agent may have been faster. The store record is written last, so a
 * format that was interrupted is taken up again. Blocking; any one thread. Errors are sentences. */
#include "backend/posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define LOCK_TEXT  "bluecache "
#define STORE_NEW  "bluecache.store.new" /* becomes BC_POSIX_STORE_NAME */
#define PROBE_NAME BC_POSIX_TMP_NAME "/w0-0"

enum verdict {
    VERDICT_OURS = 0,
    VERDICT_FORMAT = 1, /* may and must be formatted */
};

static int sentence(struct bc_options_error *error, int rc, const char *format, ...)
    BC_PRINTF(3, 4);

static int sentence(struct bc_options_error *error, int rc, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
    return rc;
}

/* ---- small file helpers ---- */

/* Bytes read from the start of a file, at most `len`; negative errno. */
static ssize_t read_start(int dir_fd, const char *name, void *data, size_t len)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t got;

    if (fd < 0) {
        return -errno;
    }
    do {
        got = pread(fd, data, len, 0);
    } while (got < 0 && errno == EINTR);
    got = got < 0 ? -errno : got;
    (void)close(fd);
    return got;
}

static int write_whole(int fd, const void *data, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t wrote = pwrite(fd, (const uint8_t *)data + done, len - done, (off_t)done);

        if (wrote < 0 && errno != EINTR) {
            return -errno;
        }
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    return 0;
}

/* ---- whose directory is it ---- */

static bool is_our_name(const char *name)
{
    static const char *const ours[] = {BC_POSIX_LOCK_NAME, BC_POSIX_OBJECTS_NAME, BC_POSIX_TMP_NAME,
                                       STORE_NEW, "lost+found"};

    for (size_t i = 0; i < BC_ARRAY_LEN(ours); i++) {
        if (strcmp(name, ours[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* How many entries, and how many of a name that is not ours. */
static int count_entries(int root_fd, uint32_t *all_out, uint32_t *foreign_out)
{
    int fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    *all_out = 0;
    *foreign_out = 0;
    if (dir == NULL) {
        int rc = -errno;

        if (fd >= 0) {
            (void)close(fd);
        }
        return rc;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            (*all_out) += strcmp(entry->d_name, "lost+found") != 0;
            (*foreign_out) += !is_our_name(entry->d_name);
        }
    }
    (void)closedir(dir);
    return 0;
}

static bool lock_is_ours(int root_fd)
{
    char text[sizeof(LOCK_TEXT)] = "";
    ssize_t got = read_start(root_fd, BC_POSIX_LOCK_NAME, text, sizeof(text) - 1);

    /* Empty, or zeros: we, or the machine, died before its text was written. */
    return got >= 0 && (text[0] == '\0' || strcmp(text, LOCK_TEXT) == 0);
}

/* A directory without a store record. */
static int judge_unmarked(int root_fd, const char *root, bool format,
                          struct bc_options_error *error)
{
    uint32_t all;
    uint32_t foreign;
    int rc = count_entries(root_fd, &all, &foreign);

    if (rc != 0) {
        return sentence(error, rc, "posix: cannot list %.200s: %s.", root, strerror(-rc));
    }
    /* Our own lock and nothing foreign: a format that did not end. */
    if (all == 0 || (foreign == 0 && lock_is_ours(root_fd)) || format) {
        return VERDICT_FORMAT;
    }
    return sentence(error, -ENOTEMPTY,
                    "posix: %.200s is not empty and no BlueCache store; give --root an empty "
                    "directory, or --format to keep a store beside what is there.",
                    root);
}

/* enum verdict, or negative errno with a sentence. */
static int judge(int root_fd, const char *root, bool format, struct posix_store *store,
                 struct bc_options_error *error)
{
    struct bc_posix_store_record record;
    ssize_t got;

    memset(&record, 0, sizeof(record));
    got = read_start(root_fd, BC_POSIX_STORE_NAME, &record, sizeof(record));
    if (got == -ENOENT) {
        return judge_unmarked(root_fd, root, format, error);
    }
    if (got < 0) {
        return sentence(error, (int)got, "posix: cannot read %.200s/%s: %s.", root,
                        BC_POSIX_STORE_NAME, strerror((int)-got));
    }
    switch (bc_posix_store_check(&record)) {
    case BC_POSIX_STORE_FOREIGN:
        return sentence(error, -EINVAL,
                        "posix: %.200s/%s is a file of somebody else; move it away or choose "
                        "another --root.",
                        root, BC_POSIX_STORE_NAME);
    case BC_POSIX_STORE_OTHER_VERSION:
        return format
                   ? VERDICT_FORMAT
                   : sentence(error, -EINVAL,
                              "posix: %.200s is a store of format version %u, this program knows "
                              "%u; run the program that made it, or give --format to drop "
                              "its objects.",
                              root, record.version, BC_POSIX_VERSION);
    case BC_POSIX_STORE_CORRUPT:
        return format
                   ? VERDICT_FORMAT
                   : sentence(error, -EBADMSG,
                              "posix: %.200s/%s is damaged; check the disk, then give --format to "
                              "begin anew (the objects are dropped).",
                              root, BC_POSIX_STORE_NAME);
    case BC_POSIX_STORE_OK:
    default:
        break;
    }
    if (record.partitions != BC_STORE_PARTITIONS) {
        return sentence(error, -EINVAL,
                        "posix: %.200s has %u partitions, this program keeps %u; give --format to "
                        "begin anew (the objects are dropped).",
                        root, record.partitions, BC_STORE_PARTITIONS);
    }
    memcpy(store->uuid, record.uuid, sizeof(store->uuid));
    return VERDICT_OURS;
}

/* ---- steps ---- */

static int open_root(struct posix_store *store, const char *root, struct bc_options_error *error)
{
    if (root == NULL || root[0] == '\0') {
        return sentence(error, -EINVAL, "posix: tell where objects are kept: --root DIR.");
    }
    if (mkdir(root, 0700) != 0 && errno != EEXIST) {
        return sentence(error, -errno, "posix: cannot make the directory %.200s: %s.", root,
                        strerror(errno));
    }
    store->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->root_fd < 0) {
        return sentence(error, -errno, "posix: cannot open the directory %.200s: %s.", root,
                        strerror(errno));
    }
    (void)snprintf(store->root, sizeof(store->root), "%s", root);
    return 0;
}

static int lock(struct posix_store *store, struct bc_options_error *error)
{
    char text[64] = "";
    int len;
    int rc;

    store->lock_fd =
        openat(store->root_fd, BC_POSIX_LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (store->lock_fd < 0) {
        return sentence(error, -errno, "posix: cannot open %.200s/%s: %s.", store->root,
                        BC_POSIX_LOCK_NAME, strerror(errno));
    }
    if (pread(store->lock_fd, text, sizeof(text) - 1, 0) < 0) {
        return sentence(error, -errno, "posix: cannot read %.200s/%s: %s.", store->root,
                        BC_POSIX_LOCK_NAME, strerror(errno));
    }
    if (text[0] != '\0' && strncmp(text, LOCK_TEXT, strlen(LOCK_TEXT)) != 0) {
        return sentence(error, -EINVAL,
                        "posix: %.200s/%s is a file of somebody else; move it away or choose "
                        "another --root.",
                        store->root, BC_POSIX_LOCK_NAME);
    }
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        rc = -errno;
        text[strcspn(text, "\n")] = '\0';
        return sentence(error, rc,
                        "posix: %.200s is in use by another agent (pid %s); stop it or choose "
                        "another --root.",
                        store->root,
                        strlen(text) > strlen(LOCK_TEXT) ? text + strlen(LOCK_TEXT) : "unknown");
    }
    len = snprintf(text, sizeof(text), LOCK_TEXT "%ld\n", (long)getpid());
    rc = write_whole(store->lock_fd, text, (size_t)len);
    if (rc == 0 && ftruncate(store->lock_fd, len) != 0) {
        rc = -errno;
    }
    return rc == 0 ? 0
                   : sentence(error, rc, "posix: cannot write %.200s/%s: %s.", store->root,
                              BC_POSIX_LOCK_NAME, strerror(-rc));
}

/* Before a format goes on: without the lock, what it leaves when the power fails would be somebody
 * else's. */
static int flush_lock(const struct posix_store *store, struct bc_options_error *error)
{
    if (fsync(store->lock_fd) != 0 || fsync(store->root_fd) != 0) {
        return sentence(error, -errno, "posix: cannot flush %.200s/%s: %s.", store->root,
                        BC_POSIX_LOCK_NAME, strerror(errno));
    }
    return 0;
}

static int make_dir(const struct posix_store *store, const char *name,
                    struct bc_options_error *error)
{
    struct stat info;

    if (mkdirat(store->root_fd, name, 0700) != 0 && errno != EEXIST) {
        return sentence(error, -errno, "posix: cannot make the directory %.200s/%s: %s.",
                        store->root, name, strerror(errno));
    }
    if (fstatat(store->root_fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(info.st_mode)) {
        return sentence(error, -ENOTDIR, "posix: %.200s/%s is no directory; move it away.",
                        store->root, name);
    }
    return 0;
}

/* All of them at every start: one that somebody deleted is only missed objects. */
static int make_dirs(const struct posix_store *store, struct bc_options_error *error)
{
    static const char digits[] = "0123456789abcdef";
    char name[32];
    int rc = make_dir(store, BC_POSIX_TMP_NAME, error);

    if (rc == 0) {
        rc = make_dir(store, BC_POSIX_OBJECTS_NAME, error);
    }
    for (uint32_t i = 0; rc == 0 && i < BC_POSIX_DIRS; i++) {
        (void)snprintf(name, sizeof(name), "%s/%c", BC_POSIX_OBJECTS_NAME, digits[i]);
        rc = make_dir(store, name, error);
        for (uint32_t j = 0; rc == 0 && j < BC_POSIX_DIRS; j++) {
            (void)snprintf(name, sizeof(name), "%s/%c/%c", BC_POSIX_OBJECTS_NAME, digits[i],
                           digits[j]);
            rc = make_dir(store, name, error);
        }
    }
    return rc;
}

static int write_record(struct posix_store *store)
{
    struct bc_posix_store_record record;
    int fd;
    int rc;

    if (getrandom(store->uuid, sizeof(store->uuid), 0) != (ssize_t)sizeof(store->uuid)) {
        return -EIO;
    }
    bc_posix_store_encode(&record, BC_STORE_PARTITIONS, store->uuid, (uint64_t)time(NULL));
    fd = openat(store->root_fd, STORE_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                0600);
    if (fd < 0) {
        return -errno;
    }
    rc = write_whole(fd, &record, sizeof(record));
    if (rc == 0 && fsync(fd) != 0) {
        rc = -errno;
    }
    (void)close(fd);
    if (rc == 0 && renameat(store->root_fd, STORE_NEW, store->root_fd, BC_POSIX_STORE_NAME) != 0) {
        rc = -errno;
    }
    /* Directories that a power cut takes are made again at the next start. */
    if (rc == 0 && fsync(store->root_fd) != 0) {
        rc = -errno;
    }
    return rc;
}

/* "w<worker>-<number>" */
static bool is_tmp_name(const char *name)
{
    size_t len = strlen(name);
    size_t worker = len > 0 && name[0] == 'w' ? strspn(name + 1, "0123456789") : 0;

    return worker > 0 && name[1 + worker] == '-' && name[2 + worker] != '\0' &&
           strspn(name + 2 + worker, "0123456789") == len - 2 - worker;
}

static int empty_tmp(const struct posix_store *store, struct bc_options_error *error)
{
    int fd =
        openat(store->root_fd, BC_POSIX_TMP_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    uint32_t removed = 0;
    int rc = 0;

    if (dir == NULL) {
        rc = -errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return sentence(error, rc, "posix: cannot list %.200s/%s: %s.", store->root,
                        BC_POSIX_TMP_NAME, strerror(-rc));
    }
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (is_tmp_name(entry->d_name)) {
            removed++;
            rc = unlinkat(fd, entry->d_name, 0) == 0 ? 0 : -errno;
        }
    }
    (void)closedir(dir);
    if (removed > 0) {
        BC_INFO("posix", "%s: removed %u unfinished objects of the last run", store->root, removed);
    }
    return rc == 0 ? 0
                   : sentence(error, rc, "posix: cannot empty %.200s/%s: %s.", store->root,
                              BC_POSIX_TMP_NAME, strerror(-rc));
}

/* One block written and read with O_DIRECT; any other error is left for the real work to meet. */
static bool direct_works(const struct posix_store *store)
{
    int fd =
        openat(store->root_fd, PROBE_NAME, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_DIRECT, 0600);
    void *block = NULL;
    bool works = false;

    if (fd >= 0 && posix_memalign(&block, BC_POSIX_BLOCK, BC_POSIX_BLOCK) == 0) {
        memset(block, 0, BC_POSIX_BLOCK);
        works = pwrite(fd, block, BC_POSIX_BLOCK, 0) == (ssize_t)BC_POSIX_BLOCK &&
                pread(fd, block, BC_POSIX_BLOCK, 0) == (ssize_t)BC_POSIX_BLOCK;
        free(block);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    /* Also when the open failed: a file system that refuses O_DIRECT has made the file before. */
    (void)unlinkat(store->root_fd, PROBE_NAME, 0);
    return works;
}

int bc_posix_open_store(const char *root, bool format, uint32_t workers,
                        struct bc_options_error *error_out, void **store_out)
{
    struct posix_store *store = calloc(1, sizeof(*store));
    int rc;

    if (store == NULL) {
        return sentence(error_out, -ENOMEM, "posix: out of memory at start.");
    }
    store->root_fd = -1;
    store->lock_fd = -1;
    rc = open_root(store, root, error_out);
    if (rc == 0) {
        rc = judge(store->root_fd, root, format, store, error_out);
    }
    if (rc >= 0) {
        rc = lock(store, error_out);
    }
    if (rc == 0) {
        rc = judge(store->root_fd, root, format, store, error_out);
    }
    if (rc >= 0) {
        bool fresh = rc == VERDICT_FORMAT;

        rc = fresh ? flush_lock(store, error_out) : 0;
        if (rc == 0) {
            rc = make_dirs(store, error_out);
        }
        if (rc == 0 && fresh) {
            rc = write_record(store);
            if (rc != 0) {
                (void)sentence(error_out, rc, "posix: cannot format %.200s: %s.", root,
                               strerror(-rc));
            }
        }
    }
    if (rc == 0) {
        rc = empty_tmp(store, error_out);
    }
    if (rc != 0) {
        bc_posix_close_store(store);
        return rc;
    }
    store->direct = direct_works(store);
    BC_INFO("posix", "store %s, %u worker%s, %s", store->root, workers, workers == 1 ? "" : "s",
            store->direct ? "direct I/O" : "buffered: the file system does not take direct I/O");
    *store_out = store;
    return 0;
}

void bc_posix_close_store(void *opaque)
{
    struct posix_store *store = opaque;

    if (store == NULL) {
        return;
    }
    if (store->lock_fd >= 0) {
        (void)close(store->lock_fd);
    }
    if (store->root_fd >= 0) {
        (void)close(store->root_fd);
    }
    free(store);
}
