/* SPDX-License-Identifier: Apache-2.0 */
/* nixl_api.h - the plugin contract of NIXL: from NIXL's own headers where the build found them
 * (NIXL_ROOT), else from the project's re-declaration. Every other file of the plugin includes
 * this. */
#ifndef BC_NIXL_API_H
#define BC_NIXL_API_H

#ifdef BC_NIXL_HEADERS
#include <backend_engine.h>
#include <backend_plugin.h>
#else
#include "abi/nixl_abi.h"
#endif

#endif
