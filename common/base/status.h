/* SPDX-License-Identifier: Apache-2.0 */
/* base/status.h - the statuses of bluecache/status.h, and how errno becomes one.
 * errno never goes on the wire: bc_status_from_errno is the one place where it is converted. */
#ifndef BC_BASE_STATUS_H
#define BC_BASE_STATUS_H

#include "base/compiler.h"
#include "bluecache/status.h"

BC_EXTERN_C_BEGIN

/* A negative errno (or 0) of storage or system calls as a status: -ENOENT NOT_FOUND, -EBADMSG
 * CHECKSUM, -ENOSPC and -EDQUOT NO_SPACE, -ERANGE RANGE, -ENAMETOOLONG KEY_TOO_LONG, -EFBIG
 * TOO_BIG, -ENOMEM NO_MEMORY, -ECANCELED CANCELLED, -ETIMEDOUT TIMED_OUT, -EINVAL INVALID, -EBUSY
 * and -EAGAIN BUSY, -EACCES and -EPERM DENIED, -EOPNOTSUPP NOT_SUPPORTED, -ESHUTDOWN SHUTTING_DOWN,
 * -EREMOTEIO DMA_ERROR, anything else IO_ERROR. Any thread. */
enum bc_status bc_status_from_errno(int error);

BC_EXTERN_C_END

#endif
