/* SPDX-License-Identifier: Apache-2.0 */
/* hostile.h - a client of the bed (tests/unit/session) that a fuzzer's input drives: its messages are
 * right until the input says otherwise.
 *
 *   input: steps; a step is a byte that says what, and the bytes that it takes its choices from
 *
 * What is sent is written down; what comes back is checked against it: an answer has a question of its
 * type and id that was not answered yet, and decodes. A client whose frames were damaged on purpose,
 * or stopped in the middle, is `dirty`: the agent may close it, and no answer is missed.
 * Thread: libFuzzer's one. A broken promise aborts. */
#ifndef BC_FUZZ_HOSTILE_H
#define BC_FUZZ_HOSTILE_H

#include "base/cursor.h"
#include "unit/session/bed.h"

BC_EXTERN_C_BEGIN

#define HOSTILE_MEMORY_LEN   ((uint64_t)8 << 20) /* of the bed's, from its start, is theirs */
#define HOSTILE_QUESTIONS    256u
#define HOSTILE_STREAM_MAX   ((size_t)512 << 10)
#define HOSTILE_REGIONS      8u /* --regions-max of the bed */
#define HOSTILE_STREAM_TRIES 4000u

struct hostile_question {
    uint64_t id;
    uint8_t type;
    uint32_t sent;
    uint32_t answered;
};

struct hostile {
    struct bed *bed;
    struct bed_client client; /* channel: what is received; its fd is -1 when not connected */
    bool dirty;
    bool over; /* GOODBYE or the end of the stream was sent, or the agent closed */
    uint64_t next_id;
    struct hostile_question questions[HOSTILE_QUESTIONS];
    uint32_t question_count;
};

void hostile_connect(struct hostile *hostile, struct bed *bed, uint32_t worker);
/* Nothing when it is not connected. */
void hostile_drop(struct hostile *hostile);
/* Takes what has arrived, checked. */
void hostile_read(struct hostile *hostile);
/* One step of a connected client, from the input. */
void hostile_step(struct hostile *hostile, struct bc_reader *input);
/* No question of a client that behaved is unanswered: when it has read all that can come. */
void hostile_check_answered(const struct hostile *hostile);

/* hostile_message.c: a message's body from the input; its length. `body` has HOSTILE_BODY_MAX bytes. */
#define HOSTILE_BODY_MAX ((size_t)128 << 10)
size_t hostile_body(const struct hostile *hostile, struct bc_reader *input, uint8_t type,
                    uint8_t *body);
/* A number at an end of what fits in 1, 16, 32 or 64 bits, or near one of the agent's limits. */
uint64_t hostile_extreme(struct bc_reader *input);

BC_EXTERN_C_END

#endif
