/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.h - parts of requests on their way: sent as credits allow, answered, cancelled, lost.
 * Credits: a part takes one request and its bytes from what HELLO_ACK granted; one that is larger
 * than all bytes granted goes when no other is under way. Requests are served in the order of their
 * submit; one whose memory the agent does not know yet is passed over.
 * Thread: any, with the client's lock. */
#ifndef BC_HOST_TRANSFER_H
#define BC_HOST_TRANSFER_H

#include "request.h"

BC_EXTERN_C_BEGIN

/* Sends what may be sent now. */
void bc_transfer_pump_locked(struct bc_client *client);

/* Some part of it waits for its answer. */
bool bc_transfer_is_with_agent(const struct bc_request *request);

/* The part's copy to or from the GPU is over. May make the request terminal; the caller pumps. */
void bc_transfer_copied_locked(struct bc_client *client, struct bc_part *part);

/* Ends the request early: parts not sent yet are over at once, their entries get `status`; the
 * agent is asked to cancel the others. May make it terminal. */
void bc_transfer_stop_locked(struct bc_client *client, struct bc_request *request,
                             enum bc_status status);

BC_EXTERN_C_END

#endif
