/* SPDX-License-Identifier: Apache-2.0 */
/* errors.c - see errors.h. */
#include "errors.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include <doca_error.h>

int bc_error_set(struct bc_error *error, int code, const char *format, ...)
{
    va_list args;

    if (error != NULL) {
        va_start(args, format);
        (void)vsnprintf(error->text, sizeof(error->text), format, args);
        va_end(args);
    }
    return code;
}

int bc_errno_from_doca(int error)
{
    switch ((doca_error_t)error) {
    case DOCA_SUCCESS:
        return 0;
    case DOCA_ERROR_IN_PROGRESS:
    case DOCA_ERROR_AGAIN:
        return -EINPROGRESS;
    case DOCA_ERROR_NO_MEMORY:
    case DOCA_ERROR_FULL:
        return -ENOMEM;
    case DOCA_ERROR_INVALID_VALUE:
        return -EFAULT;
    case DOCA_ERROR_NOT_SUPPORTED:
        return -ENOTSUP;
    case DOCA_ERROR_NOT_FOUND:
        return -ENODEV;
    case DOCA_ERROR_NOT_PERMITTED:
        return -EPERM;
    default:
        return -EIO;
    }
}

int bc_errno_from_refusal(uint32_t status)
{
    switch (status) {
    case BC_STATUS_OK:
        return 0;
    case BC_STATUS_NOT_SUPPORTED:
        return -EPROTONOSUPPORT;
    case BC_STATUS_SHUTTING_DOWN:
    case BC_STATUS_BUSY:
    case BC_STATUS_LIMIT:
    case BC_STATUS_NO_MEMORY:
        return -ECONNREFUSED;
    default:
        return -EACCES;
    }
}

int bc_errno_from_status(uint32_t status)
{
    switch (status) {
    case BC_STATUS_OK:
        return 0;
    case BC_STATUS_LIMIT:
    case BC_STATUS_NO_MEMORY:
    case BC_STATUS_NO_SPACE:
        return -ENOSPC;
    case BC_STATUS_DENIED:
        return -EACCES;
    case BC_STATUS_NOT_SUPPORTED:
        return -ENOTSUP;
    case BC_STATUS_TIMED_OUT:
        return -ETIMEDOUT;
    default:
        return -EIO;
    }
}
