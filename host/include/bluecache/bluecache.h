/* SPDX-License-Identifier: Apache-2.0 */
/* bluecache.h - libbluecache, the host side of BlueCache: move blocks between this process's memory
 * (host or GPU) and named objects kept by a DPU agent. The DPU does the copying.
 *
 *   bc_client_open -> bc_memory_register -> bc_submit -> bc_request_wait -> bc_request_free -> ...
 *
 * Results. Functions return 0 (or a count) or a negative errno; requests end in an enum bc_status,
 * per request and per entry (bluecache/status.h).
 *
 * Threads. Every function may be called from any thread at any time, except: a handle must not be
 * used during or after the call that frees it. The library runs one thread per client; it keeps the
 * connection alive, reconnects, and serves completions when nobody waits. No callbacks. A thread
 * that waits polls for some microseconds before it sleeps, while that pays: BLUECACHE_SPIN_US, 100.
 *
 * Lifetime. A client outlives its memories and requests. Registered memory must stay mapped until
 * bc_memory_unregister returned 0, and a request's buffers must not be reused before the request is
 * terminal: until then the DPU may read or write them.
 *
 * Never a late write. A request becomes terminal only when nobody can touch its memory any more:
 * the agent answered, or (agent lost, deadline passed) the memory's export was revoked. If neither
 * can be had yet the request stays BC_STATUS_IN_PROGRESS and bc_request_free answers -EBUSY.
 *
 * Agent lost. What was in flight ends as BC_STATUS_DISCONNECTED; the library reconnects with
 * back-off and registers the memory again by itself. Meanwhile bc_submit waits up to the request's
 * deadline for the connection (see bc_submit_options.timeout_ms) or fails with -ENOTCONN.
 *
 * Log. Warnings and errors go to stderr; BLUECACHE_LOG (error, warn, info, debug, trace), read by
 * the first bc_client_open, changes what is told.
 *
 * fork: a child must not use the parent's client. */
#ifndef BLUECACHE_BLUECACHE_H
#define BLUECACHE_BLUECACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bluecache/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BC_API          __attribute__((visibility("default")))
#define BC_API_MUST_USE BC_API __attribute__((warn_unused_result))

#define BC_CLIENT_KEY_LEN_MAX     1024u
#define BC_CLIENT_OBJECT_SIZE_MAX (UINT64_C(1) << 30)

struct bc_client;
struct bc_memory;
struct bc_request;

/* ---- client ------------------------------------------------------------------------------- */

enum bc_mode {
    BC_MODE_TCP = 0,
    BC_MODE_COMCH = 1,
};

/* Zero a structure, set what you need: 0 and NULL mean the environment variable, then the
 * default. */
struct bc_client_options {
    const char *dpu_addr;  /* "host:port"; BLUECACHE_DPU_ADDR; default "127.0.0.1:18517". With Comch
                                 the name of the agent's service; an address, or none, stands for
                                 "bluecache" */
    const char *pci_addr;  /* host function of the BlueField; BLUECACHE_PCI_ADDR; default: the only
                                 one that can export memory */
    const char *mode;      /* "tcp", or "comch": by the BlueField itself, without a network;
                                 BLUECACHE_MODE; default "tcp" */
    uint64_t timeout_ms;   /* connect, register, query ...: BLUECACHE_TIMEOUT_MS; default 30000 */
    const char *name;      /* shown in the agent's log; default: the program's name */
    uint32_t requests_max; /* in flight; default: what the agent grants */
};

/* What was wrong, for people: filled by bc_client_open when it fails, one sentence with a hint. */
struct bc_error {
    char text[256];
};

/* Opens the device, connects and says HELLO. A first connection that is refused fails at once.
 * -ECONNREFUSED, -ETIMEDOUT, -ENODEV (no such PCI function), -EINVAL (an option), -EPROTONOSUPPORT
 * (the agent speaks another version), -EOPNOTSUPP (the function cannot do Comch), -EACCES (refused by
 * the agent, or by the device), -ENOMEM. `error` may be NULL. */
BC_API_MUST_USE int bc_client_open(const struct bc_client_options *options,
                                   struct bc_client **client_out, struct bc_error *error);

/* Cancels what is in flight, waits (at most timeout_ms of the options) until it is terminal,
 * unregisters, says GOODBYE, frees everything: handles of its requests and memories are gone.
 * 0, or -EBUSY when memory is still quarantined (a stopped agent inside a copy): the client then
 * stays valid and close may be called again. NULL does nothing. */
