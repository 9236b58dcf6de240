/* SPDX-License-Identifier: Apache-2.0 */
/* plugin.cpp - the entry that NIXL looks for in libplugin_DOCA_DMA_PROXY.so, or in itself where
 * the plugin was linked into it.
 * Cheap, without side effects, and to be called any number of times: NIXL loads a plugin for a
 * moment to read its parameters. Nothing happens before create_engine. Thread: any. */
#include "nixl_api.h"

#include <new>

#include "engine.h"
#include "guard.h"
#include "parameters.h"

using docaDmaProxy::guarded;

namespace
{

nixlBackendEngine *
createEngine(const nixlBackendInitParams *initParams)
{
    nixlBackendEngine *engine = nullptr;

    static_cast<void>(guarded("create", [&] {
        engine = new nixlDocaDmaProxyEngine(initParams);
        return NIXL_SUCCESS;
    }));
    return engine;
}

void
destroyEngine(nixlBackendEngine *engine)
{
    delete engine;
}

const char *
pluginName()
{
    return "DOCA_DMA_PROXY";
}

const char *
pluginVersion()
{
    return bc_version();
}

nixl_b_params_t
backendOptions()
{
    nixl_b_params_t options;

    static_cast<void>(guarded("parameters", [&] {
        options = docaDmaProxy::effectiveDefaults();
        return NIXL_SUCCESS;
    }));
    return options;
}

nixl_mem_list_t
backendMems()
{
    nixl_mem_list_t mems;

    static_cast<void>(guarded("memory types", [&] {
        mems = nixlDocaDmaProxyEngine::supportedMems();
        return NIXL_SUCCESS;
    }));
    return mems;
}

nixlBackendPlugin plugin = {NIXL_PLUGIN_API_VERSION, createEngine,   destroyEngine, pluginName,
                            pluginVersion,           backendOptions, backendMems};

} // namespace

#ifdef STATIC_PLUGIN_DOCA_DMA_PROXY
/* The name under which NIXL's core looks for a plugin that is linked into it. */
nixlBackendPlugin *createStaticDOCA_DMA_PROXYPlugin();

nixlBackendPlugin *
createStaticDOCA_DMA_PROXYPlugin()
{
    return &plugin;
}
#else
extern "C" __attribute__((visibility("default"))) nixlBackendPlugin *
nixl_plugin_init()
{
    return &plugin;
}

extern "C" __attribute__((visibility("default"))) void
nixl_plugin_fini()
{
}
#endif
