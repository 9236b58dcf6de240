/* SPDX-License-Identifier: Apache-2.0 */
/* nixl_abi.h - what a storage plugin and NIXL's core have to agree on in memory, declared afresh
 * for builds that have no NIXL tree at hand (NIXL's wheels bring no headers).
 *
 * It is a re-declaration from the observed layout of the wheels 1.1.0 to 1.5.1, all of plugin API
 * version 1: enum values, the order of members, the order of the 27 slots of the engine's vtable. A
 * build with NIXL's own headers (NIXL_ROOT) is the reference. Two tests watch over this one: the
 * slots are compared with those of the wheel's own POSIX plugin, and transfers run through the real
 * wheels.
 *
 * Only what the plugin touches has members; the rest is named so that signatures keep their mangled
 * form. Descriptor lists are made by the core and only read here: their other virtual functions are
 * left out, so a list made with this header must never be given to the core. */
#ifndef BC_NIXL_ABI_H
#define BC_NIXL_ABI_H

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

/* ---- values and plain types ---------------------------------------------------------------- */

enum nixl_mem_t { DRAM_SEG = 0, VRAM_SEG = 1, BLK_SEG = 2, OBJ_SEG = 3, FILE_SEG = 4 };

enum nixl_xfer_op_t { NIXL_READ = 0, NIXL_WRITE = 1 };

enum nixl_status_t {
    NIXL_ERR_NO_TELEMETRY = -12,
    NIXL_ERR_CANCELED = -11,
    NIXL_ERR_REMOTE_DISCONNECT = -10,
    NIXL_ERR_NOT_SUPPORTED = -9,
    NIXL_ERR_UNKNOWN = -8,
    NIXL_ERR_REPOST_ACTIVE = -7,
    NIXL_ERR_NOT_ALLOWED = -6,
    NIXL_ERR_MISMATCH = -5,
    NIXL_ERR_NOT_FOUND = -4,
    NIXL_ERR_BACKEND = -3,
    NIXL_ERR_INVALID_PARAM = -2,
    NIXL_ERR_NOT_POSTED = -1,
    NIXL_SUCCESS = 0,
    NIXL_IN_PROG = 1
};

enum class nixl_thread_sync_t : int;
enum class nixl_cost_t : int;
struct nixlAgentOptionalArgs;

using nixl_backend_t = std::string;
using nixl_blob_t = std::string;
using nixl_b_params_t = std::unordered_map<std::string, std::string>;
using nixl_mem_list_t = std::vector<nixl_mem_t>;
using nixl_query_resp_t = std::optional<nixl_b_params_t>;
using nixl_opt_args_t = nixlAgentOptionalArgs;
using notif_list_t = std::vector<std::pair<std::string, std::string>>;
using nixlMemViewH = void *;

/* ---- descriptors --------------------------------------------------------------------------- */

class nixlBasicDesc
{
public:
    uintptr_t addr;
    size_t len;
    uint64_t devId;
};

class nixlBlobDesc : public nixlBasicDesc
{
public:
    nixl_blob_t metaInfo;
};

/* Opaque to the core, which only stores and compares pointers to it. */
class nixlBackendMD
{
public:
    explicit nixlBackendMD(bool isPrivate) : isPrivateMD(isPrivate) {}
    virtual ~nixlBackendMD() = default;

protected:
    bool isPrivateMD;
};

class nixlMetaDesc : public nixlBasicDesc
{
public:
    nixlBackendMD *metadataP;
};

struct nixlRemoteMetaDesc;

template <class T> class nixlDescList
{
public:
    nixlDescList(nixl_mem_t memType, std::vector<T> elements)
        : type(memType), descs(std::move(elements))
    {
    }
    virtual ~nixlDescList() = default;

    nixl_mem_t
    getType() const
    {
        return type;
    }

    int
    descCount() const
    {
        return static_cast<int>(descs.size());
    }

    const T &
    operator[](size_t index) const
    {
        return descs[index];
    }

protected:
    nixl_mem_t type;
    std::vector<T> descs;
};

using nixl_meta_dlist_t = nixlDescList<nixlMetaDesc>;
using nixl_reg_dlist_t = nixlDescList<nixlBlobDesc>;
using nixl_remote_meta_dlist_t = nixlDescList<nixlRemoteMetaDesc>;

/* ---- what the core hands to an engine ------------------------------------------------------ */

class nixlBackendInitParams
{
public:
    std::string localAgent;
    nixl_backend_t type;
    nixl_b_params_t *customParams;
    bool enableProgTh;
    uint64_t pthrDelay; /* microseconds */
    nixl_thread_sync_t syncMode;
    bool enableTelemetry_;
};

struct nixlBackendOptionalArgs {
    nixl_blob_t notifMsg;
    bool hasNotif = false;
    nixl_blob_t customParam;
};
using nixl_opt_b_args_t = nixlBackendOptionalArgs;

/* Opaque to the core as well. */
class nixlBackendReqH
{
public:
    nixlBackendReqH() = default;
    virtual ~nixlBackendReqH() = default;
};

/* ---- the engine: the order of its virtual functions is the ABI ------------------------------ */

class nixlBackendEngine
{
private:
    nixl_backend_t backendType_;
    nixl_b_params_t customParams_;
    std::vector<unsigned char> telemetryEvents_; /* its element type differs between versions */
    std::mutex telemetryMutex_;

protected:
    bool initErr = false;
    const std::string localAgent;
    const bool enableTelemetry_;

public:
    explicit nixlBackendEngine(const nixlBackendInitParams *params)
        : backendType_(params->type), customParams_(*params->customParams),
          localAgent(params->localAgent), enableTelemetry_(params->enableTelemetry_)
    {
    }
    nixlBackendEngine(const nixlBackendEngine &) = delete;
    nixlBackendEngine &operator=(const nixlBackendEngine &) = delete;