BC_API int bc_client_close(struct bc_client *client);

struct bc_client_info {
    bool connected;
    bool emulated;       /* the agent's DMA engine is the software emulation of DOCA */
    uint64_t reconnects; /* since open */
    uint64_t session_id;
    uint32_t requests_max;
    uint32_t entries_max;
    uint32_t regions_max;
    uint64_t object_size_max;
    uint32_t chunk_len;
    char agent[64];     /* "dpu_dma_copy 0.1.0 posix" */
    char dpu_addr[128]; /* with Comch "comch:PCI_ADDR/SERVICE" */
    char pci_addr[16];
};
BC_API void bc_client_get_info(struct bc_client *client, struct bc_client_info *info_out);

/* Readable (poll, epoll) when a request became terminal since the last bc_client_clear_fd. Owned by
 * the client; do not close or read it. */
BC_API int bc_client_fd(struct bc_client *client);
BC_API void bc_client_clear_fd(struct bc_client *client);

/* ---- memory ------------------------------------------------------------------------------- */

enum bc_memory_type {
    BC_MEMORY_HOST = 0, /* ordinary memory of this process */
    BC_MEMORY_CUDA = 1, /* device memory of a CUDA GPU; libcuda is found at run time */
};

/* Makes [addr, addr + len) reachable for the DPU. Ranges inside one allocation (bc_memory_alloc,
 * GPU) share one export. Other memory is exported as far as it is registered, in few pieces: n
 * pages registered one after the other become one export when n is a power of two, else log2(n) + 1
 * at most. Overlapping and repeated registrations are fine; each must be unregistered. Blocks until
 * the agent knows it (deadline: timeout_ms); when the agent is away it is registered later and 0 is
 * returned.
 * GPU memory that no device can reach is copied by way of pinned host memory, as much as
 * BLUECACHE_BOUNCE_BYTES says (256M; 0: not at all); the log says so once, and why.
 * -EINVAL (len 0), -EFAULT (not mapped), -ENODEV (no libcuda, no such GPU), -ENOTSUP (GPU memory
 * that no way leads to: the log says what is missing), -ENOSPC (the agent has no room for more),
 * -EIO, -ETIMEDOUT, -ENOMEM. */
BC_API_MUST_USE int bc_memory_register(struct bc_client *client, void *addr, size_t len,
                                       enum bc_memory_type type, uint32_t device,
                                       struct bc_memory **memory_out);

/* 0: nobody can reach it any more through this registration. -EBUSY: a request in progress uses it.
 * -EINPROGRESS: the agent is stopped inside a copy; the memory is quarantined, call again.
 * On an error the handle stays valid. */
BC_API_MUST_USE int bc_memory_unregister(struct bc_client *client, struct bc_memory *memory);

/* Shareable memory: page-aligned, pre-faulted, on huge pages where there are any (falls back to
 * normal pages), zeroed. With the emulation it is copied several times faster than malloc's.
 * len is rounded up to 4 KiB. -ENOMEM, -EINVAL. */
BC_API_MUST_USE int bc_memory_alloc(size_t len, void **addr_out);
/* addr as returned by bc_memory_alloc, unregistered before; NULL does nothing. */
BC_API void bc_memory_free(void *addr);

/* ---- transfers ---------------------------------------------------------------------------- */

enum bc_op {
    BC_PUSH = 1, /* memory -> object */
    BC_PULL = 2, /* object -> memory */
};

/* One piece. Push: the entries of a request that name one key must tile [0, size) of the object
 * without gap or overlap, in any order; together they replace the object, all or nothing.
 * Pull: any range of the object. Entries are copied by bc_submit. */
struct bc_entry {
    struct bc_memory *memory;
    uint64_t memory_offset; /* bytes from the registered address */
    const void *key;        /* 1 .. 1024 bytes of any value */
    size_t key_len;
    uint64_t object_offset;
    uint64_t length;
    /* Push: objects that are of no use without one another have the same group, any value but 0
     * (none). When the agent drops one of them to make room, or because it cannot be verified or
     * read, it drops all of that group which were pushed by requests it had by then. Replacing and
     * removing concern one object alone; what is pushed after the drop starts anew; agents do not
     * tell each other. Of the entries that name one key the first one's counts. Pull: not looked
     * at. An agent too old for groups stores the objects without. */
    uint64_t group;
};

