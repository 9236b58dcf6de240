/* SPDX-License-Identifier: Apache-2.0 */
/* engine.h - the NIXL backend DOCA_DMA_PROXY: translates NIXL's calls for libbluecache.
 *
 * Local side: DRAM_SEG and VRAM_SEG, memory of this process. Remote side, under the agent's own
 * name: OBJ_SEG, an object of the DPU's store, named by the metadata of its registration; addr is
 * the offset in it. WRITE pushes: what one request writes to one object has to tile it and replaces
 * it. READ pulls any range.
 *
 * Thread: any number of threads, whatever sync mode the agent has. One lock guards the tables and
 * the transfers; it is held over no call that waits. registerMem, deregisterMem and queryMem wait
 * for the agent, at most timeout_ms; nothing else waits.
 * Lifetime: libbluecache's client lives as long as the engine. Errors are logged where they are
 * found; no exception leaves. */
#ifndef BC_NIXL_ENGINE_H
#define BC_NIXL_ENGINE_H

#include <bluecache/bluecache.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "handles.h"
#include "log.h"
#include "nixl_api.h"
#include "objects.h"
#include "transfer.h"

class nixlDocaDmaProxyEngine : public nixlBackendEngine
{
public:
    /* A backend that cannot work says why in the log and sets initErr. */
    explicit nixlDocaDmaProxyEngine(const nixlBackendInitParams *initParams);
    ~nixlDocaDmaProxyEngine() override;

    static nixl_mem_list_t supportedMems();

    bool supportsRemote() const override;
    bool supportsLocal() const override;
    bool supportsNotif() const override;
    nixl_mem_list_t getSupportedMems() const override;

    nixl_status_t registerMem(const nixlBlobDesc &mem, const nixl_mem_t &memType,
                              nixlBackendMD *&out) override;
    nixl_status_t deregisterMem(nixlBackendMD *meta) override;
    nixl_status_t connect(const std::string &remoteAgent) override;
    nixl_status_t disconnect(const std::string &remoteAgent) override;
    nixl_status_t unloadMD(nixlBackendMD *input) override;
    nixl_status_t loadLocalMD(nixlBackendMD *input, nixlBackendMD *&output) override;

    nixl_status_t prepXfer(const nixl_xfer_op_t &operation, const nixl_meta_dlist_t &local,
                           const nixl_meta_dlist_t &remote, const std::string &remoteAgent,
                           nixlBackendReqH *&handle,
                           const nixl_opt_b_args_t *optArgs = nullptr) const override;
    nixl_status_t postXfer(const nixl_xfer_op_t &operation, const nixl_meta_dlist_t &local,
                           const nixl_meta_dlist_t &remote, const std::string &remoteAgent,
                           nixlBackendReqH *&handle,
                           const nixl_opt_b_args_t *optArgs = nullptr) const override;
    nixl_status_t checkXfer(nixlBackendReqH *handle) const override;
    nixl_status_t releaseReqH(nixlBackendReqH *handle) const override;

    nixl_status_t queryMem(const nixl_reg_dlist_t &descs,
                           std::vector<nixl_query_resp_t> &resp) const override;

private:
    using Registration = docaDmaProxy::Registration;
    using Transfer = docaDmaProxy::Transfer;

    void open(const nixlBackendInitParams *initParams);
    nixl_status_t registerMemory(const nixlBlobDesc &mem, nixl_mem_t memType, nixlBackendMD *&out);
    nixl_status_t registerObject(const nixlBlobDesc &mem, nixlBackendMD *&out);
    nixl_status_t unregister(nixlBackendMD *meta, const Registration &memory,
                             docaDmaProxy::LogLevel level) const;
    void reapRetired() const;
    int query(const std::vector<bc_key> &keys, std::vector<bc_object_info> &infos) const;
    nixl_status_t addEntriesLocked(const nixl_meta_dlist_t &local, const nixl_meta_dlist_t &remote,
                                   Transfer &transfer) const;

    bc_client *client_ = nullptr;
    size_t entriesMax_ = 0;
    uint64_t timeoutMs_ = 0;
    uint64_t awayMs_ = 0;

    /* NIXL's transfer calls are const. */
    mutable std::mutex mutex_;
    mutable docaDmaProxy::HandleTable<nixlBackendMD, Registration> registrations_;
    mutable docaDmaProxy::HandleTable<nixlBackendReqH, Transfer> transfers_;
    mutable docaDmaProxy::TransferLine line_;
    mutable std::vector<nixlBackendMD *> retired_; /* to be let go when no longer in use */
    docaDmaProxy::ObjectTable objects_;
};

#endif
