/* SPDX-License-Identifier: Apache-2.0 */
/* parameters.h - the backend's parameters (all strings), from the map that NIXL's user gave, the
 * environment, and the defaults, in that order. An empty string counts as not given. */
#ifndef BC_NIXL_PARAMETERS_H
#define BC_NIXL_PARAMETERS_H

#include <cstdint>
#include <string>

#include "nixl_api.h"

namespace docaDmaProxy
{

struct Parameters {
    std::string dpuAddr; /* empty: as libbluecache decides (environment, default) */
    std::string pciAddr;
    std::string mode;
    uint64_t timeoutMs = 0; /* always set, as the next */
    uint64_t awayMs = 0;    /* at most timeoutMs */
};

/* False with a sentence in `problem` when a name is unknown or a value does not parse. Addresses
 * and the mode are judged by libbluecache when it opens them. */
bool parseParameters(const nixl_b_params_t &given, Parameters &parameters, std::string &problem);

/* What a backend created with no parameters would use now: a user may change some of them and give
 * all of them back. */
nixl_b_params_t effectiveDefaults();

} // namespace docaDmaProxy

#endif
