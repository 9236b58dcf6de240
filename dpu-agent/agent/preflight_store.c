/* SPDX-License-Identifier: Apache-2.0 */
/* preflight_store.c - see preflight.h: the directory that posix keeps its files in. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent/preflight.h"

#define GIB      (UINT64_C(1) << 30)
#define PATH_LEN 4096

static const struct {
    uint32_t magic;
    const char *name;
    const char *advice; /* NULL: fit for a store */
} file_systems[] = {
    {0xef53, "ext4", NULL},
    {0x58465342, "xfs", NULL},
    {0x9123683e, "btrfs", NULL},
    {0xf2f52010, "f2fs", NULL},
    {0x2fc12fc1, "zfs", NULL},
    {0x01021994, "tmpfs", "it is memory, and gone after a restart: -b dram, or a disk"},
    {0x858458f6, "ramfs", "it is memory, and gone after a restart: -b dram, or a disk"},
    {0x794c7630, "overlay", "it is a container's layer: mount a volume at --root"},
    {0x6969, "nfs", "its locks and its O_DIRECT are a server's: use a local disk"},
    {0xff534d42, "cifs", "its locks and its O_DIRECT are a server's: use a local disk"},
};

/* ---- looking ------------------------------------------------------------------------------- */

/* A file without a name: nothing stays. */
static void try_direct(const char *dir, struct bc_store_place *place)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_DIRECT, 0600);

    if (fd >= 0) {
        place->direct = true;
        place->direct_known = true;
        (void)close(fd);
        return;
    }
    if (errno == EINVAL) { /* no O_DIRECT, or no files without a name: which one? */
        fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        place->direct_known = fd >= 0;
        if (fd >= 0) {
            (void)close(fd);
        }
    }
}

/* --root, or what a start would make it in. */
static int find_dir(const char *root, char dir[PATH_LEN], bool *exists_out)
{
    struct stat info;
    char *slash;

    (void)snprintf(dir, PATH_LEN, "%s", root);
    *exists_out = stat(dir, &info) == 0;
    if (*exists_out) {
        return S_ISDIR(info.st_mode) ? 0 : -ENOTDIR;
    }
    if (errno != ENOENT) {
        return -errno;
    }
    slash = strrchr(dir, '/');
    if (slash == NULL) {
        (void)snprintf(dir, PATH_LEN, ".");
    } else {
        slash[slash == dir ? 1 : 0] = '\0';
    }
    if (stat(dir, &info) != 0) {
        return -errno;
    }
    return S_ISDIR(info.st_mode) ? 0 : -ENOTDIR;
}

void bc_store_place_look(const char *root, struct bc_store_place *place_out)
{
    struct bc_store_place place = {.root = root, .file_system = "unknown"};
    char dir[PATH_LEN];
    struct statfs kind;
    struct statvfs size;

    place.error = find_dir(root, dir, &place.exists);
    if (place.error != 0) {
        *place_out = place;
        return;
    }
    place.write_error = access(dir, R_OK | W_OK | X_OK) == 0 ? 0 : -errno;
    if (place.write_error == 0) {
        try_direct(dir, &place);
    }
    if (statfs(dir, &kind) == 0) {
        for (size_t i = 0; i < BC_ARRAY_LEN(file_systems); i++) {
            if (file_systems[i].magic == (uint32_t)kind.f_type) {
                place.file_system = file_systems[i].name;
            }
        }
    }
    if (statvfs(dir, &size) == 0) {
        place.total = (uint64_t)size.f_blocks * size.f_frsize;
        place.free = (uint64_t)size.f_bavail * size.f_frsize;
    }
    *place_out = place;
}

/* ---- what it means ------------------------------------------------------------------------- */

static bool check_root(struct bc_preflight *preflight, const struct bc_store_place *place)
{
    if (place->error != 0) {
        bc_preflight_row(preflight, BC_PREFLIGHT_FAIL, "store",
                         place->error == -ENOENT ? "mkdir -p it, or give another --root"
                                                 : "give another --root",
                         "%s cannot be used: %s", place->root, strerror(-place->error));
        return false;
    }
    if (place->write_error != 0) {
        bc_preflight_row(preflight, BC_PREFLIGHT_FAIL, "store",
                         place->write_error == -EROFS
                             ? "mount it for writing; in a unit, ReadWritePaths="
                             : "chown it to the agent's user, or give another --root",
                         "%s cannot be written: %s", place->root, strerror(-place->write_error));
        return false;
    }
    bc_preflight_row(preflight, BC_PREFLIGHT_OK, "store", NULL, "%s%s", place->root,
                     place->exists ? "" : " is not there; a start makes it");
    return true;
}

static void check_file_system(struct bc_preflight *preflight, const struct bc_store_place *place)
{
    const char *advice = NULL;

    for (size_t i = 0; i < BC_ARRAY_LEN(file_systems); i++) {
        if (strcmp(file_systems[i].name, place->file_system) == 0) {
            advice = file_systems[i].advice;
        }
    }
    bc_preflight_row(preflight, advice != NULL ? BC_PREFLIGHT_WARN : BC_PREFLIGHT_OK, "file system",
                     advice, "%s", place->file_system);
    if (place->direct) {
        bc_preflight_row(preflight, BC_PREFLIGHT_OK, "direct I/O", NULL, "works");
    } else if (place->direct_known) {
        bc_preflight_row(preflight, BC_PREFLIGHT_WARN, "direct I/O", "use ext4 or xfs",
                         "not on this file system: all goes through the page cache");
    } else {
        bc_preflight_row(preflight, BC_PREFLIGHT_OK, "direct I/O", NULL,
                         "cannot be tried without leaving a file; the log of a start tells");
    }
}

static void check_space(struct bc_preflight *preflight, const struct bc_store_place *place)
{
    uint64_t capacity = preflight->options->capacity_bytes;
    double total = (double)place->total / (double)GIB;
    double left = (double)place->free / (double)GIB;

    if (place->total == 0) {
        bc_preflight_row(preflight, BC_PREFLIGHT_WARN, "space", "give --capacity",
                         "the file system does not tell its size");
    } else if (capacity > place->total) {
        bc_preflight_row(preflight, BC_PREFLIGHT_WARN, "space", "give less by --capacity",
                         "%.1f GiB in all; --capacity is %.1f GiB", total,
                         (double)capacity / (double)GIB);
    } else if (place->free < place->total / 20) {
        bc_preflight_row(preflight, BC_PREFLIGHT_WARN, "space",
                         "free some, unless it is the store itself that fills it",
                         "%.1f GiB free of %.1f GiB: a full file system is no_space", left, total);
    } else {
        bc_preflight_row(preflight, BC_PREFLIGHT_OK, "space", NULL, "%.1f GiB free of %.1f GiB",
                         left, total);
    }
}

void bc_preflight_store(struct bc_preflight *preflight, const struct bc_store_place *place)
{
    if (check_root(preflight, place)) {
        check_file_system(preflight, place);
        check_space(preflight, place);
    }
}
