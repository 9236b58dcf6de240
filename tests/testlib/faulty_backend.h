/* SPDX-License-Identifier: Apache-2.0 */
/* faulty_backend.h - a store that goes wrong by rules (faults.h), around another one.
 *
 *              PUT_BEGIN, PUT_LEASE   PUT_CHUNK, COMMIT,     OPEN                   GET_CHUNK
 *                                     QUERY, REMOVE, FLUSH
 *   FAIL       the call fails         nothing is done; ends with `error` (0: -EIO) ...
 *   SHORT      LEASE: `amount` bytes  done, but said to      as FAIL                shows `amount` bytes
 *              at most; BEGIN: -      have failed                                   at most
 *   CORRUPT    -                      CHUNK: one bit of what -                      -
 *                                     is kept goes wrong
 *   DELAY      as REFUSE, for that    starts later ...
 *              long
 *   REFUSE     -EAGAIN, then `ready`  -                      ends with -EAGAIN      -EAGAIN, then `ready`
 *   REORDER    -                      done, told some turns later ...
 *   VANISH     every call from now on fails as by FAIL; what is open can be given back
 *
 * put_unlease, put_abort, get_release, get_close, iterate, group_drop, group_told, stop and destroy always
 * work: they cannot fail.
 * A failed COMMIT frees its handle, as any commit does. CORRUPT strikes after the chunk was checksummed, in
 * the extent, and so only in a store that keeps the extent (dram); for others faulty_files does it.
 * SHORT rounds down to 64 KiB, but not to 0.
 * The twin counts what is open, so that a test can see that nothing was forgotten.
 *
 * Thread: the loop's owner. Memory: one allocation for each handle and each operation under way. */
#ifndef BC_TESTLIB_FAULTY_BACKEND_H
#define BC_TESTLIB_FAULTY_BACKEND_H

#include "backend/backend.h"
#include "testlib/faults.h"

BC_EXTERN_C_BEGIN

enum bc_faulty_backend_kind {
    BC_FAULTY_PUT_BEGIN = 0,
    BC_FAULTY_PUT_LEASE = 1,
    BC_FAULTY_PUT_CHUNK = 2,
    BC_FAULTY_PUT_COMMIT = 3,
    BC_FAULTY_GET_OPEN = 4,
    BC_FAULTY_GET_CHUNK = 5,
    BC_FAULTY_QUERY = 6,
    BC_FAULTY_REMOVE = 7,
    BC_FAULTY_FLUSH = 8,
    BC_FAULTY_BACKEND_KINDS
};

struct bc_faulty_backend {
    struct bc_backend backend; /* what is given to the code under test */
    struct bc_backend *real;
    struct bc_loop *loop;
    struct bc_staging *staging;
    struct bc_faults faults;
    struct bc_task ready_task;
    struct bc_timer ready_timer;
    uint64_t operations;
    uint32_t under_way;
    uint32_t puts_open;
    uint32_t leases_open; /* leased, and neither given to put_chunk nor unleased */
    uint32_t gets_open;
    uint32_t views_open;
    bool vanished; /* may be set at any time; false again: it is back */
};

/* Takes over real->ready and real->group_dropped. staging: what `real` leases from; NULL: nothing is corrupted. Destroying the twin
 * destroys the real one, not the object itself. */
void bc_faulty_backend_init(struct bc_faulty_backend *backend, struct bc_backend *real,
                            struct bc_loop *loop, struct bc_staging *staging, uint64_t seed);

BC_EXTERN_C_END

#endif
