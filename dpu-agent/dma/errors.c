/* SPDX-License-Identifier: Apache-2.0 */
/* errors.c - the one place where an error of the SDK becomes an errno. */
#include "dma/internal.h"

#include <errno.h>

int bc_dma_errno(doca_error_t error)
{
    switch (error) {
    case DOCA_SUCCESS:
        return 0;
    case DOCA_ERROR_NO_MEMORY:
        return -ENOMEM;
    case DOCA_ERROR_INVALID_VALUE:
        return -EINVAL;
    case DOCA_ERROR_NOT_SUPPORTED:
        return -EOPNOTSUPP;
    case DOCA_ERROR_NOT_PERMITTED:
        return -EACCES;
    case DOCA_ERROR_NOT_FOUND:
        return -ENODEV;
    default:
        return -EIO;
    }
}
