/* SPDX-License-Identifier: Apache-2.0 */
/* peer.h - a second process for tests: the same program, started anew with --peer, that exports or
 * imports memory and copies as it is told over a socket. One request is answered by one reply,
 * unless the process stops or dies in between. */
#ifndef DOCA_EMU_PEER_H
#define DOCA_EMU_PEER_H

#include "fixture.h"

#include <sys/types.h>

#define PEER_LEN  ((size_t)4 << 20) /* bytes of memory that a peer exports, or copies with */
#define PEER_BLOB 512

enum peer_op {
    PEER_EXPORT, /* kind, permissions -> status, addr, blob */
    PEER_IMPORT, /* blob -> status, addr, kind */
    PEER_PULL,   /* offset, len, seed: imported memory to local; -> status, match: is the pattern */
    PEER_PUSH,   /* offset, len, seed: pattern to imported memory; -> status */
    PEER_PUSH_ON, /* the same again and again until one fails; -> status */
    PEER_FILL,    /* seed: exported memory := pattern */
    PEER_CHECK,   /* seed, offset, len: -> match: exported memory is the pattern */
    PEER_UNMAP,   /* offset, len: of the exported memory */
    PEER_FAULT,   /* fault, first, every */
    PEER_DESTROY, /* of the exported or imported mmap; -> status */
    PEER_EXEC,    /* replaces its image by a fresh peer, then answers */
    PEER_QUIT     /* closes everything in order and exits 0; no reply */
};

enum peer_memory {
    PEER_MALLOC,        /* private */
    PEER_MEMFD,         /* shared, found by the emulation */
    PEER_DMABUF_MEMFD,  /* a memfd given to set_dmabuf_memrange, nothing mapped at its address */
    PEER_SHARED_UNSEAL, /* shared, of a memfd that cannot be sealed */
    PEER_ANON           /* private, whole pages: fit to be remapped */
};

struct peer_request {
    enum peer_op op;
    enum peer_memory kind;
    uint32_t permissions;
    uint32_t seed;
    uint64_t offset;
    uint64_t len;
    enum doca_emu_fault fault;
    uint64_t first;
    uint64_t every;
    size_t blob_len;
    uint8_t blob[PEER_BLOB];
};

struct peer_reply {
    doca_error_t status;
    uint64_t addr;
    enum doca_emu_memory memory;
    bool match;
    size_t blob_len;
    uint8_t blob[PEER_BLOB];
};

struct peer {
    pid_t pid;
    int fd;
};

/* First thing in main(): a process started as a peer does not come back from it. */
void peer_main(int argc, char **argv);

/* The peer acts for the function at pci. extra_env: "NAME=value" or NULL. */
void peer_start(struct peer *peer, const char *pci, const char *extra_env);
void peer_send(struct peer *peer, const struct peer_request *request);
struct peer_reply peer_receive(struct peer *peer);
struct peer_reply peer_ask(struct peer *peer, struct peer_request request);

/* Waits until it stopped itself (waitpid, no time limit but the test's). */
void peer_wait_stopped(struct peer *peer);
/* SIGKILL, and reaps it. */
void peer_kill(struct peer *peer);
/* Asks it to quit and expects status 0. */
void peer_quit(struct peer *peer);

#endif /* DOCA_EMU_PEER_H */
