/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.cpp - see transfer.h. */
#include "transfer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "log.h"
#include "status.h"

namespace docaDmaProxy
{

namespace
{

const char *
nameOf(bc_op operation)
{
    return operation == BC_PUSH ? "push" : "pull";
}

std::string
keyOf(const bc_entry &entry)
{
    return printable(std::string(static_cast<const char *>(entry.key), entry.key_len));
}

/* A miss and a cancel are answers that somebody asked for; the rest is a lost operation. */
LogLevel
levelOf(enum bc_status status)
{
    return status == BC_STATUS_NOT_FOUND || status == BC_STATUS_CANCELLED ? LogLevel::info
                                                                          : LogLevel::error;
}

} // namespace

nixl_status_t
TransferLine::post(const std::shared_ptr<Transfer> &transfer)
{
    if (transfer->orphaned || transfer->state == TransferState::waiting ||
        transfer->state == TransferState::active) {
        return NIXL_ERR_REPOST_ACTIVE;
    }
    for (size_t i = 0; i < transfer->memories.size(); ++i) {
        if (transfer->memories[i]->retired) {
            logLine(LogLevel::error,
                    "the memory of '%s' was deregistered after the transfer had been "
                    "prepared; prepare it again",
                    keyOf(transfer->entries[i]).c_str());
            transfer->state = TransferState::done;
            transfer->result = NIXL_ERR_NOT_FOUND;
            return transfer->result;
        }
    }
    waiting_.push_back(transfer);
    for (const auto &memory : transfer->memories) {
        ++memory->uses;
    }
    transfer->state = TransferState::waiting;
    transfer->result = NIXL_IN_PROG;
    transfer->cancelled = false;
    transfer->deadline = now_() + timeout_;
    transfer->awayUntil = transfer->deadline - timeout_ + away_;
    pump();
    return transfer->result;
}

nixl_status_t
TransferLine::check(const std::shared_ptr<Transfer> &transfer)
{
    pump();
    if (transfer->state == TransferState::active) {
        poll(*transfer);
    }
    return transfer->result;
}

bool
TransferLine::release(const std::shared_ptr<Transfer> &transfer)
{
    pump();
    if (transfer->state == TransferState::waiting) {
        waiting_.erase(std::find(waiting_.begin(), waiting_.end(), transfer));
        finish(*transfer, NIXL_ERR_CANCELED);
    }
    if (transfer->state == TransferState::active) {
        if (!transfer->cancelled) {
            bc_request_cancel(transfer->request);
            transfer->cancelled = true;
        }
        poll(*transfer);
    }
    if (transfer->state == TransferState::active && !transfer->orphaned) {
        /* NIXL may take a refused release for the last word, so the line looks after it from
         * here. */
        orphans_.push_back(transfer);
        transfer->orphaned = true;
    }
    return transfer->state != TransferState::active;
}

void
TransferLine::pump()
{
    while (!waiting_.empty() && submitHead()) {}
    for (const auto &orphan : orphans_) {
        if (orphan->state == TransferState::active) {
            poll(*orphan);
        }
    }
    orphans_.erase(std::remove_if(orphans_.begin(), orphans_.end(),
                                  [](const std::shared_ptr<Transfer> &orphan) {
                                      return orphan->state != TransferState::active;
                                  }),
                   orphans_.end());
}

/* True when the head left the line, one way or the other. All wait equally long, so that the head's
 * deadlines are the first to pass. */
bool
TransferLine::submitHead()
{
    const std::shared_ptr<Transfer> transfer = waiting_.front();
    const auto now = now_();
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(transfer->deadline - now);
    bc_submit_options options = {};
    int rc;

    options.timeout_ms = static_cast<uint64_t>(std::max<int64_t>(left.count(), 1));
    rc = bc_submit_try(client_, transfer->operation, transfer->entries.data(),
                       transfer->entries.size(), &options, &transfer->request);
    if ((rc == -EAGAIN && left.count() > 0) || (rc == -ENOTCONN && transfer->awayUntil > now)) {
        return false;
    }
    waiting_.pop_front();
    if (rc == 0) {
        transfer->state = TransferState::active;
        return true;
    }
    logLine(LogLevel::error, "%s of '%s' (%zu entries) was not started: %s",
            nameOf(transfer->operation), keyOf(transfer->entries.front()).c_str(),
            transfer->entries.size(),
            rc == -EAGAIN ? "other requests used up what the agent grants until timeout_ms passed"
            : rc == -ENOTCONN ? "the agent is away, and did not come back within away_ms"
                              : strerror(-rc));
    finish(*transfer, fromErrno(rc));
    return true;
}

void
TransferLine::poll(Transfer &transfer)
{
    const enum bc_status status = bc_request_test(transfer.request);

    if (status == BC_STATUS_IN_PROGRESS) {
        return;
    }
    report(transfer, status);
    finish(transfer, fromBcStatus(status));
}

void
TransferLine::finish(Transfer &transfer, nixl_status_t result)
{
    if (transfer.request != nullptr) {
        /* Terminal, or it would not be here: this cannot be refused. */
        static_cast<void>(bc_request_free(transfer.request));
        transfer.request = nullptr;
    }
    for (const auto &memory : transfer.memories) {
        --memory->uses;
    }
    transfer.state = TransferState::done;
    transfer.result = result;
}

void
TransferLine::report(const Transfer &transfer, enum bc_status status) const
{
    if (status == BC_STATUS_OK) {
        return;
    }
    size_t first = 0;

    while (first + 1 < transfer.entries.size() &&
           bc_request_entry_status(transfer.request, first) == BC_STATUS_OK) {
        ++first;
    }
    logLine(levelOf(status), "%s of '%s' failed: %s (%s; entry %zu of %zu)",
            nameOf(transfer.operation), keyOf(transfer.entries[first]).c_str(),
            bc_status_text(status), bc_status_name(status), first, transfer.entries.size());
}

} // namespace docaDmaProxy
