/* SPDX-License-Identifier: Apache-2.0 */
/* status.h - the one place where libbluecache's results become NIXL's. */
#ifndef BC_NIXL_STATUS_H
#define BC_NIXL_STATUS_H

#include <bluecache/status.h>

#include "nixl_api.h"

namespace docaDmaProxy
{

/* What a request or an entry ended with. A failed checksum is a miss for the caller: the block has
 * to be computed again, just as one that is not there. */
nixl_status_t fromBcStatus(enum bc_status status);

/* A negative errno of a function of libbluecache. */
nixl_status_t fromErrno(int rc);

} // namespace docaDmaProxy

#endif
