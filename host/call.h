/* SPDX-License-Identifier: Apache-2.0 */
/* call.h - a question to the agent whose answer the calling thread waits for.
 * Thread: any, without the lock; the call lives on the caller's stack. */
#ifndef BC_HOST_CALL_H
#define BC_HOST_CALL_H

#include "client.h"

BC_EXTERN_C_BEGIN

/* Reads the answer, with the client's lock held; 0, -EBADMSG (the link is dropped) or -ENOMEM. */
typedef int (*bc_call_answer_fn)(void *arg, const struct bc_message *message);

struct bc_call {
    uint8_t type;
    uint8_t reply_type;
    const void *body;
    size_t body_len;
    bc_call_answer_fn answer;
    void *arg;
};

/* Waits for a session if there is none, sends, and waits for the answer. -ENOTCONN (no agent until
 * the deadline, or lost meanwhile), -ETIMEDOUT, -ENOMEM, or what `answer` returned. */
BC_MUST_USE int bc_call_run(struct bc_client *client, const struct bc_call *call,
                            uint64_t deadline_ns);

/* Waits for a session: 0, -ENOTCONN. */
BC_MUST_USE int bc_call_wait_session_locked(struct bc_client *client, uint64_t deadline_ns);

BC_EXTERN_C_END

#endif
