/* SPDX-License-Identifier: Apache-2.0 */
/* fake_agent.h - an agent made of one thread that speaks the protocol on the loopback and stores
 * nothing; tests script its answers. It checks what a real one would: known memories, ranges, ids
 * not in use. Keys that begin with "miss" are not found, with "bad" fail their checksum, others
 * exist.
 *
 * Traces: "conn", "hello", "register <n>", "unregister", "transfer <entries>", "cancel", "ping",
 * "groups <of the first key> <of the last>",
 * "query <n>", "remove <n>", "stats", "goodbye", "closed", "violation ...".
 * Thread: start and stop one thread, the rest any. */
#ifndef BC_TEST_HOST_FAKE_AGENT_H
#define BC_TEST_HOST_FAKE_AGENT_H

#include <stdbool.h>

#include "dma_transfer.h"

BC_EXTERN_C_BEGIN

struct fake_agent;

struct fake_agent_options {
    uint32_t requests_max; /* 0 in any of these: something ample */
    uint32_t entries_max;
    uint64_t bytes_max;
    uint32_t regions_max;
    uint32_t message_max;
    uint32_t keepalive_ms;   /* 0: an hour */
    uint32_t hello_status;   /* enum bc_status */
    const char *hello_error; /* answer HELLO by ERROR with this text */
    uint16_t port;           /* 0: any */
    bool no_groups;          /* does not offer BC_FEATURE_GROUPS */
};

struct fake_agent *fake_agent_start(const struct fake_agent_options *options);
void fake_agent_stop(struct fake_agent *agent); /* NULL: nothing */
const char *fake_agent_address(const struct fake_agent *agent);
uint16_t fake_agent_port(const struct fake_agent *agent);

/* Messages of this type are kept unanswered while on; switched off, the kept ones are answered. */
void fake_agent_hold(struct fake_agent *agent, uint8_t type, bool on);
/* Held transfers are answered CANCELLED when a CANCEL comes (default: yes). */
void fake_agent_obey_cancel(struct fake_agent *agent, bool on);
/* Every status of the answers to this type of message; OK: as usual. */
void fake_agent_status(struct fake_agent *agent, uint8_t type, uint32_t status);
/* COMPLETIONs come one entry at a time. */
void fake_agent_piecemeal(struct fake_agent *agent, bool on);
/* Closes the connections. Stays closed to new ones while `away`. */
void fake_agent_drop(struct fake_agent *agent, bool away);
/* Sends a message to every connection as it is. */
void fake_agent_send(struct fake_agent *agent, uint8_t type, uint64_t request_id, const void *body,
                     size_t len);
/* Largest number of transfers, and of their bytes, that were unanswered at one time. */
uint32_t fake_agent_transfers_peak(struct fake_agent *agent);
uint64_t fake_agent_bytes_peak(struct fake_agent *agent);
/* Memories registered now. */
uint32_t fake_agent_memories(struct fake_agent *agent);

BC_EXTERN_C_END

#endif
