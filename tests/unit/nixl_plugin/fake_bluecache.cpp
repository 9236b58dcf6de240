/* SPDX-License-Identifier: Apache-2.0 */
/* fake_bluecache.cpp - see fake_bluecache.hpp. */
#include "fake_bluecache.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <mutex>

FakeBluecache fake;

namespace
{

/* The library is thread-safe, so the fake is. */
std::recursive_mutex everything;
using Locked = std::lock_guard<std::recursive_mutex>;

bc_status perform(bc_request &request)
{
    if (request.operation == BC_PUSH) {
        std::map<std::string, std::string> pushed;

        for (size_t i = 0; i < request.entries.size(); ++i) {
            const bc_entry &entry = request.entries[i];
            std::string &object = pushed[request.keys[i]];

            object.resize(std::max<size_t>(object.size(), entry.object_offset + entry.length));
            object.replace(entry.object_offset, entry.length,
                           entry.memory->addr + entry.memory_offset, entry.length);
        }
        for (const auto &[key, value] : pushed) {
            fake.objects[key] = value;
        }
        return BC_STATUS_OK;
    }
    for (size_t i = 0; i < request.entries.size(); ++i) {
        const bc_entry &entry = request.entries[i];
        const auto found = fake.objects.find(request.keys[i]);

        if (found == fake.objects.end()) {
            return BC_STATUS_NOT_FOUND;
        }
        if (entry.object_offset + entry.length > found->second.size()) {
            return BC_STATUS_RANGE;
        }
        memcpy(entry.memory->addr + entry.memory_offset, found->second.data() + entry.object_offset,
               entry.length);
    }
    return BC_STATUS_OK;
}

} // namespace

void FakeBluecache::complete(size_t index, bc_status status)
{
    const Locked locked(everything);

    bc_request &request = *requests.at(index);

    request.status = status == BC_STATUS_OK ? perform(request) : status;
}

int bc_client_open(const bc_client_options *options, bc_client **client_out, bc_error *error)
{
    const Locked locked(everything);

    fake.dpuAddr = options->dpu_addr;
    fake.pciAddr = options->pci_addr;
    fake.mode = options->mode;
    fake.timeoutMs = options->timeout_ms;
    if (fake.openResult != 0) {
        snprintf(error->text, sizeof(error->text), "no agent at %s", options->dpu_addr);
        return fake.openResult;
    }
    ++fake.clients;
    *client_out = new bc_client{*options};
    return 0;
}

int bc_client_close(bc_client *client)
{
    const Locked locked(everything);

    if (client != nullptr) {
        for (bc_request *request : fake.requests) {
            delete request;
        }
        for (bc_memory *memory : fake.memories) {
            delete memory;
        }
        fake.requests.clear();
        fake.memories.clear();
        --fake.clients;
        delete client;
    }
    return 0;
}

void bc_client_get_info(bc_client *, bc_client_info *info_out)
{
    const Locked locked(everything);

    *info_out = {};
    info_out->connected = fake.connected;
    info_out->entries_max = static_cast<uint32_t>(fake.entriesMax);
}

int bc_memory_register(bc_client *, void *addr, size_t len, bc_memory_type type, uint32_t device,
                       bc_memory **memory_out)
{
    if (fake.onRegister) {
        fake.onRegister();
    }
    const Locked locked(everything);

    if (fake.registerResult != 0) {
        return fake.registerResult;
    }
    fake.lastType = type;
    fake.lastDevice = device;
    *memory_out = new bc_memory{static_cast<char *>(addr), len, type, device};
    fake.memories.push_back(*memory_out);
    return 0;
}

int bc_memory_unregister(bc_client *, bc_memory *memory)
{
    const Locked locked(everything);

    if (fake.unregisterResult != 0) {
        return fake.unregisterResult;
    }
    fake.memories.erase(std::find(fake.memories.begin(), fake.memories.end(), memory));
    delete memory;
    return 0;
}

int bc_submit_try(bc_client *, bc_op op, const bc_entry *entries, size_t count,
                  const bc_submit_options *options, bc_request **request_out)
{
    const Locked locked(everything);

    if (!fake.connected) {
        return -ENOTCONN;
    }
    if (fake.submitResult != 0) {
        return fake.submitResult;
    }
    if (fake.credits == 0) {
        return -EAGAIN;
    }
    --fake.credits;
    auto *request = new bc_request{op,    {entries, entries + count}, {}, BC_STATUS_IN_PROGRESS,
                                   false, options->timeout_ms};

    for (const bc_entry &entry : request->entries) {
        request->keys.emplace_back(static_cast<const char *>(entry.key), entry.key_len);
    }
    if (!fake.hold) {
        request->status = perform(*request);
    }
    fake.requests.push_back(request);
    *request_out = request;
    return 0;
}

bc_status bc_request_test(bc_request *request)
{
    const Locked locked(everything);

    return request->status;
}

bc_status bc_request_entry_status(const bc_request *request, size_t)
{
    const Locked locked(everything);

    return request->status;
}

void bc_request_cancel(bc_request *request)
{
    const Locked locked(everything);

    request->cancelled = true;
}

int bc_request_free(bc_request *request)
{
    const Locked locked(everything);

    if (request->status == BC_STATUS_IN_PROGRESS) {
        return -EBUSY;
    }
    fake.requests.erase(std::find(fake.requests.begin(), fake.requests.end(), request));
    delete request;
    return 0;
}

int bc_query(bc_client *, const bc_key *keys, size_t count, uint64_t, bc_object_info *infos_out)
{
    const Locked locked(everything);

    ++fake.queries;
    for (size_t i = 0; i < count && fake.queryResult == 0; ++i) {
        const auto found =
            fake.objects.find(std::string(static_cast<const char *>(keys[i].data), keys[i].len));

        infos_out[i] = {BC_STATUS_NOT_FOUND, 0, 0};
        if (fake.queryStatus != BC_STATUS_OK) {
            infos_out[i].status = fake.queryStatus;
        } else if (found != fake.objects.end()) {
            infos_out[i] = {BC_STATUS_OK, found->second.size(), 5};
        }
    }
    return fake.queryResult;
}

const char *bc_version(void)
{
    return "0.0.0";
}
