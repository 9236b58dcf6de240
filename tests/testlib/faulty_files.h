/* SPDX-License-Identifier: Apache-2.0 */
/* faulty_files.h - file operations that go wrong by rules (faults.h; the kinds are those of
 * file.h).
 *
 *            WRITE                        READ                         the others
 *   FAIL     nothing is done; ends with `error` (0: -EIO)
 *   SHORT    stores `amount` bytes, ends   ends as if the file did     as FAIL
 *            with `error` (0: -ENOSPC)     after `amount` bytes
 *   CORRUPT  one bit of what is stored     one bit of what was read    -
 *   DELAY    starts later
 *   REFUSE   -                             -                           -
 *   REORDER  done, told some turns later
 *   VANISH   the twin is frozen from this operation on
 *
 * A CLOSE that fails closes the descriptor all the same, as the system does.
 * A frozen twin does nothing any more, as if the power had failed: what is submitted fails with
 * -EIO.
 * Thread: the loop's owner. Memory: one allocation for each request under way. */
#ifndef BC_TESTLIB_FAULTY_FILES_H
#define BC_TESTLIB_FAULTY_FILES_H

#include "loop/file.h"
#include "testlib/faults.h"

BC_EXTERN_C_BEGIN

struct bc_faulty_files {
    struct bc_files files; /* what is given to the code under test */
    struct bc_files *real;
    struct bc_loop *loop;
    struct bc_faults faults;
    uint64_t requests;
    uint32_t under_way;
    uint32_t in_real; /* of those, with the real files now: what real time has to pass for */
    bool frozen;      /* may be set at any time */
};

void bc_faulty_files_init(struct bc_faulty_files *files, struct bc_files *real,
                          struct bc_loop *loop, uint64_t seed);

BC_EXTERN_C_END

#endif
