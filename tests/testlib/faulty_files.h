/* SPDX-License-Identifier: Apache-2.0 */
/* faulty_files.h - file operations that go wrong by rules (faults.h; the kinds are those of
 * file.h).
 *
 *   FAIL     nothing is done.
 *   SHORT    a write stores its first `amount` bytes, then ends with `error` (0: -ENOSPC); a read
 *            ends as if the file did after `amount` bytes; other kinds end with `error` (0: -EIO).
 *   CORRUPT  one bit, chosen by the seed, of what is written to or was read from the file; kinds
 *            without data are left alone.
 *   DELAY    starts later.
 *
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
    bool frozen; /* may be set at any time */
};

void bc_faulty_files_init(struct bc_faulty_files *files, struct bc_files *real,
                          struct bc_loop *loop, uint64_t seed);

BC_EXTERN_C_END

#endif
