/* SPDX-License-Identifier: Apache-2.0 */
/* engine.cpp - the backend's life, registration and queries; transfers are in
 * engine_transfer.cpp. */
#include "engine.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "guard.h"
#include "parameters.h"
#include "status.h"

using docaDmaProxy::guarded;
using docaDmaProxy::Key;
using docaDmaProxy::LogLevel;
using docaDmaProxy::logLine;
using docaDmaProxy::ObjectTable;
using docaDmaProxy::printable;

namespace
{

const char *
hintFor(int rc)
{
    switch (rc) {
    case -ENOSPC:
        return " (the agent grants no more registrations; register fewer, larger ranges)";
    case -ETIMEDOUT:
        return " (no answer from the agent within timeout_ms)";
    case -ENODEV:
        return " (no CUDA driver, or no GPU of this number)";
    case -ENOTSUP:
        return " (this GPU memory cannot be exported over PCIe)";
    default:
        return "";
    }
}

} // namespace

nixlDocaDmaProxyEngine::nixlDocaDmaProxyEngine(const nixlBackendInitParams *initParams)
    : nixlBackendEngine(initParams)
{
    if (guarded("open", [&] {
            open(initParams);
            return client_ == nullptr ? NIXL_ERR_BACKEND : NIXL_SUCCESS;
        }) != NIXL_SUCCESS) {
        initErr = true;
    }
}

nixlDocaDmaProxyEngine::~nixlDocaDmaProxyEngine()
{
    if (bc_client_close(client_) != 0) {
        logLine(LogLevel::error,
                "the agent is stopped inside a copy: its client is left behind, and "
                "memory registered with it must stay mapped");
    }
}

void
nixlDocaDmaProxyEngine::open(const nixlBackendInitParams *initParams)
{
    docaDmaProxy::Parameters parameters;
    bc_client_options options = {};
    bc_client_info info = {};
    bc_error error = {};
    std::string problem;

    if (!parseParameters(*initParams->customParams, parameters, problem)) {
        logLine(LogLevel::error, "%s", problem.c_str());
        return;
    }
    options.dpu_addr = parameters.dpuAddr.c_str();
    options.pci_addr = parameters.pciAddr.c_str();
    options.mode = parameters.mode.c_str();
    options.timeout_ms = parameters.timeoutMs;
    options.name = initParams->localAgent.c_str();
    const int rc = bc_client_open(&options, &client_, &error);

    if (rc != 0) {
        client_ = nullptr;
        logLine(LogLevel::error, "%s", error.text[0] != '\0' ? error.text : strerror(-rc));
        return;
    }
    bc_client_get_info(client_, &info);
    entriesMax_ = info.entries_max;
    timeoutMs_ = parameters.timeoutMs;
    awayMs_ = parameters.awayMs;
    line_.init(client_, timeoutMs_, awayMs_);
    logLine(LogLevel::info, "'%s' is connected to %s at %s through PCI function %s%s",
            initParams->localAgent.c_str(), info.agent, info.dpu_addr, info.pci_addr,
            info.emulated ? " (DOCA is emulated in software)" : "");
}

nixl_mem_list_t
nixlDocaDmaProxyEngine::supportedMems()
{
    return {DRAM_SEG, VRAM_SEG, OBJ_SEG};
}

bool
nixlDocaDmaProxyEngine::supportsRemote() const
{
    return false;
}

bool
nixlDocaDmaProxyEngine::supportsLocal() const
{
    return true;
}

bool
nixlDocaDmaProxyEngine::supportsNotif() const
{
    return false;
}

nixl_mem_list_t
nixlDocaDmaProxyEngine::getSupportedMems() const
{
    return supportedMems();
}

nixl_status_t
nixlDocaDmaProxyEngine::registerMem(const nixlBlobDesc &mem, const nixl_mem_t &memType,
                                    nixlBackendMD *&out)
{
    out = nullptr;
    return guarded("registerMem", [&] {
        reapRetired();
        switch (memType) {
        case DRAM_SEG:
        case VRAM_SEG:
            return registerMemory(mem, memType, out);
        case OBJ_SEG:
            return registerObject(mem, out);
        default:
            logLine(LogLevel::error, "only DRAM_SEG, VRAM_SEG and OBJ_SEG can be registered");
            return NIXL_ERR_NOT_SUPPORTED;
        }
    });
}