struct bc_submit_options {
    uint64_t timeout_ms; /* deadline of the request; 0: the client's timeout_ms */
};

/* Starts a request. options may be NULL. Waits only for credits and for a lost connection, at most
 * until the deadline; with nonblocking credits exhausted see bc_submit_try.
 * -EINVAL (count 0 or too large, a range outside its memory, length overflow), -ENOTCONN,
 * -ETIMEDOUT, -ENOMEM, -ENOBUFS (an object of GPU memory that is copied by way of host memory and is
 * larger than BLUECACHE_BOUNCE_BYTES). Errors of single entries (key too long, tiling) are entry statuses, not
 * errors here. */
BC_API_MUST_USE int bc_submit(struct bc_client *client, enum bc_op op,
                              const struct bc_entry *entries, size_t count,
                              const struct bc_submit_options *options,
                              struct bc_request **request_out);

/* The same, never waiting: -EAGAIN when the credits are used up, -ENOTCONN when disconnected. */
BC_API_MUST_USE int bc_submit_try(struct bc_client *client, enum bc_op op,
                                  const struct bc_entry *entries, size_t count,
                                  const struct bc_submit_options *options,
                                  struct bc_request **request_out);

/* Never blocks. BC_STATUS_IN_PROGRESS, or the terminal status: OK when every entry is OK, else the
 * status of the first entry that is not. */
BC_API enum bc_status bc_request_test(struct bc_request *request);

/* Waits for a terminal status at most timeout_ms; BC_STATUS_IN_PROGRESS when that passed. */
BC_API enum bc_status bc_request_wait(struct bc_request *request, uint64_t timeout_ms);

/* Status of entry `index` of a terminal request; IN_PROGRESS before; INVALID for a bad index. */
BC_API enum bc_status bc_request_entry_status(const struct bc_request *request, size_t index);

/* Bytes moved by DMA for this request; valid when terminal. */
BC_API uint64_t bc_request_bytes(const struct bc_request *request);

/* Asks for an early end; the request still becomes terminal by itself (CANCELLED or its real
 * outcome). Returns at once. */
BC_API void bc_request_cancel(struct bc_request *request);

/* 0, or -EBUSY while it is in progress (the handle stays valid). NULL: 0. */
BC_API int bc_request_free(struct bc_request *request);

/* ---- objects ------------------------------------------------------------------------------ */

struct bc_key {
    const void *data;
    size_t len;
};

struct bc_object_info {
    enum bc_status status; /* OK: it exists; NOT_FOUND; KEY_TOO_LONG; ... */
    uint64_t size;
    uint64_t version; /* grows with every replacement, within one agent's life */
};

/* Any number of keys in one round trip (split by itself when very many). timeout_ms 0: the
 * client's. 0, -ENOTCONN, -ETIMEDOUT, -EINVAL, -ENOMEM. */
BC_API_MUST_USE int bc_query(struct bc_client *client, const struct bc_key *keys, size_t count,
                             uint64_t timeout_ms, struct bc_object_info *infos_out);

/* Statuses: OK, NOT_FOUND, ... ; statuses_out may be NULL. */
BC_API_MUST_USE int bc_remove(struct bc_client *client, const struct bc_key *keys, size_t count,
                              uint64_t timeout_ms, enum bc_status *statuses_out);

/* ---- agent -------------------------------------------------------------------------------- */

BC_API_MUST_USE int bc_ping(struct bc_client *client, uint64_t timeout_ms,
                            uint64_t *round_trip_ns_out);

enum bc_stat_kind {
    BC_STAT_COUNTER = 0,
    BC_STAT_GAUGE = 1,
    BC_STAT_HISTOGRAM = 2,
};

struct bc_stat {
    const char *name; /* bluecache_<module>_<noun>_<unit>[_total]; valid during the call */
    enum bc_stat_kind kind;
    int64_t value; /* histogram: number of samples */
    uint64_t p50;
    uint64_t p99;
    uint64_t sum;
};
typedef void (*bc_stat_fn)(void *arg, const struct bc_stat *stat);

/* Calls `visit` for every metric of the agent, in this thread, before it returns. */
BC_API_MUST_USE int bc_stats(struct bc_client *client, uint64_t timeout_ms, bc_stat_fn visit,
                             void *arg);

/* "0.1.0" of this library. */
BC_API const char *bc_version(void);

#ifdef __cplusplus
}
#endif

#endif
