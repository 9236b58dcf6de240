/* SPDX-License-Identifier: Apache-2.0 */
/* engine_transfer.cpp - prepares transfers; posting, checking and releasing are the line's. */
#include "engine.h"

#include "guard.h"

using docaDmaProxy::guarded;
using docaDmaProxy::Key;
using docaDmaProxy::LogLevel;
using docaDmaProxy::logLine;

namespace
{

/* Whether [addr, addr + len) lies in what was registered. */
bool
covers(const docaDmaProxy::Registration &memory, const nixlMetaDesc &desc)
{
    return desc.addr >= memory.addr && desc.addr - memory.addr <= memory.len &&
           desc.len <= memory.len - (desc.addr - memory.addr);
}

} // namespace

nixl_status_t
nixlDocaDmaProxyEngine::prepXfer(const nixl_xfer_op_t &operation, const nixl_meta_dlist_t &local,
                                 const nixl_meta_dlist_t &remote, const std::string &remoteAgent,
                                 nixlBackendReqH *&handle, const nixl_opt_b_args_t *optArgs) const
{
    handle = nullptr;
    return guarded("prepXfer", [&] {
        const size_t count = static_cast<size_t>(local.descCount());

        if ((local.getType() != DRAM_SEG && local.getType() != VRAM_SEG) ||
            remote.getType() != OBJ_SEG || remoteAgent != localAgent) {
            logLine(LogLevel::error,
                    "a transfer goes between this agent's DRAM or VRAM (local side) "
                    "and objects under its own name (remote side)");
            return NIXL_ERR_NOT_SUPPORTED;
        }
        if (optArgs != nullptr && optArgs->hasNotif) {
            logLine(LogLevel::error, "notifications are not supported");
            return NIXL_ERR_NOT_SUPPORTED;
        }
        if (count == 0 || count != static_cast<size_t>(remote.descCount()) || count > entriesMax_) {
            logLine(
                LogLevel::error,
                "a transfer of %zu local and %d remote descriptors cannot be made: both sides need "
                "the same number, from 1 to %zu",
                count, remote.descCount(), entriesMax_);
            return NIXL_ERR_INVALID_PARAM;
        }
        const auto transfer = std::make_shared<Transfer>();

        transfer->operation = operation == NIXL_WRITE ? BC_PUSH : BC_PULL;
        transfer->entries.reserve(count);
        transfer->memories.reserve(count);
        transfer->keys.reserve(count);
        const std::lock_guard<std::mutex> lock(mutex_);
        const nixl_status_t status = addEntriesLocked(local, remote, *transfer);

        if (status == NIXL_SUCCESS) {
            handle = transfers_.add(transfer);
        }
        return status;
    });
}

/* Metadata of the remote side is not looked at: it may be that of an earlier registration. */
nixl_status_t
nixlDocaDmaProxyEngine::addEntriesLocked(const nixl_meta_dlist_t &local,
                                         const nixl_meta_dlist_t &remote, Transfer &transfer) const
{
    for (size_t i = 0; i < static_cast<size_t>(local.descCount()); ++i) {
        const nixlMetaDesc &here = local[i];
        const nixlMetaDesc &there = remote[i];
        const auto memory = registrations_.find(here.metadataP);
        const Key key = objects_.find(there.devId);

        if (memory == nullptr || memory->type != local.getType() || memory->retired ||
            !covers(*memory, here)) {
            logLine(LogLevel::error, "descriptor %zu: %zu bytes at %p are not registered", i,
                    here.len, reinterpret_cast<void *>(here.addr));
            return NIXL_ERR_NOT_FOUND;
        }
        if (key == nullptr) {
            logLine(LogLevel::error,
                    "descriptor %zu: no object is registered for device number %llu", i,
                    static_cast<unsigned long long>(there.devId));
            return NIXL_ERR_NOT_FOUND;
        }
        if (here.len != there.len) {
            logLine(LogLevel::error, "descriptor %zu: %zu bytes of memory, %zu bytes of the object",
                    i, here.len, there.len);
            return NIXL_ERR_MISMATCH;
        }
        if (there.addr > BC_CLIENT_OBJECT_SIZE_MAX ||
            there.len > BC_CLIENT_OBJECT_SIZE_MAX - there.addr) {
            logLine(
                LogLevel::error,
                "descriptor %zu: %zu bytes at offset %zu of object '%s' end past the largest object",
                i, there.len, static_cast<size_t>(there.addr),
                docaDmaProxy::printable(*key).c_str());
            return NIXL_ERR_INVALID_PARAM;
        }
        transfer.entries.push_back({memory->memory, here.addr - memory->addr, key->data(),
                                    key->size(), there.addr, here.len, 0});
        transfer.memories.push_back(memory);
        transfer.keys.push_back(key);
    }
    return NIXL_SUCCESS;
}

nixl_status_t
nixlDocaDmaProxyEngine::postXfer(const nixl_xfer_op_t &, const nixl_meta_dlist_t &,
                                 const nixl_meta_dlist_t &, const std::string &,
                                 nixlBackendReqH *&handle, const nixl_opt_b_args_t *optArgs) const
{
    return guarded("postXfer", [&] {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto transfer = transfers_.find(handle);

        if (transfer == nullptr) {
            logLine(LogLevel::error, "a released transfer was posted");
            return NIXL_ERR_INVALID_PARAM;
        }
        if (optArgs != nullptr && optArgs->hasNotif) {
            return NIXL_ERR_NOT_SUPPORTED;
        }
        return line_.post(transfer);
    });
}

nixl_status_t
nixlDocaDmaProxyEngine::checkXfer(nixlBackendReqH *handle) const
{
    return guarded("checkXfer", [&] {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto transfer = transfers_.find(handle);

        return transfer == nullptr ? NIXL_ERR_INVALID_PARAM : line_.check(transfer);
    });
}

/* Refused once, NIXL calls again and takes no notice of the answer; the line then still has it. */
nixl_status_t
nixlDocaDmaProxyEngine::releaseReqH(nixlBackendReqH *handle) const
{
    return guarded("releaseReqH", [&] {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto transfer = transfers_.find(handle);

        if (transfer == nullptr) {
            return NIXL_SUCCESS;
        }
        if (!line_.release(transfer)) {
            return NIXL_ERR_REPOST_ACTIVE;
        }
        transfers_.remove(handle);
        return NIXL_SUCCESS;
    });
}
