/* SPDX-License-Identifier: Apache-2.0 */
/* raw_copy.c - the same bytes moved by nothing but one thread's copy routine, in pieces of the same
 * size: what the memory of this machine gives.
 *
 *   raw_copy [memory=shared|malloc|huge] [ring=BYTES] [chunk=BYTES]
 *
 *   round COUNT SIZE REQUESTS SEED ROUTINE
 *       ROUTINE memcpy: the C library's; emulation: the one of the emulation's engine threads; both
 *       need memory=shared or huge. system: process_vm_readv and process_vm_writev on another process's
 *       memory, the only way to ordinary memory; needs memory=malloc. The host's side of what a
 *       request copied is overwritten before the next one, and the clock stands still meanwhile. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <doca_emu.h>

#include "harness.h"
#include "host_side.h"
#include "ring.h"

struct copier {
    struct bc_host_side host; /* memory=malloc */
    uint8_t *shared;          /* memory=shared: the host's ring, in this process */
    uint8_t *ring;
    uint64_t ring_len;
    uint64_t chunk;
};

struct used {
    uint64_t ns;
    uint64_t cpu_ns;
};

typedef void (*copy_fn)(const struct copier *copier, bool from_host, uint64_t offset, uint64_t len);

static void copy_memcpy(const struct copier *copier, bool from_host, uint64_t offset, uint64_t len)
{
    uint8_t *host = copier->shared + offset;
    uint8_t *own = copier->ring + offset;

    memcpy(from_host ? own : host, from_host ? host : own, len);
}

static void copy_emulation(const struct copier *copier, bool from_host, uint64_t offset,
                           uint64_t len)
{
    uint8_t *host = copier->shared + offset;
    uint8_t *own = copier->ring + offset;

    doca_emu_copy(from_host ? own : host, from_host ? host : own, len);
}

static void copy_system(const struct copier *copier, bool from_host, uint64_t offset, uint64_t len)
{
    uint64_t at = 0;

    while (at < len) {
        struct iovec own = {.iov_base = copier->ring + offset + at, .iov_len = len - at};
        struct iovec host = {.iov_base = (void *)(uintptr_t)(copier->host.addr + offset + at),
                             .iov_len = len - at};
        ssize_t moved = from_host ? process_vm_readv(copier->host.pid, &own, 1, &host, 1, 0)
                                  : process_vm_writev(copier->host.pid, &own, 1, &host, 1, 0);

        if (moved <= 0) {
            bc_harness_fail("process_vm_%s: %s", from_host ? "readv" : "writev", strerror(errno));
        }
        at += (uint64_t)moved;
    }
}

static copy_fn routine_named(const struct copier *copier, const char *name)
{
    static const struct {
        const char *name;
        copy_fn copy;
        bool shared;
    } routines[] = {
        {"memcpy", copy_memcpy, true},
        {"emulation", copy_emulation, true},
        {"system", copy_system, false},
    };

    for (size_t i = 0; i < sizeof(routines) / sizeof(routines[0]); i++) {
        if (strcmp(routines[i].name, name) == 0 && routines[i].shared == (copier->shared != NULL)) {
            return routines[i].copy;
        }
    }
    bc_harness_fail("%s: no such routine for this kind of memory", name);
}

static void host_fill(struct copier *copier, uint64_t seed)
{
    if (copier->shared != NULL) {
        bc_ring_fill(copier->shared, copier->ring_len, seed, 0);
    } else {
        bc_host_side_fill(&copier->host, seed);
    }
}

static void host_spoil(struct copier *copier, uint64_t offset, uint64_t len)
{
    if (copier->shared != NULL) {
        bc_ring_spoil(copier->shared + offset, len);
    } else {
        bc_host_side_spoil(&copier->host, offset, len);
    }
}

static bool host_check(struct copier *copier, uint64_t seed)
{
    return copier->shared != NULL ? bc_ring_check(copier->shared, copier->ring_len, seed, 0)
                                  : bc_host_side_check(&copier->host, seed);
}

