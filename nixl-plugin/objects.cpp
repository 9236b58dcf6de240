/* SPDX-License-Identifier: Apache-2.0 */
/* objects.cpp - see objects.h. */
#include "objects.h"

namespace docaDmaProxy
{

std::string
ObjectTable::keyOf(uint64_t devId, const std::string &metaInfo)
{
    return metaInfo.empty() ? std::to_string(devId) : metaInfo;
}

bool
ObjectTable::add(uint64_t devId, const std::string &key, Key &other)
{
    const auto found = objects_.find(devId);

    if (found != objects_.end()) {
        if (*found->second.key != key) {
            other = found->second.key;
            return false;
        }
        ++found->second.registrations;
        return true;
    }
    objects_.emplace(devId, Object{std::make_shared<const std::string>(key), 1});
    return true;
}

void
ObjectTable::remove(uint64_t devId)
{
    const auto found = objects_.find(devId);

    if (found != objects_.end() && --found->second.registrations == 0) {
        objects_.erase(found);
    }
}

Key
ObjectTable::find(uint64_t devId) const
{
    const auto found = objects_.find(devId);

    return found == objects_.end() ? nullptr : found->second.key;
}

} // namespace docaDmaProxy
