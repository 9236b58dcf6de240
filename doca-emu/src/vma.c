/* SPDX-License-Identifier: Apache-2.0 */
/* vma.c - reads /proc/self/maps. */
#include "vma.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

/* One line: "start-end perms offset major:minor inode   path". */
struct area {
    uint64_t start;
    uint64_t end;
    uint64_t offset;
    uint64_t dev;
    uint64_t ino;
    char perms[5];
    const char *path;
};

static bool parse_area(const char *line, struct area *area)
{
    unsigned major = 0;
    unsigned minor = 0;
    int used = 0;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n", &area->start,
               &area->end, area->perms, &area->offset, &major, &minor, &area->ino, &used) != 7) {
        return false;
    }
    area->dev = makedev(major, minor);
    area->path = line + used;
    return true;
}

static bool is_private_anon(const struct area *area)
{
    bool named_anon = strncmp(area->path, "[anon:", 6) == 0;
    return strncmp(area->perms, "rw-p", 4) == 0 && area->ino == 0 &&
           (area->path[0] == '\n' || area->path[0] == '\0' || named_anon);
}

/* Takes the next area of the range into the summary; `at` is the address not yet covered. */
static void add_area(struct emu_vma *sum, const struct area *area, uint64_t start, uint64_t at)
{
    bool shared_file = area->perms[3] == 's' && area->ino != 0;
    uint64_t offset = area->offset + (at - area->start);
    if (at == start) {
        *sum = (struct emu_vma){
            .readable = area->perms[0] == 'r',
            .writable = area->perms[1] == 'w',
            .private_anon = is_private_anon(area),
            .shared_file = shared_file,
            .file_dev = area->dev,
            .file_ino = area->ino,
            .file_offset = offset,
            .first_start = area->start,
            .first_end = area->end,
        };
        return;
    }
    sum->readable = sum->readable && area->perms[0] == 'r';
    sum->writable = sum->writable && area->perms[1] == 'w';
    sum->private_anon = sum->private_anon && is_private_anon(area);
    sum->shared_file = sum->shared_file && shared_file && area->dev == sum->file_dev &&
                       area->ino == sum->file_ino && offset == sum->file_offset + (at - start);
}

bool emu_vma_scan(uint64_t start, uint64_t len, struct emu_vma *out)
{
    FILE *file = fopen("/proc/self/maps", "re");
    if (file == NULL) {
        return false;
    }
    struct emu_vma sum = {.readable = false};
    uint64_t at = start;
    uint64_t end = start + len;
    char *line = NULL;
    size_t size = 0;
    while (at < end && getline(&line, &size, file) > 0) {
        struct area area;
        if (!parse_area(line, &area) || area.end <= at) {
            continue;
        }
        if (area.start > at) {
            break;
        }
        add_area(&sum, &area, start, at);
        at = area.end;
    }
    free(line);
    fclose(file);
    if (at < end) {
        return false;
    }
    *out = sum;
    return true;
}

bool emu_vma_maps_file(uint64_t dev, uint64_t ino)
{
    FILE *file = fopen("/proc/self/maps", "re");
    if (file == NULL) {
        return true; /* cannot tell: the careful answer */
    }
    bool found = false;
    char *line = NULL;
    size_t size = 0;
    while (!found && getline(&line, &size, file) > 0) {
        struct area area;
        found = parse_area(line, &area) && area.ino == ino && area.dev == dev;
    }
    free(line);
    fclose(file);
    return found;
}