static struct used run(struct copier *copier, copy_fn copy, bool from_host, uint64_t size,
                       uint64_t requests, uint64_t request_len)
{
    uint64_t piece = size < copier->chunk ? size : copier->chunk;
    struct used used = {0};

    for (uint64_t i = 0; i < requests; i++) {
        uint64_t end = (i + 1) * request_len;
        uint64_t begin_cpu_ns = bc_harness_cpu_ns();
        uint64_t begin_ns = bc_harness_now_ns();

        for (uint64_t at = i * request_len; at < end; at += piece) {
            copy(copier, from_host, at, end - at < piece ? end - at : piece);
        }
        used.ns += bc_harness_now_ns() - begin_ns;
        used.cpu_ns += bc_harness_cpu_ns() - begin_cpu_ns;
        if (from_host) {
            host_spoil(copier, i * request_len, request_len);
        }
    }
    return used;
}

static void do_round(struct copier *copier, const char *line)
{
    uint64_t count;
    uint64_t size;
    uint64_t requests;
    uint64_t seed;
    uint64_t bytes;
    struct used push;
    struct used pull;
    char name[16];
    copy_fn copy;

    if (sscanf(line, "round %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %15s", &count, &size,
               &requests, &seed, name) != 5) {
        bc_harness_fail("round takes four numbers and a routine");
    }
    copy = routine_named(copier, name);
    bytes = count * size * requests;
    if (bytes == 0 || bytes > copier->ring_len || size % 8 != 0) {
        bc_harness_fail("round: more than the ring holds");
    }
    /* In this order: the caches hold the source, as after an application has made its data. */
    bc_ring_spoil(copier->ring, copier->ring_len);
    host_fill(copier, seed);
    push = run(copier, copy, true, size, requests, count * size);
    if (!bc_ring_check(copier->ring, bytes, seed, 0)) {
        bc_harness_fail("other bytes came from the host");
    }
    bc_ring_fill(copier->ring, copier->ring_len, seed + 1, 0);
    host_spoil(copier, 0, copier->ring_len);
    pull = run(copier, copy, false, size, requests, count * size);
    if (bytes == copier->ring_len && !host_check(copier, seed + 1)) {
        bc_harness_fail("other bytes came to the host");
    }
    bc_harness_answer("{\"bytes\": %" PRIu64 ", \"push_ns\": %" PRIu64 ", \"push_cpu_ns\": %" PRIu64
                      ", \"pull_ns\": %" PRIu64 ", \"pull_cpu_ns\": %" PRIu64 "}",
                      bytes, push.ns, push.cpu_ns, pull.ns, pull.cpu_ns);
}

int main(int argc, char **argv)
{
    const char *kind = bc_harness_text(argc, argv, "memory", "shared");
    struct copier copier = {0};
    char line[BC_HARNESS_LINE_MAX];

    copier.ring_len = bc_harness_number(argc, argv, "ring", 512 * BC_HARNESS_MIB);
    copier.chunk = bc_harness_number(argc, argv, "chunk", BC_HARNESS_MIB);
    if (copier.chunk == 0) {
        bc_harness_fail("chunk=0");
    }
    if (strcmp(kind, "malloc") == 0) {
        bc_host_side_start(&copier.host, kind, copier.ring_len, NULL);
    } else {
        copier.shared = bc_ring_alloc(kind, copier.ring_len);
    }
    copier.ring = bc_ring_alloc_pool(copier.ring_len);
    bc_harness_answer("{\"ready\": true, \"pool\": \"%s\"}", bc_ring_pages(copier.ring));
    while (bc_harness_command(line)) {
        if (strncmp(line, "round ", 6) != 0) {
            bc_harness_fail("%s: no such command", line);
        }
        do_round(&copier, line);
    }
    return EXIT_SUCCESS;
}