nixl_status_t
nixlDocaDmaProxyEngine::registerMemory(const nixlBlobDesc &mem, nixl_mem_t memType,
                                       nixlBackendMD *&out)
{
    const char *kind = memType == VRAM_SEG ? "GPU" : "host";
    const auto memory = std::make_shared<Registration>(
        Registration{memType, mem.addr, mem.len, mem.devId, nullptr, 0, true});
    nixlBackendMD *meta;

    if (mem.len == 0 || (memType == VRAM_SEG && mem.devId > UINT32_MAX)) {
        logLine(LogLevel::error, "cannot register %zu bytes of %s memory of device %llu", mem.len,
                kind, static_cast<unsigned long long>(mem.devId));
        return NIXL_ERR_INVALID_PARAM;
    }
    {
        /* Taken before, so that nothing can fail after the agent knows the memory. */
        const std::lock_guard<std::mutex> lock(mutex_);
        meta = registrations_.add(memory);
    }
    const int rc = bc_memory_register(client_, reinterpret_cast<void *>(mem.addr), mem.len,
                                      memType == VRAM_SEG ? BC_MEMORY_CUDA : BC_MEMORY_HOST,
                                      memType == VRAM_SEG ? static_cast<uint32_t>(mem.devId) : 0,
                                      &memory->memory);
    const std::lock_guard<std::mutex> lock(mutex_);

    if (rc != 0) {
        registrations_.remove(meta);
        logLine(LogLevel::error, "cannot register %zu bytes of %s memory at %p: %s%s", mem.len,
                kind, reinterpret_cast<void *>(mem.addr), strerror(-rc), hintFor(rc));
        return docaDmaProxy::fromErrno(rc);
    }
    memory->retired = false;
    out = meta;
    return NIXL_SUCCESS;
}

nixl_status_t
nixlDocaDmaProxyEngine::registerObject(const nixlBlobDesc &mem, nixlBackendMD *&out)
{
    const std::string key = ObjectTable::keyOf(mem.devId, mem.metaInfo);
    const auto registration = std::make_shared<Registration>(
        Registration{OBJ_SEG, mem.addr, mem.len, mem.devId, nullptr, 0, false});
    const std::lock_guard<std::mutex> lock(mutex_);
    Key other;

    if (key.size() > BC_CLIENT_KEY_LEN_MAX) {
        logLine(LogLevel::error, "key '%s' has %zu bytes; an object's key has at most %u",
                printable(key).c_str(), key.size(), BC_CLIENT_KEY_LEN_MAX);
        return NIXL_ERR_INVALID_PARAM;
    }
    if (!objects_.add(mem.devId, key, other)) {
        logLine(
            LogLevel::error,
            "device number %llu is registered for object '%s' and cannot name '%s' as well: NIXL "
            "tells objects apart by it, give each key its own",
            static_cast<unsigned long long>(mem.devId), printable(*other).c_str(),
            printable(key).c_str());
        return NIXL_ERR_NOT_ALLOWED;
    }
    try {
        out = registrations_.add(registration);
    } catch (...) {
        objects_.remove(mem.devId);
        throw;
    }
    return NIXL_SUCCESS;
}

nixl_status_t
nixlDocaDmaProxyEngine::deregisterMem(nixlBackendMD *meta)
{
    return guarded("deregisterMem", [&] {
        reapRetired();
        std::shared_ptr<Registration> registration;
        {
            const std::lock_guard<std::mutex> lock(mutex_);

            registration = registrations_.find(meta);
            if (registration == nullptr) {
                return NIXL_ERR_NOT_FOUND;
            }
            if (registration->type == OBJ_SEG) {
                objects_.remove(registration->devId);
                registrations_.remove(meta);
                return NIXL_SUCCESS;
            }
            if (registration->retired) {
                return NIXL_ERR_NOT_ALLOWED; /* it is being let go already */
            }
            registration->retired = true; /* no transfer starts on it from here on */
            if (registration->uses > 0) {
                /* NIXL forgets it whatever is answered, so it has to be let go later. */
                retired_.push_back(meta);
                logLine(LogLevel::error,
                        "%zu bytes at %p are deregistered while a transfer uses them: they stay "
                        "known to the agent until it has ended; keep them mapped",
                        registration->len, reinterpret_cast<void *>(registration->addr));
                return NIXL_ERR_NOT_ALLOWED;
            }
        }
        return unregister(meta, *registration, LogLevel::error);
    });
}

/* Of memory that is retired, not used by a transfer, and not in the list of those to be let go
 * later: this call alone has it. What cannot be done now goes onto that list. */
nixl_status_t
nixlDocaDmaProxyEngine::unregister(nixlBackendMD *meta, const Registration &memory,
                                   LogLevel level) const
{
    const int rc = bc_memory_unregister(client_, memory.memory);
    const std::lock_guard<std::mutex> lock(mutex_);

    if (rc != 0) {
        retired_.push_back(meta);
        logLine(level, "%zu bytes at %p cannot be deregistered yet: %s; keep them mapped",
                memory.len, reinterpret_cast<void *>(memory.addr),
                rc == -EINPROGRESS ? "the agent is stopped inside a copy" : strerror(-rc));
        return docaDmaProxy::fromErrno(rc);
    }
    registrations_.remove(meta);
    return NIXL_SUCCESS;
}

