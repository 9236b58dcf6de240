/* SPDX-License-Identifier: Apache-2.0 */
/* file.h - files as whole objects: reads one into memory that the DPU can reach, and writes one so
 * that it is whole or absent.
 * Thread: main. Errors: every function prints its sentence; bool results are "it went well". */
#ifndef BC_TOOLS_FILE_H
#define BC_TOOLS_FILE_H

#include <bluecache/bluecache.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The bytes of an object; addr is from bc_memory_alloc, and is there for an empty one as well. */
struct bc_cli_blob {
    void *addr;
    uint64_t len;
    uint64_t room; /* bytes at addr */
};

bool bc_cli_blob_alloc(struct bc_cli_blob *blob, uint64_t len);
void bc_cli_blob_free(struct bc_cli_blob *blob);

/* "-" is standard input. */
struct bc_cli_source {
    const char *path;
    int fd;
    int64_t len; /* of a regular file; -1: known at its end only */
};

bool bc_cli_source_open(struct bc_cli_source *source, const char *path);
/* Reads all of it, with the progress line. */
bool bc_cli_source_read(struct bc_cli_source *source, struct bc_cli_blob *blob_out);
void bc_cli_source_close(struct bc_cli_source *source);

/* "-" is standard output. A regular file is written beside its final place as PATH.tmp.PID and
 * renamed by the commit; what is no regular file (a pipe, /dev/null) is written as it is. */
struct bc_cli_sink {
    char *path; /* symbolic links followed */
    char *temporary;
    int fd;
};

bool bc_cli_sink_open(struct bc_cli_sink *sink, const char *path);
/* With the progress line. */
bool bc_cli_sink_write(struct bc_cli_sink *sink, const struct bc_cli_blob *blob);
bool bc_cli_sink_commit(struct bc_cli_sink *sink);
/* After a commit: frees. Before: the temporary file goes as well. */
void bc_cli_sink_close(struct bc_cli_sink *sink);

#ifdef __cplusplus
}
#endif

#endif
