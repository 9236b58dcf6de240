/* SPDX-License-Identifier: Apache-2.0 */
/* faulty_transport.h - a transport that goes wrong by rules (faults.h), around another one.
 *
 *              SEND                     RECV                     CONNECT              ACCEPT
 *   FAIL       `error` (0: -ECONNRESET), and the connection      -ECONNREFUSED        -EMFILE
 *              is lost to both sides                             (or `error`)         (or `error`)
 *   SHORT      `amount` bytes at most (0: 1)                     -                    -
 *   CORRUPT    one bit of the bytes  ...                         -                    -
 *   DELAY      -EAGAIN for this and the next `amount` calls of   waits `amount` ns,   as REFUSE
 *              that kind on the connection                       at most its timeout
 *   REFUSE     -EAGAIN                  -EAGAIN                  -ETIMEDOUT, at once  -EAGAIN
 *   REORDER    -                        -                        -                    -
 *   VANISH     the peer is silent from now on: nothing comes     connected, but to    -
 *              any more, and what is sent goes nowhere, until    nobody
 *              nothing more is taken; the descriptor agrees
 *
 * Thread: any, as far as the real transport allows it. Memory: one allocation a connection. The twin outlives
 * its connections. */
#ifndef BC_TESTLIB_FAULTY_TRANSPORT_H
#define BC_TESTLIB_FAULTY_TRANSPORT_H

#include <pthread.h>

#include "base/list.h"
#include "channel/transport.h"
#include "testlib/faults.h"

BC_EXTERN_C_BEGIN

enum bc_faulty_transport_kind {
    BC_FAULTY_SEND = 0,
    BC_FAULTY_RECV = 1,
    BC_FAULTY_CONNECT = 2,
    BC_FAULTY_ACCEPT = 3,
    BC_FAULTY_TRANSPORT_KINDS
};

struct bc_faulty_transport {
    const struct bc_transport_ops *real;
    pthread_mutex_t lock; /* of what follows */
    struct bc_faults faults;
    struct bc_list conns; /* open now */
};

void bc_faulty_transport_init(struct bc_faulty_transport *transport,
                              const struct bc_transport_ops *real, uint64_t seed);
void bc_faulty_transport_fini(struct bc_faulty_transport *transport);

/* The table. Its listen, accept and connect work for the twin that was chosen last, in any thread; a
 * connection stays with its twin. */
const struct bc_transport_ops *bc_faulty_transport_ops(void);
void bc_faulty_transport_choose(struct bc_faulty_transport *transport);

/* A connection that was made in another way: the twin's connection takes it over. */
struct bc_conn *bc_faulty_transport_wrap(struct bc_faulty_transport *transport,
                                         struct bc_conn *real);

/* Changes the rules, when other threads use the twin. */
void bc_faulty_transport_set(struct bc_faulty_transport *transport,
                             const struct bc_fault_rule *rules, uint32_t count);
/* The system notices that silent peers are gone, as it does after some seconds: their connections end with
 * -ETIMEDOUT. */
void bc_faulty_transport_expire(struct bc_faulty_transport *transport);
/* Calls so far. */
uint64_t bc_faulty_transport_events(struct bc_faulty_transport *transport);
uint64_t bc_faulty_transport_struck(struct bc_faulty_transport *transport);
uint64_t bc_faulty_transport_conns(struct bc_faulty_transport *transport);

BC_EXTERN_C_END

#endif
