/* SPDX-License-Identifier: Apache-2.0 */
/* objects.h - which object a device number stands for: the authority when a transfer is prepared.
 *
 * NIXL finds the remote side of a transfer by device number and range alone, and may come with
 * metadata of an earlier registration. So a number names one key as long as it is registered; a
 * second registration with another key is refused, with the same key it is counted.
 * Thread: the caller's lock. Keys are shared: who holds one keeps it alive past deregistration. */
#ifndef BC_NIXL_OBJECTS_H
#define BC_NIXL_OBJECTS_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

namespace docaDmaProxy
{

using Key = std::shared_ptr<const std::string>;

class ObjectTable
{
public:
    /* The key that a descriptor names: its metadata, or the decimal device number when that is
     * empty. */
    static std::string keyOf(uint64_t devId, const std::string &metaInfo);

    /* False: the number stands for another key, which is returned in `other`. */
    bool add(uint64_t devId, const std::string &key, Key &other);
    void remove(uint64_t devId);
    /* Null when the number is not registered. */
    Key find(uint64_t devId) const;

private:
    struct Object {
        Key key;
        size_t registrations = 0;
    };
    std::unordered_map<uint64_t, Object> objects_;
};

} // namespace docaDmaProxy

#endif
