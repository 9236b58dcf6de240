/* SPDX-License-Identifier: Apache-2.0 */
/* fake_bluecache.hpp - a libbluecache without an agent, for the plugin's unit tests: objects live
 * in a map, and the test decides when a request may start, when it ends and how. Thread: the
 * library's functions any, the members one. */
#ifndef BC_TEST_FAKE_BLUECACHE_H
#define BC_TEST_FAKE_BLUECACHE_H

#include <bluecache/bluecache.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

struct bc_client {
    bc_client_options options;
};

struct bc_memory {
    char *addr;
    size_t len;
    bc_memory_type type;
    uint32_t device;
};

struct bc_request {
    bc_op operation;
    std::vector<bc_entry> entries;
    std::vector<std::string> keys; /* copies, as the library makes them */
    bc_status status;
    bool cancelled;
    uint64_t timeoutMs;
};

struct FakeBluecache {
    std::map<std::string, std::string> objects;
    std::vector<bc_request *> requests; /* submitted and not freed */
    std::vector<bc_memory *> memories;  /* registered; the client takes them along */
    size_t clients = 0;
    size_t queries = 0;
    size_t entriesMax = 4096;

    size_t credits = SIZE_MAX; /* requests that may still be submitted */
    bool connected = true;
    bool hold = false; /* requests stay in progress until complete() */
    int openResult = 0;
    int registerResult = 0;
    int unregisterResult = 0;
    int submitResult = 0;
    int queryResult = 0;
    std::function<void()> onRegister;     /* called first, by the thread that registers */
    bc_status queryStatus = BC_STATUS_OK; /* what every key gets when it is not OK */
    std::string dpuAddr, pciAddr, mode;
    uint64_t timeoutMs = 0;
    bc_memory_type lastType = BC_MEMORY_HOST;
    uint32_t lastDevice = 0;

    /* Ends the i-th request: does what it asks for, or fails it with `status`. */
    void complete(size_t index, bc_status status = BC_STATUS_OK);
};

extern FakeBluecache fake;

#endif
