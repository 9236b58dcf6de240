/* SPDX-License-Identifier: Apache-2.0 */
/* nixl_log.h - takes the place of NIXL's header of this name while the plugin is built with NIXL's
 * own headers: theirs needs Abseil, and a plugin that logs through Abseil is tied to the one
 * version of it that the core was linked with. What their inline functions would log is dropped;
 * the plugin has a log of its own (log.h). */
#ifndef BC_NIXL_COMPAT_LOG_H
#define BC_NIXL_COMPAT_LOG_H

namespace bcNixlCompat
{
struct Discard {
    template <class T>
    const Discard &
    operator<<(const T &) const
    {
        return *this;
    }
};
} // namespace bcNixlCompat

#define NIXL_TRACE ::bcNixlCompat::Discard()
#define NIXL_DEBUG ::bcNixlCompat::Discard()
#define NIXL_INFO  ::bcNixlCompat::Discard()
#define NIXL_WARN  ::bcNixlCompat::Discard()
#define NIXL_ERROR ::bcNixlCompat::Discard()
#define NIXL_ASSERT(condition) \
    (static_cast<void>(sizeof((condition) ? 1 : 0)), ::bcNixlCompat::Discard())

#endif
