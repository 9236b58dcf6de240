/* SPDX-License-Identifier: Apache-2.0 */
/* power_files.h - file operations of a machine whose power fails: remembers what was written, made,
 * renamed and unlinked below one directory and not flushed since, and puts there what a disk and a
 * file system that promise nothing could have kept of it.
 *
 *   create -> wrap for each worker -> use, flush, use ... -> the power fails: everything ends in
 *   -EIO -> close what uses it -> restore -> open again -> opened -> use ...
 *
 * After a power cut, each independently of all others:
 *   - a name shows any of the files that it has shown since the last flush, or none if it had none
 *     at some time: renames and unlinks are lost or kept in any order;
 *   - a write is kept whole, in part by sectors of 512 bytes or 4 KiB, or not at all; what was not
 *     kept is what was there before, zeros, noise, or a piece of another file;
 *   - a file has its length of any moment since the last flush, or one between.
 * What a flush found done is as it was then. How much order is left is drawn for each cut: from a
 * journal that keeps all of it to nothing at all. The same seed and the same operations give the
 * same loss.
 *
 * Thread: bc_power_flush any; all else the owner of the loops (several loops may be turned by one
 * thread). Memory: a copy of what was written; freed by restore and destroy. Errors: the twin
 * asserts where the real system calls must not fail. */
#ifndef BC_TESTLIB_POWER_FILES_H
#define BC_TESTLIB_POWER_FILES_H

#include "loop/file.h"

BC_EXTERN_C_BEGIN

struct bc_power;

/* root: paths of requests are below it; it holds nothing yet that will be named. */
struct bc_power *bc_power_create(const char *root, uint64_t seed);
void bc_power_destroy(struct bc_power *power);

/* The files to use on this loop. Valid until the next restore, destroy, or wrap for this worker. */
#define BC_POWER_WORKERS_MAX 4u
struct bc_files *bc_power_wrap(struct bc_power *power, uint32_t worker, struct bc_loop *loop,
                               struct bc_files *real);

/* The power fails at the n-th request from now (1: the next one); 0: not. */
void bc_power_fail_at(struct bc_power *power, uint64_t n);
void bc_power_fail(struct bc_power *power);
bool bc_power_failed(struct bc_power *power);
/* Requests whose real operation has not ended. */
uint32_t bc_power_under_way(struct bc_power *power);

/* A flush of the whole file system: what has ended is safe. 0, or -EIO without power. */
int bc_power_flush(struct bc_power *power);

/* Nothing is under way (asserted), no file is open. Afterwards there is power, and all that is there
 * is safe. */
void bc_power_restore(struct bc_power *power);
/* The store was opened: what is no longer there was removed without these files, and is not
 * flushed. */
void bc_power_opened(struct bc_power *power);

/* What the last restore did, in a few words; for messages. */
const char *bc_power_story(const struct bc_power *power);

BC_EXTERN_C_END

#endif
