/* SPDX-License-Identifier: Apache-2.0 */
/* process.h - names processes so that a recycled pid is noticed, and holds on to an exporter's
 * process. A process id here is pid | start time << 32 (low half of the start time in clock ticks):
 * it fits one atomic word of shared memory. Thread: any. */
#ifndef EMU_PROCESS_H
#define EMU_PROCESS_H

#include "emu.h"

#include "atomics.h"

#include <sys/types.h>

/* The exporter as an importer sees it; one for all imports from that process. */
struct emu_peer {
    struct emu_peer *next;
    uint64_t id;
    pid_t pid;
    int pidfd;  /* readable once the last thread of the process is gone */
    int mem_fd; /* /proc/PID/mem, tied to the address space, so that exec is noticed; or -1 */
    EMU_ATOMIC(uint64_t) looked_ns; /* when the process was last found as it has to be */
    uint32_t refs;
};

/* 0 when there is no such process. */
uint64_t emu_process_id(pid_t pid);

/* False only when all threads of the process are certainly gone. */
bool emu_process_alive(uint64_t id);

/* DRIVER: the process is gone, or may not be touched (logged). NOT_SUPPORTED: no pidfd here. */
doca_error_t emu_peer_get(uint64_t id, struct emu_peer **peer_out);
void emu_peer_put(struct emu_peer *peer);

/* One system call each. gone: the process ended. memory_gone: it ended or replaced its image by
 * exec. */
bool emu_peer_gone(const struct emu_peer *peer);
bool emu_peer_memory_gone(const struct emu_peer *peer);

/* Asks one of the two above, unless the answer was no EMU_PEER_LOOK_NS ago or later: a small copy
 * takes hardly longer than the question, and an end in the middle of it can be missed anyway. The
 * time is far below what a process takes to end, so who saw its end sees its copies fail. */
#define EMU_PEER_LOOK_NS 20000u
bool emu_peer_gone_lately(struct emu_peer *peer, bool memory);

/* A file descriptor of ours for a descriptor of the peer's; -1 and errno on failure. */
int emu_peer_fetch_fd(const struct emu_peer *peer, int fd);

#endif /* EMU_PROCESS_H */
