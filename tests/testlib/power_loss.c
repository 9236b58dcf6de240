/* SPDX-License-Identifier: Apache-2.0 */
/* power_loss.c - what a power cut leaves: draws how much order the file system kept, then for each
 * name a file, for each file its bytes, and puts that below the root.
 *
 * A lost piece of a file is never filled with an older file of the same name: that one could be
 * whole, and no store can tell it from one that was kept. Thread: while nothing is under way. */
#include "testlib/power_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR_LEN 512u
#define BLOCK_LEN  4096u

enum order {
    ORDER_KEPT = 0, /* all until a moment, nothing after it */
    ORDER_RANDOM = 1,
    ORDER_ALL = 2,
    ORDER_NONE = 3,
    ORDER_COUNT
};

enum lengths { LENGTHS_WRITTEN = 0, LENGTHS_SAFE = 1, LENGTHS_BETWEEN = 2, LENGTHS_COUNT };

enum filling { FILLING_ZEROS = 0, FILLING_NOISE = 1, FILLING_OTHERS = 2, FILLING_COUNT };

/* How this cut is. */
struct loss {
    struct bc_power *power;
    enum order names;
    enum order writes;
    uint64_t piece_len; /* of a write that are kept or lost together; UINT64_MAX: all of it */
    enum lengths lengths;
    enum filling filling;
    uint64_t moment;
    uint32_t keep; /* of 1,000 */
};

static uint64_t draw(struct loss *loss, uint64_t below)
{
    return bc_faults_random(&loss->power->random) % below;
}

static void draw_loss(struct loss *loss)
{
    static const char *const orders[] = {"in order", "at random", "all", "none"};
    static const char *const lengths[] = {"as written", "safe", "between"};
    static const char *const fillings[] = {"zeros", "noise", "others"};
    static const uint64_t pieces[] = {SECTOR_LEN, BLOCK_LEN, UINT64_MAX};
    struct bc_power *power = loss->power;
    uint32_t piece = (uint32_t)draw(loss, BC_ARRAY_LEN(pieces));

    loss->names = (enum order)draw(loss, ORDER_COUNT);
    loss->writes = (enum order)draw(loss, ORDER_COUNT);
    loss->piece_len = pieces[piece];
    /* Half of all: a file that is too short is easily told. */
    loss->lengths = draw(loss, 2) == 0 ? LENGTHS_WRITTEN : (enum lengths)draw(loss, LENGTHS_COUNT);
    loss->filling = (enum filling)draw(loss, FILLING_COUNT);
    loss->moment = draw(loss, power->number + 1);
    loss->keep = (uint32_t)(50 + draw(loss, 900));
    (void)snprintf(power->story, sizeof(power->story),
                   "names kept %s, writes %s (pieces: %s), lengths %s, holes filled with %s",
                   orders[loss->names], orders[loss->writes],
                   piece == 0   ? "sectors"
                   : piece == 1 ? "blocks"
                                : "whole",
                   lengths[loss->lengths], fillings[loss->filling]);
}

/* ---- bytes ---- */

static bool is_kept(struct loss *loss, enum order order, uint64_t number)
{
    switch (order) {
    case ORDER_KEPT:
        return number <= loss->moment;
    case ORDER_RANDOM:
        return draw(loss, 1000) < loss->keep;
    case ORDER_ALL:
        return true;
    case ORDER_NONE:
    default:
        return false;
    }
}

static bool lies_elsewhere(const struct power_file *file, const struct power_name *name)
{
    return !file->moved && file->home != NULL && file->home != name && file->image_len > 0;
}

/* A block of some file of another name; NULL: there is none. */
static const uint8_t *foreign_block(struct loss *loss, const struct power_name *name)
{
    uint64_t count = 0;
    uint64_t skip;
    struct power_file *file;

    for (file = loss->power->files; file != NULL; file = file->next) {
        count += lies_elsewhere(file, name) && file->image_len >= BLOCK_LEN;
    }
    if (count == 0) {
        return NULL;
    }
    skip = draw(loss, count);
    for (file = loss->power->files; file != NULL; file = file->next) {
        if (lies_elsewhere(file, name) && file->image_len >= BLOCK_LEN && skip-- == 0) {
            break;
        }
    }
    return file->image + draw(loss, file->image_len / BLOCK_LEN) * BLOCK_LEN;
}

static void fill(struct loss *loss, const struct power_name *name, uint8_t *data, uint64_t len)
{
    uint64_t at;

    memset(data, 0, len);
    for (at = 0; loss->filling == FILLING_NOISE && at + 8 <= len; at += 8) {
        uint64_t noise = bc_faults_random(&loss->power->random);

        memcpy(data + at, &noise, 8);
    }
    for (at = 0; loss->filling == FILLING_OTHERS && at < len; at += BLOCK_LEN) {
        const uint8_t *block = foreign_block(loss, name);

        if (block != NULL) {
            memcpy(data + at, block, (size_t)bc_min_u64(BLOCK_LEN, len - at));
        }
    }
}

static void keep_pieces(struct loss *loss, uint8_t *data, const struct power_write *write)
{
    uint64_t at = 0;

    while (at < write->len) {
        uint64_t len = bc_min_u64(loss->piece_len, write->len - at);

        if (is_kept(loss, loss->writes, write->number)) {
            memcpy(data + write->offset + at, write->data + at, len);
        }
        at += len;
    }
}

