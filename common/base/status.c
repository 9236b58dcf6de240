/* SPDX-License-Identifier: Apache-2.0 */
/* status.c - names, sentences and the conversion from errno. Constant data: any thread. */
#include "base/status.h"

#include <errno.h>

struct status_words {
    const char *name;
    const char *text;
};

static const struct status_words words[] = {
    [BC_STATUS_OK] = {"ok", "Done."},
    [BC_STATUS_IN_PROGRESS] = {"in_progress", "Not decided yet."},
    [BC_STATUS_NOT_FOUND] = {"not_found", "There is no such object."},
    [BC_STATUS_CHECKSUM] = {"checksum",
                            "The stored bytes failed verification; the object is a miss."},
    [BC_STATUS_RANGE] = {"range", "The range ends past the end of the object or of the memory."},
    [BC_STATUS_TILING] = {"tiling",
                          "The entries of the push do not cover the object exactly once."},
    [BC_STATUS_KEY_TOO_LONG] = {"key_too_long", "The key is empty or longer than a key may be."},
    [BC_STATUS_NO_SPACE] = {"no_space",
                            "The store is full, or the object is larger than the store."},
    [BC_STATUS_IO_ERROR] = {"io_error", "The storage failed to read or write."},
    [BC_STATUS_DMA_ERROR] = {"dma_error", "The copy to or from the client's memory failed."},
    [BC_STATUS_BAD_MEMORY] = {"bad_memory", "The memory is not registered, or not any more."},
    [BC_STATUS_CANCELLED] = {"cancelled", "The client cancelled the request or ended its session."},
    [BC_STATUS_TIMED_OUT] = {"timed_out", "The deadline of the request passed."},
    [BC_STATUS_DISCONNECTED] = {"disconnected", "The connection to the agent was lost."},
    [BC_STATUS_INVALID] = {"invalid", "An argument is outside the limits of the protocol."},
    [BC_STATUS_LIMIT] = {"limit", "More was asked for than the agent granted."},
    [BC_STATUS_NOT_SUPPORTED] = {"not_supported", "The agent does not know how to do this."},
    [BC_STATUS_NO_MEMORY] = {"no_memory", "A table or a pool of the agent is exhausted."},
    [BC_STATUS_BUSY] = {"busy", "Refused for now; try again."},
    [BC_STATUS_TOO_BIG] = {"too_big", "The object is larger than an object may be."},
    [BC_STATUS_DENIED] = {"denied", "The tenant or the permissions do not allow it."},
    [BC_STATUS_INTERNAL] = {"internal",
                            "The agent met a state that should not happen; see its log."},
    [BC_STATUS_SHUTTING_DOWN] = {"shutting_down", "The agent is going down and takes no new work."},
};
BC_STATIC_ASSERT(BC_ARRAY_LEN(words) == BC_STATUS_COUNT, "every status has words");

const char *bc_status_name(uint32_t status)
{
    return status < BC_STATUS_COUNT ? words[status].name : "unknown";
}

const char *bc_status_text(uint32_t status)
{
    return status < BC_STATUS_COUNT ? words[status].text
                                    : "A status that this version does not know.";
}

enum bc_status bc_status_from_errno(int error)
{
    switch (error) {
    case 0:
        return BC_STATUS_OK;
    case -ENOENT:
        return BC_STATUS_NOT_FOUND;
    case -EBADMSG:
        return BC_STATUS_CHECKSUM;
    case -ENOSPC:
    case -EDQUOT:
        return BC_STATUS_NO_SPACE;
    case -ERANGE:
        return BC_STATUS_RANGE;
    case -ENAMETOOLONG:
        return BC_STATUS_KEY_TOO_LONG;
    case -EFBIG:
        return BC_STATUS_TOO_BIG;
    case -ENOMEM:
        return BC_STATUS_NO_MEMORY;
    case -ECANCELED:
        return BC_STATUS_CANCELLED;
    case -ETIMEDOUT:
        return BC_STATUS_TIMED_OUT;
    case -EINVAL:
        return BC_STATUS_INVALID;
    case -EBUSY:
    case -EAGAIN:
        return BC_STATUS_BUSY;
    case -EACCES:
    case -EPERM:
        return BC_STATUS_DENIED;
    case -EOPNOTSUPP:
        return BC_STATUS_NOT_SUPPORTED;
    case -ESHUTDOWN:
        return BC_STATUS_SHUTTING_DOWN;
    case -EREMOTEIO:
        return BC_STATUS_DMA_ERROR;
    default:
        return BC_STATUS_IO_ERROR;
    }
}