/* Waits for the agent when there is something to do: only in calls that may. */
void
nixlDocaDmaProxyEngine::reapRetired() const
{
    std::vector<std::pair<nixlBackendMD *, std::shared_ptr<Registration>>> unused;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        std::vector<nixlBackendMD *> used;

        line_.pump();
        for (nixlBackendMD *meta : retired_) {
            const auto memory = registrations_.find(meta);

            if (memory->uses == 0) {
                unused.emplace_back(meta, memory);
            } else {
                used.push_back(meta);
            }
        }
        retired_ = std::move(used);
    }
    /* What failed before is no news. One that fails again speaks for the rest, which is kept. */
    size_t done = 0;

    while (done < unused.size() &&
           unregister(unused[done].first, *unused[done].second, LogLevel::debug) == NIXL_SUCCESS) {
        ++done;
    }
    const std::lock_guard<std::mutex> lock(mutex_);

    for (size_t i = done + 1; i < unused.size(); ++i) {
        retired_.push_back(unused[i].first);
    }
}

nixl_status_t
nixlDocaDmaProxyEngine::connect(const std::string &)
{
    return NIXL_SUCCESS; /* the agent's own name: its transfers are all local to NIXL */
}

nixl_status_t
nixlDocaDmaProxyEngine::disconnect(const std::string &)
{
    return NIXL_SUCCESS;
}

nixl_status_t
nixlDocaDmaProxyEngine::loadLocalMD(nixlBackendMD *input, nixlBackendMD *&output)
{
    output = input;
    return NIXL_SUCCESS;
}

nixl_status_t
nixlDocaDmaProxyEngine::unloadMD(nixlBackendMD *)
{
    return NIXL_SUCCESS; /* it may be deregistered already; there is nothing behind it to free */
}

/* timeout_ms for an agent that is there, away_ms for one that is not: 0 asks none. */
int
nixlDocaDmaProxyEngine::query(const std::vector<bc_key> &keys,
                              std::vector<bc_object_info> &infos) const
{
    bc_client_info info = {};

    bc_client_get_info(client_, &info);
    if (!info.connected && awayMs_ == 0) {
        return -ENOTCONN;
    }
    return bc_query(client_, keys.data(), keys.size(), info.connected ? timeoutMs_ : awayMs_,
                    infos.data());
}

nixl_status_t
nixlDocaDmaProxyEngine::queryMem(const nixl_reg_dlist_t &descs,
                                 std::vector<nixl_query_resp_t> &resp) const
{
    return guarded("queryMem", [&] {
        const size_t count = static_cast<size_t>(descs.descCount());
        std::vector<std::string> texts(count);
        std::vector<bc_key> keys(count);
        std::vector<bc_object_info> infos(count);
        std::vector<nixl_query_resp_t> found(count);

        if (descs.getType() != OBJ_SEG) {
            logLine(LogLevel::error, "only objects (OBJ_SEG) can be queried");
            return NIXL_ERR_NOT_SUPPORTED;
        }
        for (size_t i = 0; i < count; ++i) {
            texts[i] = ObjectTable::keyOf(descs[i].devId, descs[i].metaInfo);
            keys[i] = {texts[i].data(), texts[i].size()};
        }
        const int rc = count == 0 ? 0 : query(keys, infos);

        if (rc != 0) {
            logLine(LogLevel::error, "query of %zu objects failed: %s", count, strerror(-rc));
            return docaDmaProxy::fromErrno(rc);
        }
        for (size_t i = 0; i < count; ++i) {
            switch (infos[i].status) {
            case BC_STATUS_OK:
                found[i] = nixl_b_params_t{{"size", std::to_string(infos[i].size)},
                                           {"version", std::to_string(infos[i].version)}};
                break;
            case BC_STATUS_NOT_FOUND:
            case BC_STATUS_CHECKSUM:
            case BC_STATUS_KEY_TOO_LONG: /* so it cannot be there */
                break;
            default:
                logLine(LogLevel::error, "query of '%s' failed: %s (%s)",
                        printable(texts[i]).c_str(), bc_status_text(infos[i].status),
                        bc_status_name(infos[i].status));
                return docaDmaProxy::fromBcStatus(infos[i].status);
            }
        }
        resp = std::move(found);
        return NIXL_SUCCESS;
    });
}
