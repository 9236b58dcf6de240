/* SPDX-License-Identifier: Apache-2.0 */
/* file.c - see file.h. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "progress.h"
#include "units.h"

#define STEP       (UINT64_C(4) << 20) /* between looks at the progress line and at signals */
#define FIRST_ROOM (UINT64_C(1) << 20)

/* ---- memory -------------------------------------------------------------------------------- */

bool bc_cli_blob_alloc(struct bc_cli_blob *blob, uint64_t len)
{
    uint64_t room = len == 0 ? 1 : len;
    char size[BC_CLI_UNITS_LEN];
    int rc = bc_memory_alloc(room, &blob->addr);

    if (rc != 0) {
        bc_cli_error("no memory for %s: %s", bc_cli_size(size, room), strerror(-rc));
        blob->addr = NULL;
        return false;
    }
    blob->len = len;
    blob->room = room;
    return true;
}

void bc_cli_blob_free(struct bc_cli_blob *blob)
{
    bc_memory_free(blob->addr);
    blob->addr = NULL;
}

/* ---- reading ------------------------------------------------------------------------------- */

static bool too_large(const struct bc_cli_source *source)
{
    bc_cli_error("%s is larger than 1 GiB, which is the most an object can have; cut it, for "
                 "example with split -b 1G",
                 source->path);
    return false;
}

bool bc_cli_source_open(struct bc_cli_source *source, const char *path)
{
    struct stat status;

    *source = (struct bc_cli_source){.path = path, .fd = STDIN_FILENO, .len = -1};
    if (strcmp(path, "-") == 0) {
        source->path = "standard input";
    } else {
        source->fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (source->fd < 0 || fstat(source->fd, &status) != 0) {
        bc_cli_error("%s: %m", source->path);
        bc_cli_source_close(source);
        return false;
    }
    /* Files under /proc say 0 and have bytes; a redirected file may have been read in part. */
    if (S_ISREG(status.st_mode) && status.st_size > 0 && source->fd != STDIN_FILENO) {
        source->len = status.st_size;
        if ((uint64_t)status.st_size > BC_CLIENT_OBJECT_SIZE_MAX) {
            bc_cli_source_close(source);
            return too_large(source);
        }
    }
    return true;
}

void bc_cli_source_close(struct bc_cli_source *source)
{
    if (source->fd > STDERR_FILENO) {
        (void)close(source->fd);
    }
    source->fd = -1;
}

/* Reads until the room is used up or the end: 1 at the end, 0 when there may be more, -1. */
static int read_into(struct bc_cli_source *source, struct bc_cli_blob *blob)
{
    while (blob->len < blob->room) {
        uint64_t want = blob->room - blob->len < STEP ? blob->room - blob->len : STEP;
        ssize_t got = read(source->fd, (char *)blob->addr + blob->len, want);

        if (bc_cli_interrupted()) {
            bc_cli_error("interrupted");
            return -1;
        }
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            bc_cli_error("%s: %m", source->path);
            return -1;
        }
        if (got == 0) {
            return 1;
        }
        blob->len += (uint64_t)got;
        bc_cli_progress_update(
            blob->len, source->len > 0 ? (int32_t)(blob->len * 1000 / (uint64_t)source->len) : -1);
    }
    return 0;
}

/* Twice the room, with what was read; never more than what shows that it is too much. */
static bool grow(struct bc_cli_blob *blob)
{
    struct bc_cli_blob larger;
    uint64_t room = 2 * blob->room;

    if (room > BC_CLIENT_OBJECT_SIZE_MAX) {
        room = BC_CLIENT_OBJECT_SIZE_MAX + 1;
    }
    if (!bc_cli_blob_alloc(&larger, room)) {
        return false;
    }
    memcpy(larger.addr, blob->addr, blob->len);
    larger.len = blob->len;
    bc_cli_blob_free(blob);
    *blob = larger;
    return true;
}

