/* SPDX-License-Identifier: Apache-2.0 */
/* comch_link.h - one connection between two processes: two rings of messages in shared memory, and
 * a socket (SOCK_SEQPACKET) that tells when the peer is gone and wakes it when it sleeps.
 *
 * A ring has as many slots as its receiver's queue is long. A side that sleeps says so in a word of
 * shared memory; whoever then gives it something takes the word away and sends one byte, a bell, so
 * that polling sides make no system call for a message. Nothing that the peer writes is trusted:
 * what makes no sense breaks the link.
 * Thread: the one of the progress engine. */
#ifndef EMU_COMCH_LINK_H
#define EMU_COMCH_LINK_H

#include "emu.h"

#include "atomics.h"

#define EMU_LINK_WAKE_MESSAGE 1u /* wake me when a message comes */
#define EMU_LINK_WAKE_SPACE   2u /* wake me when a slot becomes free */

struct emu_link_shape {
    uint32_t max_msg;      /* bytes, the same for both directions */
    uint32_t server_slots; /* of the queue that the server receives from */
    uint32_t client_slots;
};

struct emu_link_index {
    EMU_ATOMIC(uint64_t) value;
    uint8_t reserved[56]; /* a cache line of its own */
};

struct emu_link_ring {
    struct emu_link_index tail; /* messages ever put in */
    struct emu_link_index head; /* messages ever taken out */
};

struct emu_link_shared {
    struct emu_link_ring to_server;
    struct emu_link_ring to_client;
    struct emu_link_index server_wake; /* EMU_LINK_WAKE_... */
    struct emu_link_index client_wake;
};

/* One direction, as this side sees it. */
struct emu_link_way {
    struct emu_link_ring *ring;
    uint8_t *slots;
    uint32_t num_slots;
    uint32_t at;     /* the next slot */
    uint64_t index;  /* our own tail or head */
    uint64_t others; /* the other one, when it was last read */
};

enum emu_link_result {
    EMU_LINK_OK,
    EMU_LINK_WAIT,  /* full, or empty */
    EMU_LINK_BROKEN /* the peer wrote nonsense */
};

struct emu_link {
    int fd;    /* the socket; -1: closed, and nothing else is set */
    int pidfd; /* of the peer's process, or -1 */
    void *map;
    size_t map_len;
    uint32_t max_msg;
    uint32_t stride;
    struct emu_link_way tx;
    struct emu_link_way rx;
    struct emu_link_index *my_wake;
    struct emu_link_index *peer_wake;
    uint32_t wanted; /* what my_wake was last set to */
    bool bell_owed;  /* my_wake was taken away; its bell was not received yet */
};

/* The server makes the memory; memfd_out is the caller's to close. NO_MEMORY. The link takes the
 * socket only on success. */
doca_error_t emu_link_make(struct emu_link *link, int fd, const struct emu_link_shape *shape,
                           int *memfd_out);
/* The client maps it. INVALID_VALUE: not memory of this shape. */
doca_error_t emu_link_join(struct emu_link *link, int fd, const struct emu_link_shape *shape,
                           int memfd);
/* The peer notices at once, also when a child of this process still holds the socket; what was sent
 * before can still be received. With `forked` (this is such a child) it notices nothing. */
void emu_link_close(struct emu_link *link, bool forked);

enum emu_link_result emu_link_send(struct emu_link *link, const void *msg, uint32_t len);
/* Copies the oldest message into buf, which has max_msg bytes, and frees its slot. */
enum emu_link_result emu_link_receive(struct emu_link *link, uint8_t *buf, uint32_t *len_out);
bool emu_link_has_message(const struct emu_link *link);
bool emu_link_has_space(const struct emu_link *link);

/* Bits of EMU_LINK_WAKE_...; 0: awake. Whoever sets bits looks at the rings afterwards. */
void emu_link_want(struct emu_link *link, uint32_t bits);
/* The bell has rung, or is about to: wants have to be set anew. */
bool emu_link_woken(const struct emu_link *link);
/* Receives what the socket holds. False: the peer closed it. */
bool emu_link_hear(struct emu_link *link);

#endif /* EMU_COMCH_LINK_H */
