/* SPDX-License-Identifier: Apache-2.0 */
/* status.cpp - see status.h. */
#include "status.h"

#include <cerrno>

namespace docaDmaProxy
{

nixl_status_t
fromBcStatus(enum bc_status status)
{
    switch (status) {
    case BC_STATUS_OK:
        return NIXL_SUCCESS;
    case BC_STATUS_IN_PROGRESS:
        return NIXL_IN_PROG;
    case BC_STATUS_NOT_FOUND:
    case BC_STATUS_CHECKSUM:
        return NIXL_ERR_NOT_FOUND;
    case BC_STATUS_RANGE:
    case BC_STATUS_TILING:
    case BC_STATUS_KEY_TOO_LONG:
    case BC_STATUS_TOO_BIG:
    case BC_STATUS_INVALID:
        return NIXL_ERR_INVALID_PARAM;
    case BC_STATUS_DENIED:
    case BC_STATUS_LIMIT:
        return NIXL_ERR_NOT_ALLOWED;
    case BC_STATUS_NOT_SUPPORTED:
        return NIXL_ERR_NOT_SUPPORTED;
    case BC_STATUS_CANCELLED:
        return NIXL_ERR_CANCELED;
    case BC_STATUS_DISCONNECTED:
    case BC_STATUS_SHUTTING_DOWN:
        return NIXL_ERR_REMOTE_DISCONNECT;
    default: /* storage, DMA, memory, time: the backend failed */
        return NIXL_ERR_BACKEND;
    }
}

nixl_status_t
fromErrno(int rc)
{
    switch (rc) {
    case 0:
        return NIXL_SUCCESS;
    case -EINVAL:
    case -EFAULT:
        return NIXL_ERR_INVALID_PARAM;
    case -ENOTSUP:
    case -ENODEV:
        return NIXL_ERR_NOT_SUPPORTED;
    case -EBUSY:
    case -EINPROGRESS:
        return NIXL_ERR_NOT_ALLOWED;
    case -ENOTCONN:
    case -ECONNREFUSED:
        return NIXL_ERR_REMOTE_DISCONNECT;
    default:
        return NIXL_ERR_BACKEND;
    }
}

} // namespace docaDmaProxy
