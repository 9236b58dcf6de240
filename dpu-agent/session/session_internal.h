/* SPDX-License-Identifier: Apache-2.0 */
/* session_internal.h - what session.c (life cycle), session_io.c (input and output) and
 * session_messages.c share. */
#ifndef BC_SESSION_SESSION_INTERNAL_H
#define BC_SESSION_SESSION_INTERNAL_H

#include "session/link.h"
#include "session/session.h"

enum bc_session_state {
    BC_SESSION_GREETING = 0, /* connected, no HELLO yet */
    BC_SESSION_OPEN = 1,
    BC_SESSION_CLOSING = 2, /* the socket is gone or going; waiting for requests and imports */
};

struct bc_session {
    struct bc_list_node node;
    struct bc_sessions *owner;
    struct bc_worker *worker;
    const struct bc_transport_ops *transport;
    struct bc_conn *conn;
    struct bc_channel *channel;
    struct bc_link link;
    struct bc_timer timer;      /* HELLO, half messages, retries of the drop */
    struct bc_timer send_timer; /* the client must take its answers */
    struct bc_task io_task;
    struct bc_task close_task;
    enum bc_session_state state;
    uint64_t id;
    uint32_t tenant;
    bool io_queued;
    bool readable;
    bool unread; /* whole messages may wait in the channel: handling was paused before them */
    bool close_after_flush; /* an ERROR or GOODBYE is on its way out */
    bool draining;
    bool link_stopped;
    bool dropping; /* bc_regions_drop_all is under way or done */
    bool dropped;
    bool close_queued;
    bool counted;     /* in `connections` */
    bool has_place;   /* for a long message; counted in `long_messages` */
    bool waits_place; /* linked in `waiting` */
    struct bc_list_node waiting_node;
    char name[BC_NAME_LEN_MAX + 1];
    char peer[80];

    struct bc_regions regions;
    struct bc_flow *flows;        /* one per worker; worker w alone touches flows[w] */
    struct bc_request **requests; /* in flight, in no order */
    uint32_t request_count;
    uint32_t requests_max;      /* granted */
    uint64_t request_memory;    /* that they take in the agent */
    struct bc_request **unsent; /* a ring of requests_max: done, their answers wait for room */
    uint32_t unsent_first;
    uint32_t unsent_count;
    uint64_t bytes_in_flight;
    size_t handled;           /* bytes of messages in this turn */
    size_t out_waiting;       /* bytes of answers in the channel, about */
    uint32_t regions_counted; /* what regions_now holds of this session */
    uint8_t *scratch;         /* answers are encoded here; grows to the largest */
    size_t scratch_len;
};

struct bc_sessions {
    struct bc_worker *worker;
    struct bc_requests *requests;
    struct bc_list list;
    bool draining;
    uint64_t next_id;
    uint32_t connections;   /* of all workers, in those of worker 0; atomic */
    uint32_t long_messages; /* sessions that are receiving one */
    struct bc_list waiting; /* sessions that could go on with one */

    struct bc_counter open;
    struct bc_counter accepted;
    struct bc_counter refused;
    struct bc_counter protocol_errors;
    struct bc_counter pushes;
    struct bc_counter pulls;
    struct bc_counter queries;
    struct bc_counter removes;
    struct bc_counter cancels;
    struct bc_counter limited;
    struct bc_counter requests_now;
    struct bc_counter regions_now;
    struct bc_histogram push_ns;
    struct bc_histogram pull_ns;
};

/* session.c */
void bc_session_close(struct bc_session *session, const char *why);
/* Answers ERROR, then closes once it is out. */
void bc_session_fail(struct bc_session *session, enum bc_status status, const char *format, ...)
    BC_PRINTF(3, 4);
/* Answers GOODBYE, then closes once it is out; nothing when it is closing already. */
void bc_session_say_goodbye(struct bc_session *session);
/* Goes on closing if what it waited for is there. */
void bc_session_check_closed(struct bc_session *session);
/* `len` bytes to encode an answer in; NULL: out of memory (the session was closed). */
uint8_t *bc_session_scratch(struct bc_session *session, size_t len);
/* Between answers: what a long one needed is given back. */
void bc_session_trim_scratch(struct bc_session *session);

/* session_io.c */
void bc_session_io_init(struct bc_session *session);
/* Queues a message; a channel that is full closes the session. */
void bc_session_send(struct bc_session *session, uint8_t type, uint64_t request_id,
                     const void *body, size_t body_len);
/* False: the answer of a finished request waits in `unsent` instead. */
bool bc_session_has_room(const struct bc_session *session);
/* Reads nothing more, and closes once everything queued is out, or after hello_timeout_ms. */
void bc_session_close_after_flush(struct bc_session *session);
/* The session's place for a long message goes to the one that waits longest. */
void bc_session_give_place(struct bc_session *session);
/* Input and output are looked at soon. */
void bc_session_schedule_io(struct bc_session *session);

/* session_messages.c */
void bc_session_handle(struct bc_session *session, const struct bc_message *message);
/* The oldest of `unsent`: answered if the session still is open, and given back. */
void bc_session_finish_unsent(struct bc_session *session);
void bc_session_regions_dropped(void *arg, uint64_t request_id, const uint32_t *statuses,
                                uint32_t count);

#endif