    virtual ~nixlBackendEngine() = default; /* two slots */

    bool
    getInitErr() const noexcept
    {
        return initErr;
    }

    virtual bool supportsRemote() const = 0;
    virtual bool supportsLocal() const = 0;
    virtual bool supportsNotif() const = 0;
    virtual nixl_mem_list_t getSupportedMems() const = 0;

    virtual nixl_status_t registerMem(const nixlBlobDesc &, const nixl_mem_t &,
                                      nixlBackendMD *&) = 0;
    virtual nixl_status_t deregisterMem(nixlBackendMD *) = 0;
    virtual nixl_status_t connect(const std::string &) = 0;
    virtual nixl_status_t disconnect(const std::string &) = 0;
    virtual nixl_status_t unloadMD(nixlBackendMD *) = 0;

    virtual nixl_status_t prepXfer(const nixl_xfer_op_t &, const nixl_meta_dlist_t &,
                                   const nixl_meta_dlist_t &, const std::string &,
                                   nixlBackendReqH *&,
                                   const nixl_opt_b_args_t * = nullptr) const = 0;
    virtual nixl_status_t postXfer(const nixl_xfer_op_t &, const nixl_meta_dlist_t &,
                                   const nixl_meta_dlist_t &, const std::string &,
                                   nixlBackendReqH *&,
                                   const nixl_opt_b_args_t * = nullptr) const = 0;
    virtual nixl_status_t checkXfer(nixlBackendReqH *) const = 0;
    virtual nixl_status_t releaseReqH(nixlBackendReqH *) const = 0;

    /* From here on optional: the defaults refuse, as those of the core do. */
    virtual nixl_status_t
    prepMemView(const nixl_remote_meta_dlist_t &, nixlMemViewH &,
                const nixl_opt_b_args_t * = nullptr) const
    {
        return NIXL_ERR_NOT_SUPPORTED;
    }
    virtual nixl_status_t
    prepMemView(const nixl_meta_dlist_t &, nixlMemViewH &,
                const nixl_opt_b_args_t * = nullptr) const
    {
        return NIXL_ERR_NOT_SUPPORTED;
    }
    virtual void
    releaseMemView(nixlMemViewH) const
    {
    }
    virtual nixl_status_t
    getPublicData(const nixlBackendMD *, std::string &) const
    {
        return NIXL_ERR_BACKEND;
    }
    virtual nixl_status_t
    getConnInfo(std::string &) const
    {
        return NIXL_ERR_BACKEND;
    }
    virtual nixl_status_t
    loadRemoteConnInfo(const std::string &, const std::string &)
    {
        return NIXL_ERR_BACKEND;
    }
    virtual nixl_status_t
    loadRemoteMD(const nixlBlobDesc &, const nixl_mem_t &, const std::string &, nixlBackendMD *&)
    {
        return NIXL_ERR_BACKEND;
    }
    virtual nixl_status_t
    loadLocalMD(nixlBackendMD *, nixlBackendMD *&)
    {
        return NIXL_ERR_BACKEND;
    }
    virtual nixl_status_t
    getNotifs(notif_list_t &)
    {
        return NIXL_ERR_BACKEND;
    }
    virtual nixl_status_t
    genNotif(const std::string &, const std::string &) const
    {
        return NIXL_ERR_BACKEND;
    }
    virtual nixl_status_t
    queryMem(const nixl_reg_dlist_t &, std::vector<nixl_query_resp_t> &) const
    {
        return NIXL_ERR_NOT_SUPPORTED;
    }
    virtual nixl_status_t
    estimateXferCost(const nixl_xfer_op_t &, const nixl_meta_dlist_t &, const nixl_meta_dlist_t &,
                     const std::string &, nixlBackendReqH *const &, std::chrono::microseconds &,
                     std::chrono::microseconds &, nixl_cost_t &,
                     const nixl_opt_args_t * = nullptr) const
    {
        return NIXL_ERR_NOT_SUPPORTED;
    }
};

/* ---- the plugin's entry --------------------------------------------------------------------- */

#define NIXL_PLUGIN_API_VERSION 1

class nixlBackendPlugin
{
public:
    int api_version;
    nixlBackendEngine *(*create_engine)(const nixlBackendInitParams *);
    void (*destroy_engine)(nixlBackendEngine *);
    const char *(*get_plugin_name)();
    const char *(*get_plugin_version)();
    nixl_b_params_t (*get_backend_options)();
    nixl_mem_list_t (*get_backend_mems)();
};

#if defined(__LP64__) && defined(__GLIBCXX__)
static_assert(sizeof(nixlBasicDesc) == 24, "address, length, device");
static_assert(sizeof(nixlBlobDesc) == 56, "a descriptor and a string");
static_assert(sizeof(nixlMetaDesc) == 32, "a descriptor and a pointer");
static_assert(sizeof(nixl_meta_dlist_t) == 40, "vtable, type, vector");
static_assert(sizeof(nixlBackendInitParams) == 96, "as the core fills it");
static_assert(sizeof(nixlBackendOptionalArgs) == 72, "two strings and a flag");
// A mutex has 40 bytes on x86-64 and 48 on 64-bit ARM.
static_assert(sizeof(nixlBackendEngine) == 168 + sizeof(std::mutex),
              "the part of an engine that the core reads");
static_assert(sizeof(nixlBackendPlugin) == 56, "seven fields");
#endif

#endif
