/* SPDX-License-Identifier: Apache-2.0 */
/* startup.h - the agent's start as a table of named steps, each with its way back; a step that
 * fails says so in one sentence and everything before it is undone in reverse order.
 * Thread: main. */
#ifndef BC_AGENT_STARTUP_H
#define BC_AGENT_STARTUP_H

#include "agent/crew.h"
#include "agent/options.h"
#include "session/server.h"

BC_EXTERN_C_BEGIN

struct bc_agent {
    const struct bc_agent_options *options;
    struct bc_options_error error;
    struct bc_session_limits limits;
    char name[BC_NAME_LEN_MAX];
    uint32_t chunk_len;
    uint64_t capacity_bytes;
    const struct bc_backend_type *backend_type;

    struct bc_metrics *metrics;
    struct bc_dma_device *device;
    void *store;
    struct bc_crew *crew;
    struct bc_server *server; /* the first worker's */
    bool stuck;               /* a worker did not end: nothing it uses may be freed */

    /* Preflight: told of each step; error NULL: done. May be NULL. */
    void (*step_done)(void *arg, const char *step, const char *error);
    void *step_arg;
};

/* Every step, logged by name. 0, or the failing step's error with a sentence in agent->error.
 * `preflight`: tells step_done of each, undoes them all, and does not accept connections. */
BC_MUST_USE int bc_agent_start(struct bc_agent *agent, bool preflight);
/* Undoes them: stops accepting, drains, stops. 0, or -ETIMEDOUT when a worker did not end. */
BC_MUST_USE int bc_agent_stop(struct bc_agent *agent);

BC_EXTERN_C_END

#endif
