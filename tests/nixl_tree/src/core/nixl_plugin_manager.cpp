/* SPDX-License-Identifier: Apache-2.0 */
/* nixl_plugin_manager.cpp - in place of NIXL's file of this name: registers the plugins that are
 * linked in, as NIXL does, and lists what they say of themselves. */
#include "backend_plugin.h"

#include <cstdio>

#define NIXL_REGISTER_STATIC_PLUGIN(plugin_type, name)              \
    extern nixl##plugin_type##Plugin *createStatic##name##Plugin(); \
    register##plugin_type##Plugin(#name, createStatic##name##Plugin);

struct nixlTelemetryPlugin {
    const char *name;
};

static nixlTelemetryPlugin buffer = {"BUFFER"};

nixlTelemetryPlugin *createStaticBUFFERPlugin()
{
    return &buffer;
}

[[maybe_unused]] static void registerBackendPlugin(const char *name, nixlBackendPlugin *(*create)())
{
    nixlBackendPlugin *plugin = create();

    std::printf("%s: %s %s, %zu memory types\n", name, plugin->get_plugin_name(),
                plugin->get_plugin_version(), plugin->get_backend_mems().size());
}

static void registerTelemetryPlugin(const char *name, nixlTelemetryPlugin *(*create)())
{
    std::printf("%s: %s\n", name, create()->name);
}

void registerBuiltinPlugins();

void registerBuiltinPlugins()
{
#ifdef STATIC_PLUGIN_POSIX
    NIXL_REGISTER_STATIC_PLUGIN(Backend, POSIX)
#endif

    NIXL_REGISTER_STATIC_PLUGIN(Telemetry, BUFFER)
}
