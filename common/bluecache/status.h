/* SPDX-License-Identifier: Apache-2.0 */
/* bluecache/status.h - what became of a request or of one entry of it, as the wire and every caller
 * see it. Installed beside bluecache.h; part of the protocol: values are only ever added to, never
 * renumbered. */
#ifndef BLUECACHE_STATUS_H
#define BLUECACHE_STATUS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum bc_status {
    BC_STATUS_OK = 0,
    BC_STATUS_IN_PROGRESS = 1,    /* not decided yet; never on the wire */
    BC_STATUS_NOT_FOUND = 2,      /* no such object: a miss */
    BC_STATUS_CHECKSUM = 3,       /* stored bytes failed verification: counts as a miss */
    BC_STATUS_RANGE = 4,          /* range past the end of the object or of the memory region */
    BC_STATUS_TILING = 5,         /* entries of a push do not tile [0, size) exactly */
    BC_STATUS_KEY_TOO_LONG = 6,   /* key empty or longer than BC_KEY_LEN_MAX */
    BC_STATUS_NO_SPACE = 7,       /* store full, or object larger than the store */
    BC_STATUS_IO_ERROR = 8,       /* storage failed: EIO, short transfer */
    BC_STATUS_DMA_ERROR = 9,      /* the copy to or from client memory failed */
    BC_STATUS_BAD_MEMORY = 10,    /* unknown or stale memory (id, generation) */
    BC_STATUS_CANCELLED = 11,     /* by the client's cancel or the end of its session */
    BC_STATUS_TIMED_OUT = 12,     /* the request's deadline passed */
    BC_STATUS_DISCONNECTED = 13,  /* agent lost; made by the client library only */
    BC_STATUS_INVALID = 14,       /* an argument is outside the protocol's limits */
    BC_STATUS_LIMIT = 15,         /* more than the credits or table sizes granted */
    BC_STATUS_NOT_SUPPORTED = 16, /* valid but unknown to this agent */
    BC_STATUS_NO_MEMORY = 17,     /* a table or pool of the agent is exhausted */
    BC_STATUS_BUSY = 18,          /* refused for now: try again */
    BC_STATUS_TOO_BIG = 19,       /* object larger than BC_OBJECT_SIZE_MAX or the backend's limit */
    BC_STATUS_DENIED = 20,        /* the tenant or the permission does not allow it */
    BC_STATUS_INTERNAL = 21,      /* a state that should not happen; logged by the agent */
    BC_STATUS_SHUTTING_DOWN = 22, /* the agent drains and takes no new work */
    BC_STATUS_COUNT
};

/* Short stable name, e.g. "not_found"; "unknown" for a value outside the enum. Any thread. */
__attribute__((visibility("default"))) const char *bc_status_name(uint32_t status);

/* One sentence for people; a fixed sentence for a value outside the enum. Any thread. */
__attribute__((visibility("default"))) const char *bc_status_text(uint32_t status);

#ifdef __cplusplus
}
#endif

#endif
