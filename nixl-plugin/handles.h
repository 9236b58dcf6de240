/* SPDX-License-Identifier: Apache-2.0 */
/* handles.h - names for things that NIXL holds by pointer.
 *
 * NIXL stores and compares the metadata and request pointers of a backend and never looks behind
 * them, but it may hand back a pointer to something long gone: metadata of an object that was
 * deregistered, or a request whose release it tries once more. So what it gets are numbers dressed
 * as pointers, never used twice: a stale one is simply not found, and nothing is ever dereferenced.
 * Thread: the caller's lock. */
#ifndef BC_NIXL_HANDLES_H
#define BC_NIXL_HANDLES_H

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>

namespace docaDmaProxy
{

/* Pointer: the type that NIXL calls it; T: what it stands for. */
template <class Pointer, class T> class HandleTable
{
public:
    Pointer *
    add(std::shared_ptr<T> value)
    {
        const uintptr_t number = next_;

        table_.emplace(number, std::move(value));
        next_ += alignment;
        return reinterpret_cast<Pointer *>(number);
    }

    /* Null when it is unknown or gone. */
    std::shared_ptr<T>
    find(const Pointer *handle) const
    {
        const auto found = table_.find(reinterpret_cast<uintptr_t>(handle));

        return found == table_.end() ? nullptr : found->second;
    }

    void
    remove(const Pointer *handle)
    {
        table_.erase(reinterpret_cast<uintptr_t>(handle));
    }

private:
    static constexpr uintptr_t alignment = 16; /* as a real pointer would have it */

    uintptr_t next_ = alignment;
    std::unordered_map<uintptr_t, std::shared_ptr<T>> table_;
};

} // namespace docaDmaProxy

#endif
