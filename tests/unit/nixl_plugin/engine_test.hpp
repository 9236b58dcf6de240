/* SPDX-License-Identifier: Apache-2.0 */
/* engine_test.hpp - an engine over the fake library, driven as NIXL's core drives it. */
#ifndef BC_TEST_ENGINE_TEST_H
#define BC_TEST_ENGINE_TEST_H

#include <cstdarg>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
extern "C" {
#include <cmocka.h>
}

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine.h"
#include "fake_bluecache.hpp"

class EngineUnderTest
{
  public:
    explicit EngineUnderTest(nixl_b_params_t params = {}) : params_(std::move(params))
    {
        initParams_.localAgent = "agent";
        initParams_.type = "DOCA_DMA_PROXY";
        initParams_.customParams = &params_;
        engine = std::make_unique<nixlDocaDmaProxyEngine>(&initParams_);
    }

    nixlBackendMD *registerMemory(void *addr, size_t len, nixl_mem_t type = DRAM_SEG,
                                  uint64_t devId = 0)
    {
        return registerDesc(reinterpret_cast<uintptr_t>(addr), len, devId, "", type);
    }

    nixlBackendMD *registerObject(uint64_t devId, const std::string &key, size_t len = 1 << 20)
    {
        return registerDesc(0, len, devId, key, OBJ_SEG);
    }

    nixlBackendMD *registerDesc(uintptr_t addr, size_t len, uint64_t devId,
                                const std::string &metaInfo, nixl_mem_t type)
    {
        nixlBlobDesc desc;
        nixlBackendMD *meta = nullptr;

        desc.addr = addr;
        desc.len = len;
        desc.devId = devId;
        desc.metaInfo = metaInfo;
        status = engine->registerMem(desc, type, meta);
        return meta;
    }

    static nixlMetaDesc desc(uintptr_t addr, size_t len, uint64_t devId, nixlBackendMD *meta)
    {
        nixlMetaDesc made;

        made.addr = addr;
        made.len = len;
        made.devId = devId;
        made.metadataP = meta;
        return made;
    }

    static nixlMetaDesc desc(const void *addr, size_t len, uint64_t devId, nixlBackendMD *meta)
    {
        return desc(reinterpret_cast<uintptr_t>(addr), len, devId, meta);
    }

    nixlBackendReqH *prep(nixl_xfer_op_t operation, std::vector<nixlMetaDesc> local,
                          std::vector<nixlMetaDesc> remote, nixl_mem_t localType = DRAM_SEG)
    {
        const nixl_meta_dlist_t locals(localType, std::move(local));
        const nixl_meta_dlist_t remotes(OBJ_SEG, std::move(remote));
        nixlBackendReqH *handle = nullptr;

        status = engine->prepXfer(operation, locals, remotes, "agent", handle);
        return handle;
    }

    nixl_status_t post(nixlBackendReqH *handle)
    {
        const nixl_meta_dlist_t none(DRAM_SEG, {});

        return engine->postXfer(NIXL_WRITE, none, none, "agent", handle);
    }

    /* As getXferStatus does: post, then check while in progress. */
    nixl_status_t run(nixlBackendReqH *handle)
    {
        nixl_status_t result = post(handle);

        return result == NIXL_IN_PROG ? engine->checkXfer(handle) : result;
    }

    std::unique_ptr<nixlDocaDmaProxyEngine> engine;
    nixl_status_t status = NIXL_SUCCESS; /* of the last register or prep */

  private:
    nixl_b_params_t params_;
    nixlBackendInitParams initParams_ = {};
};

#endif
