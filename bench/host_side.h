/* SPDX-License-Identifier: Apache-2.0 */
/* host_side.h - the host's process in the benchmarks that do without BlueCache: it owns the memory,
 * and fills and checks it on request, while the program that made it copies.
 * Thread: one. Lifetime: the process ends with its maker. */
#ifndef BENCH_HOST_SIDE_H
#define BENCH_HOST_SIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BC_HOST_SIDE_DESC_MAX 4096u

struct bc_host_side {
    pid_t pid;
    int socket;
    uint64_t addr; /* of the ring, in that process */
    uint32_t desc_len;
    uint8_t desc[BC_HOST_SIDE_DESC_MAX];
};

/* Makes the export descriptor of the ring, in the new process. Returns its length. */
typedef uint32_t (*bc_host_side_export_fn)(void *ring, size_t len,
                                           uint8_t desc[BC_HOST_SIDE_DESC_MAX]);

/* Before this process has threads. `kind` as for bc_ring_alloc; `make_desc` may be NULL. */
void bc_host_side_start(struct bc_host_side *side, const char *kind, size_t len,
                        bc_host_side_export_fn make_desc);

void bc_host_side_fill(struct bc_host_side *side, uint64_t seed);
void bc_host_side_spoil(struct bc_host_side *side, uint64_t offset, uint64_t len);
bool bc_host_side_check(struct bc_host_side *side, uint64_t seed);

#endif
