/* SPDX-License-Identifier: Apache-2.0 */
/* comch_peer.h - a second process with one side of Comch: the same program, started anew with
 * --comch-peer. One request is answered by one reply, unless the process dies in between. */
#ifndef DOCA_EMU_COMCH_PEER_H
#define DOCA_EMU_COMCH_PEER_H

#include "comch_side.h"

#include <sys/types.h>

enum comch_op {
    COMCH_START,   /* -> state: a server's at once, a client's once it is RUNNING or IDLE */
    COMCH_SEND,    /* count, len: the next messages, until all are completed */
    COMCH_RECEIVE, /* count: until so many have come in all */
    COMCH_ECHO,    /* count: answers messages, asleep in between, until so many clients have left */
    COMCH_FAULT,   /* fault, count: its first */
    COMCH_FORK_EXIT, /* exits, while a child of it lives on with every descriptor; no reply */
    COMCH_STOP,      /* until IDLE */
    COMCH_QUIT       /* exits 0; no reply */
};

struct comch_request {
    enum comch_op op;
    unsigned count;
    uint32_t len;
    enum doca_emu_fault fault;
};

struct comch_reply {
    enum doca_ctx_states state;
    unsigned connects;
    unsigned disconnects;
    unsigned messages;
    unsigned mismatches;
    unsigned failed;
};

struct comch_peer {
    pid_t pid;
    int fd;
};

/* First thing in main(): a process started as a peer does not come back from it. */
void comch_peer_main(int argc, char **argv);

/* role: "server" or "client". extra_env: "NAME=value" or NULL. */
void comch_peer_start(struct comch_peer *peer, const char *role, const char *name,
                      const char *extra_env);
void comch_peer_send(struct comch_peer *peer, struct comch_request request);
struct comch_reply comch_peer_receive(struct comch_peer *peer);
struct comch_reply comch_peer_ask(struct comch_peer *peer, struct comch_request request);
/* SIGKILL, and reaps it. */
void comch_peer_kill(struct comch_peer *peer);
/* Reaps it; its wait status. */
int comch_peer_reap(struct comch_peer *peer);
void comch_peer_quit(struct comch_peer *peer);

#endif /* DOCA_EMU_COMCH_PEER_H */