/* A file of known length gets one byte more room, in which nothing must arrive. */
bool bc_cli_source_read(struct bc_cli_source *source, struct bc_cli_blob *blob_out)
{
    struct bc_cli_blob blob;
    int rc;

    if (!bc_cli_blob_alloc(&blob, source->len >= 0 ? (uint64_t)source->len + 1 : FIRST_ROOM)) {
        return false;
    }
    blob.len = 0;
    while ((rc = read_into(source, &blob)) == 0) {
        if (source->len >= 0 || blob.len > BC_CLIENT_OBJECT_SIZE_MAX) {
            break;
        }
        if (!grow(&blob)) {
            rc = -1;
            break;
        }
    }
    if (rc >= 0 && source->len >= 0 && blob.len != (uint64_t)source->len) {
        bc_cli_error("%s was changed while it was read", source->path);
        rc = -1;
    } else if (rc >= 0 && blob.len > BC_CLIENT_OBJECT_SIZE_MAX) {
        (void)too_large(source);
        rc = -1;
    }
    if (rc < 0) {
        bc_cli_blob_free(&blob);
        return false;
    }
    *blob_out = blob;
    return true;
}

/* ---- writing ------------------------------------------------------------------------------- */

static bool open_beside(struct bc_cli_sink *sink)
{
    if (asprintf(&sink->temporary, "%s.tmp.%ld", sink->path, (long)getpid()) < 0) {
        sink->temporary = NULL;
        bc_cli_error("out of memory");
        return false;
    }
    sink->fd = open(sink->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (sink->fd < 0) {
        bc_cli_error("%s: %m", sink->temporary);
        free(sink->temporary);
        sink->temporary = NULL; /* it is not ours to remove */
        return false;
    }
    return true;
}

bool bc_cli_sink_open(struct bc_cli_sink *sink, const char *path)
{
    struct stat status;
    bool good;

    *sink = (struct bc_cli_sink){.fd = -1};
    if (strcmp(path, "-") == 0) {
        sink->path = strdup("standard output");
        sink->fd = STDOUT_FILENO;
        return sink->path != NULL;
    }
    /* A link is followed by hand: the rename would replace it instead of the file it leads to. */
    sink->path = realpath(path, NULL);
    if (sink->path == NULL) {
        sink->path = strdup(path);
    }
    if (sink->path == NULL) {
        bc_cli_error("out of memory");
        return false;
    }
    if (stat(sink->path, &status) == 0 && !S_ISREG(status.st_mode)) {
        sink->fd = open(sink->path, O_WRONLY | O_CLOEXEC);
        good = sink->fd >= 0;
        if (!good) {
            bc_cli_error("%s: %m", path);
        }
    } else {
        good = open_beside(sink);
    }
    if (!good) {
        bc_cli_sink_close(sink);
    }
    return good;
}

bool bc_cli_sink_write(struct bc_cli_sink *sink, const struct bc_cli_blob *blob)
{
    for (uint64_t done = 0; done < blob->len;) {
        uint64_t want = blob->len - done < STEP ? blob->len - done : STEP;
        ssize_t written = write(sink->fd, (const char *)blob->addr + done, want);

        if (bc_cli_interrupted()) {
            bc_cli_error("interrupted");
            return false;
        }
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            bc_cli_error("%s: %m", sink->path);
            return false;
        }
        done += (uint64_t)written;
        bc_cli_progress_update(done, (int32_t)(done * 1000 / blob->len));
    }
    return true;
}

bool bc_cli_sink_commit(struct bc_cli_sink *sink)
{
    int rc = sink->fd > STDERR_FILENO ? close(sink->fd) : 0;

    sink->fd = -1;
    if (rc == 0 && sink->temporary != NULL) {
        rc = rename(sink->temporary, sink->path);
        if (rc == 0) {
            free(sink->temporary);
            sink->temporary = NULL;
        }
    }
    if (rc != 0) {
        bc_cli_error("%s: %m", sink->path);
    }
    return rc == 0;
}

void bc_cli_sink_close(struct bc_cli_sink *sink)
{
    if (sink->fd > STDERR_FILENO) {
        (void)close(sink->fd);
    }
    if (sink->temporary != NULL) {
        (void)unlink(sink->temporary);
    }
    free(sink->temporary);
    free(sink->path);
    *sink = (struct bc_cli_sink){.fd = -1};
}