static uint64_t written_len(struct loss *loss, const struct power_file *file)
{
    uint64_t len = file->len;

    for (struct bc_list_node *node = bc_list_first(&file->writes); node != NULL;
         node = bc_list_next(&file->writes, node)) {
        const struct power_write *write = BC_CONTAINER_OF(node, struct power_write, node);

        if (loss->writes != ORDER_KEPT || write->number <= loss->moment) {
            len = bc_max_u64(len, write->offset + write->len);
        }
    }
    return len;
}

/* The file's bytes after the cut, under this name. */
static struct power_file *lose(struct loss *loss, const struct power_name *name,
                               const struct power_file *file)
{
    struct power_file *left = calloc(1, sizeof(*left));
    uint64_t len = written_len(loss, file);
    uint64_t all_len = file->image_len;

    BC_ASSERT(left != NULL);
    bc_list_init(&left->writes);
    left->data = calloc(1, all_len + 1);
    BC_ASSERT(left->data != NULL && file->len <= all_len && len <= all_len);
    if (file->len > 0) {
        memcpy(left->data, file->data, file->len);
    }
    fill(loss, name, left->data + file->len, all_len - file->len);
    for (struct bc_list_node *node = bc_list_first(&file->writes); node != NULL;
         node = bc_list_next(&file->writes, node)) {
        keep_pieces(loss, left->data, BC_CONTAINER_OF(node, struct power_write, node));
    }
    if (loss->lengths == LENGTHS_SAFE && loss->writes != ORDER_KEPT) {
        len = file->len;
    } else if (loss->lengths == LENGTHS_BETWEEN && loss->writes != ORDER_KEPT) {
        len = file->len + draw(loss, (len - file->len) / SECTOR_LEN + 1) * SECTOR_LEN;
    }
    left->len = len;
    return left;
}

/* What the file was to be: where others' lost pieces may come from. */
static void draw_image(struct power_file *file)
{
    struct bc_list_node *node;

    file->image_len = file->len;
    for (node = bc_list_first(&file->writes); node != NULL;
         node = bc_list_next(&file->writes, node)) {
        const struct power_write *write = BC_CONTAINER_OF(node, struct power_write, node);

        file->image_len = bc_max_u64(file->image_len, write->offset + write->len);
    }
    file->image = calloc(1, file->image_len + 1);
    BC_ASSERT(file->image != NULL);
    if (file->len > 0) {
        memcpy(file->image, file->data, file->len);
    }
    for (node = bc_list_first(&file->writes); node != NULL;
         node = bc_list_next(&file->writes, node)) {
        const struct power_write *write = BC_CONTAINER_OF(node, struct power_write, node);

        memcpy(file->image + write->offset, write->data, write->len);
    }
}

/* ---- names ---- */

static struct power_file *choose(struct loss *loss, const struct power_name *name)
{
    uint32_t last = 0;

    switch (loss->names) {
    case ORDER_KEPT:
        for (uint32_t i = 1; i < name->count; i++) {
            last = name->values[i].number <= loss->moment ? i : last;
        }
        return name->values[last].file;
    case ORDER_RANDOM:
        return name->values[draw(loss, name->count)].file;
    case ORDER_ALL:
        return name->values[name->count - 1].file;
    case ORDER_NONE:
    default:
        return name->values[0].file;
    }
}

static void put_file(const struct bc_power *power, const struct power_name *name,
                     const struct power_file *file)
{
    int fd;
    uint64_t at = 0;

    BC_ASSERT(unlinkat(power->root_fd, name->path, 0) == 0 || errno == ENOENT);
    if (file == NULL) {
        return;
    }
    fd = openat(power->root_fd, name->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    BC_ASSERT(fd >= 0);
    while (at < file->len) {
        ssize_t wrote = write(fd, file->data + at, file->len - at);

        BC_ASSERT(wrote > 0);
        at += (uint64_t)wrote;
    }
    (void)close(fd);
}

static void free_names(struct power_name *names)
{
    struct power_name *next;

    for (; names != NULL; names = next) {
        next = names->next;
        free(names);
    }
}

static void free_files(struct power_file *files)
{
    struct power_file *next;

    for (; files != NULL; files = next) {
        next = files->next;
        bc_power_file_free(files);
    }
}

void bc_power_forget(struct bc_power *power)
{
    free_names(power->names);
    free_files(power->files);
    power->names = NULL;
    power->files = NULL;
}

void bc_power_restore(struct bc_power *power)
{
    struct loss loss = {.power = power};
    struct power_name *names = power->names;
    struct power_file *files = power->files;
    struct power_file *kept = NULL;
    struct power_name *kept_names = NULL;

    BC_ASSERT(power->under_way == 0);
    draw_loss(&loss);
    for (struct power_file *file = files; file != NULL; file = file->next) {
        draw_image(file);
    }
    for (struct power_name *name = names; name != NULL; name = name->next) {
        struct power_file *file = choose(&loss, name);
        struct power_file *left = file == NULL ? NULL : lose(&loss, name, file);

        put_file(power, name, left);
        if (left != NULL) {
            struct power_name *kept_name;

            left->next = kept;
            kept = left;
            power->names = kept_names;
            kept_name = bc_power_name(power, name->path);
            kept_name->values[0].file = left;
            left->home = strncmp(name->path, "tmp/", 4) == 0 ? NULL : kept_name;
            kept_names = power->names;
        }
    }
    free_names(names);
    free_files(files);
    power->names = kept_names;
    power->files = kept;
    memset(power->open, 0, sizeof(power->open));
    power->fail_in = 0;
    power->failed = false;
}
