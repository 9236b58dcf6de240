/* SPDX-License-Identifier: Apache-2.0 */
/* error.c - names and descriptions of the result codes. */
#include "doca_error.h"

#include "emu.h"

struct error_text {
    const char *name;
    const char *descr;
};

#define ERROR_TEXT(code, text) [code] = {#code, text}

static const struct error_text error_texts[] = {
    ERROR_TEXT(DOCA_SUCCESS, "Success"),
    ERROR_TEXT(DOCA_ERROR_UNKNOWN, "Unknown error"),
    ERROR_TEXT(DOCA_ERROR_NOT_PERMITTED, "Operation is not permitted"),
    ERROR_TEXT(DOCA_ERROR_IN_USE, "Object is in use"),
    ERROR_TEXT(DOCA_ERROR_NOT_SUPPORTED, "Operation is not supported"),
    ERROR_TEXT(DOCA_ERROR_AGAIN, "Resource is busy for now, try again"),
    ERROR_TEXT(DOCA_ERROR_INVALID_VALUE, "Invalid argument"),
    ERROR_TEXT(DOCA_ERROR_NO_MEMORY, "Out of memory or of elements"),
    ERROR_TEXT(DOCA_ERROR_INITIALIZATION, "Initialization failed"),
    ERROR_TEXT(DOCA_ERROR_TIME_OUT, "Time ran out"),
    ERROR_TEXT(DOCA_ERROR_SHUTDOWN, "Shut down in process or done"),
    ERROR_TEXT(DOCA_ERROR_CONNECTION_RESET, "Peer reset the connection"),
    ERROR_TEXT(DOCA_ERROR_CONNECTION_ABORTED, "Connection was aborted"),
    ERROR_TEXT(DOCA_ERROR_CONNECTION_INPROGRESS, "Connection is being made"),
    ERROR_TEXT(DOCA_ERROR_NOT_CONNECTED, "Not connected"),
    ERROR_TEXT(DOCA_ERROR_NO_LOCK, "Lock could not be had"),
    ERROR_TEXT(DOCA_ERROR_NOT_FOUND, "Not found"),
    ERROR_TEXT(DOCA_ERROR_IO_FAILED, "Input or output failed"),
    ERROR_TEXT(DOCA_ERROR_BAD_STATE, "Object is in the wrong state"),
    ERROR_TEXT(DOCA_ERROR_UNSUPPORTED_VERSION, "Version is not supported"),
    ERROR_TEXT(DOCA_ERROR_OPERATING_SYSTEM, "Operating system call failed"),
    ERROR_TEXT(DOCA_ERROR_DRIVER, "Driver call failed"),
    ERROR_TEXT(DOCA_ERROR_UNEXPECTED, "Something unexpected happened"),
    ERROR_TEXT(DOCA_ERROR_ALREADY_EXIST, "Exists already"),
    ERROR_TEXT(DOCA_ERROR_FULL, "No room left"),
    ERROR_TEXT(DOCA_ERROR_EMPTY, "Nothing there"),
    ERROR_TEXT(DOCA_ERROR_IN_PROGRESS, "Operation is in progress"),
    ERROR_TEXT(DOCA_ERROR_TOO_BIG, "Too big"),
    ERROR_TEXT(DOCA_ERROR_AUTHENTICATION, "Authentication failed"),
    ERROR_TEXT(DOCA_ERROR_BAD_CONFIG, "Bad configuration"),
    ERROR_TEXT(DOCA_ERROR_SKIPPED, "Skipped"),
};

static const struct error_text *find_text(doca_error_t error)
{
    static const struct error_text unknown = {"DOCA_ERROR_<none>", "No such error code"};
    return (unsigned)error < EMU_ARRAY_LEN(error_texts) ? &error_texts[error] : &unknown;
}

const char *doca_error_get_name(doca_error_t error)
{
    return find_text(error)->name;
}

const char *doca_error_get_descr(doca_error_t error)
{
    return find_text(error)->descr;
}
