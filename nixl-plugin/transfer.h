/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.h - one NIXL transfer request, and the line in which posted ones wait for credits.
 *
 *            post                submitted              terminal
 *   idle ------------> waiting -------------> active -------------> done
 *    ^                    |   deadline passed, error, release         |
 *    |                    +------------------------------------------>|
 *    +------------------------- post again <--------------------------+
 *
 * A terminal status is given to NIXL only when libbluecache's request is terminal: nobody can touch
 * the memory then. Registrations count the transfers that are waiting or active on them.
 *
 * Nothing here blocks and nothing runs by itself: whatever is posted, checked or released moves the
 * whole line on, in the order of posting. Thread: every function wants the engine's lock. */
#ifndef BC_NIXL_TRANSFER_H
#define BC_NIXL_TRANSFER_H

#include <bluecache/bluecache.h>

#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

#include "nixl_api.h"
#include "objects.h"

namespace docaDmaProxy
{

/* Something that NIXL registered: memory, or the name of an object. */
struct Registration {
    nixl_mem_t type;
    uintptr_t addr;
    size_t len;
    uint64_t devId;
    bc_memory *memory = nullptr; /* DRAM_SEG and VRAM_SEG */
    size_t uses = 0;             /* entries of transfers that are waiting or active */
    bool retired = false;        /* deregistered while in use, or being deregistered */
};

enum class TransferState {
    idle,    /* prepared, never posted */
    waiting, /* posted, not submitted yet: no credits, or the agent is away */
    active,  /* submitted: the DPU may touch the memory */
    done     /* result holds */
};

struct Transfer {
    bc_op operation;
    std::vector<bc_entry> entries;
    std::vector<std::shared_ptr<Registration>> memories; /* of each entry */
    std::vector<Key> keys;                               /* what the entries point into */

    TransferState state = TransferState::idle;
    nixl_status_t result = NIXL_ERR_NOT_POSTED;
    bc_request *request = nullptr; /* while active */
    std::chrono::steady_clock::time_point deadline;
    std::chrono::steady_clock::time_point awayUntil; /* how long it waits for a lost agent */
    bool cancelled = false;                          /* by a release */
    bool orphaned = false; /* its release was refused: nobody may ever ask for it again */
};

class TransferLine
{
public:
    using Clock = std::chrono::steady_clock;

    void
    init(bc_client *client, uint64_t timeoutMs, uint64_t awayMs,
         Clock::time_point (*now)() = Clock::now)
    {
        client_ = client;
        timeout_ = std::chrono::milliseconds(timeoutMs);
        away_ = std::chrono::milliseconds(awayMs);
        now_ = now;
    }

    /* NIXL_IN_PROG, NIXL_SUCCESS or an error, as postXfer returns them. */
    nixl_status_t post(const std::shared_ptr<Transfer> &transfer);
    nixl_status_t check(const std::shared_ptr<Transfer> &transfer);
    /* True: it is over, and the caller may forget it. False: asked to end early; the line keeps it
     * until it is terminal. */
    bool release(const std::shared_ptr<Transfer> &transfer);
    /* Moves the line on. */
    void pump();

private:
    bool submitHead();
    void poll(Transfer &transfer);
    void finish(Transfer &transfer, nixl_status_t result);
    void report(const Transfer &transfer, enum bc_status status) const;

    bc_client *client_ = nullptr;
    std::chrono::milliseconds timeout_{0};
    std::chrono::milliseconds away_{0};
    Clock::time_point (*now_)() = Clock::now;
    std::deque<std::shared_ptr<Transfer>> waiting_;
    std::vector<std::shared_ptr<Transfer>> orphans_;
};

} // namespace docaDmaProxy

#endif
