/* SPDX-License-Identifier: Apache-2.0 */
/* guard.h - keeps exceptions (memory that ran out, most likely) inside the plugin. Thread: any. */
#ifndef BC_NIXL_GUARD_H
#define BC_NIXL_GUARD_H

#include <exception>
#include <utility>

#include "log.h"
#include "nixl_api.h"

namespace docaDmaProxy
{

/* Runs `body`, which returns a nixl_status_t; what it throws becomes NIXL_ERR_BACKEND and a
 * line. */
template <class Body>
nixl_status_t
guarded(const char *what, Body &&body) noexcept
{
    try {
        return std::forward<Body>(body)();
    } catch (const std::exception &exception) {
        logLine(LogLevel::error, "%s: %s", what, exception.what());
    } catch (...) {
        logLine(LogLevel::error, "%s: an unknown exception", what);
    }
    return NIXL_ERR_BACKEND;
}

} // namespace docaDmaProxy

#endif
