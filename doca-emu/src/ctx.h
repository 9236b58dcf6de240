/* SPDX-License-Identifier: Apache-2.0 */
/* ctx.h - inside of contexts and tasks: what every library's context is built on.
 *
 *   IDLE --start--> RUNNING --stop--> IDLE                          nothing allocated or in flight
 *                   RUNNING --stop, fatal error--> STOPPING --progress--> IDLE
 *   IDLE --start--> STARTING --progress--> RUNNING or IDLE           a library that needs a peer
 * STOPPING reaches IDLE inside of doca_pe_progress(), once no task is in flight, all are freed and
 * the library has nothing left either.
 * A library whose events are not completions of an engine's threads is polled: by every progress
 * call, and for notification by a descriptor of its own (wait_fd).
 *
 * Thread: the one that progresses the engine; `flushing` alone is read by engine threads. A
 * submitted task belongs to the engine until it was handed to emu_pe_complete(). */
#ifndef EMU_CTX_H
#define EMU_CTX_H

#include "emu.h"

#include "doca_ctx.h"
#include "doca_pe.h"

#include "atomics.h"

#define EMU_CTX_EVENTS_MAX 8

enum emu_task_state {
    EMU_TASK_FREE,     /* in the context's pool */
    EMU_TASK_OWNED,    /* the user's: may be submitted or freed */
    EMU_TASK_SUBMITTED /* the library's, until its callback starts */
};

/* The head of each library's own task struct. */
struct doca_task {
    struct doca_ctx *ctx;
    struct doca_task *next; /* in whichever list holds it */
    enum emu_task_state state;
    uint32_t flags;
    doca_error_t status;
    bool fatal; /* its failure stops the context */
    union doca_data user_data;
};

struct emu_task_list {
    struct doca_task *first;
    struct doca_task *last;
};

/* What a library adds to a context. Those of the second group may be NULL. */
struct emu_ctx_ops {
    /* IN_PROGRESS: STARTING, until `progress` changes the state. */
    doca_error_t (*start)(struct doca_ctx *ctx);
    /* Takes a chain of tasks (by next); each goes to emu_pe_complete() or emu_pe_report() once. */
    void (*submit)(struct doca_ctx *ctx, struct emu_task_list tasks);
    /* Whether the task's arguments would be accepted by a device. */
    bool (*valid)(const struct doca_task *task);
    /* Calls the user's callback that the status asks for. */
    void (*complete)(struct doca_task *task);
    /* Back to the pool. */
    void (*free_task)(struct doca_task *task);

    /* Whether a submit is taken, instead of the fault that other libraries share. */
    doca_error_t (*admit)(const struct doca_task *task);
    /* STOPPING has begun; nothing is reported from here. */
    void (*stop)(struct doca_ctx *ctx);
    /* Nothing of the library keeps the context from IDLE. */
    bool (*can_idle)(const struct doca_ctx *ctx);
    /* Reports at most one event; true when something was done. In every state but IDLE. The context
     * may be gone afterwards. */
    bool (*progress)(struct doca_ctx *ctx);
    /* `progress` would do something, as far as can be told without wait_fd. */
    bool (*pending)(const struct doca_ctx *ctx);
    /* From now on (or no longer) wait_fd becomes readable with whatever becomes pending. */
    void (*arm)(struct doca_ctx *ctx, bool armed);
};

struct emu_ctx_event {
    enum doca_ctx_states prev;
    enum doca_ctx_states next;
};

/* The head of each library's own context struct. */
struct doca_ctx {
    const struct emu_ctx_ops *ops;
    enum doca_ctx_states state;
    struct doca_pe *pe;
    struct doca_ctx *next; /* of the same progress engine */
    union doca_data user_data;
    doca_ctx_state_changed_callback_t state_cb;
    size_t in_flight; /* submitted, callback not started */
    size_t allocated; /* tasks that the user has to free */
    EMU_ATOMIC(bool) flushing;
    struct emu_task_list batch; /* submitted, waiting for a flush */
    struct emu_task_list held;  /* completed, report waits for a later task's */
    struct emu_ctx_event events[EMU_CTX_EVENTS_MAX]; /* state changes not yet reported */
    unsigned num_events;
    int wait_fd;  /* of a library that is polled, else -1 */
    bool watched; /* wait_fd is part of the notification handle */
};

static inline void emu_task_list_add(struct emu_task_list *list, struct doca_task *task)
{
    task->next = NULL;
    if (list->last == NULL) {
        list->first = task;
    } else {
        list->last->next = task;
    }
    list->last = task;
}

/* Moves all of `more` to the end of `list`. */
static inline void emu_task_list_join(struct emu_task_list *list, struct emu_task_list *more)
{
    if (more->first == NULL) {
        return;
    }
    if (list->last == NULL) {
        list->first = more->first;
    } else {
        list->last->next = more->first;
    }
    list->last = more->last;
    *more = (struct emu_task_list){NULL, NULL};
}

static inline struct doca_task *emu_task_list_pop(struct emu_task_list *list)
{
    struct doca_task *task = list->first;
    if (task != NULL) {
        list->first = task->next;
        if (list->first == NULL) {
            list->last = NULL;
        }
        task->next = NULL;
    }
    return task;
}

EMU_INTERNAL void emu_ctx_init(struct doca_ctx *ctx, const struct emu_ctx_ops *ops);
/* IN_USE unless IDLE; cuts the tie to the progress engine. */
EMU_INTERNAL doca_error_t emu_ctx_fini(struct doca_ctx *ctx);

/* A task leaves the pool; frees are counted by doca_task_free(). */
EMU_INTERNAL void emu_task_init(struct doca_task *task, struct doca_ctx *ctx,
                                union doca_data user_data);

/* --- between ctx.c, pe.c and libraries that are polled ---------------------------------------- */

/* RUNNING or STARTING to STOPPING: what was not started comes back with errors. */
EMU_INTERNAL void emu_ctx_begin_stop(struct doca_ctx *ctx);
/* STOPPING, and nothing holds it there any more. */
bool emu_ctx_can_idle(const struct doca_ctx *ctx);
EMU_INTERNAL void emu_ctx_set_state(struct doca_ctx *ctx, enum doca_ctx_states next);
/* Reports the oldest state change. The context may be gone afterwards. */
void emu_ctx_report_event(struct doca_ctx *ctx);

#endif /* EMU_CTX_H */
