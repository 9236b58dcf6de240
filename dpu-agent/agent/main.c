/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - dpu_dma_copy: the agent that runs on the DPU.
 * Exit status: 0 after SIGTERM or SIGINT and a clean end, 1 when start-up or the end failed, 2
 * usage. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef BC_HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "agent/preflight.h"
#include "agent/startup.h"
#include "base/log.h"

/* Tells a service manager, when there is one. */
static void notify(const char *state)
{
#ifdef BC_HAVE_SYSTEMD
    sd_notify(0, state);
#else
    (void)state;
#endif
}

static int wait_for_signal(const sigset_t *signals)
{
    int signal_number;
    do {
        signal_number = sigwaitinfo(signals, NULL);
    } while (signal_number < 0 && errno == EINTR);
    return signal_number;
}

static int serve(struct bc_agent *agent, const sigset_t *signals)
{
    if (bc_agent_start(agent, false) != 0) {
        return EXIT_FAILURE;
    }
    BC_INFO("agent", "%s: %llu workers, %llu MiB staging, depth %llu, capacity %llu MiB",
            agent->name, (unsigned long long)agent->options->workers,
            (unsigned long long)(agent->options->staging_bytes >> 20),
            (unsigned long long)agent->options->depth,
            (unsigned long long)(agent->capacity_bytes >> 20));
    BC_INFO("agent", "listening on %s", bc_server_address(agent->server));
    notify("READY=1");
    int signal_number = wait_for_signal(signals);
    BC_INFO("agent", "%s: draining", signal_number > 0 ? strsignal(signal_number) : "error");
    notify("STOPPING=1");
    if (bc_agent_stop(agent) != 0) {
        BC_ERROR("agent", "a worker did not end in time; leaving it behind (the store recovers)");
        /* Its thread may still use everything: no destructor may run. */
        _exit(EXIT_FAILURE);
    }
    BC_INFO("agent", "ended");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static struct bc_agent agent;
    struct bc_agent_options options = {0};
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);

    int rc = bc_agent_options_load(&options, argc, argv, &agent.error);
    if (rc < 0) {
        fprintf(stderr, "dpu_dma_copy: %s\n", agent.error.text);
    }
    if (rc != 0) {
        bc_agent_options_fini(&options);
        return rc == -ENOMEM ? EXIT_FAILURE : rc < 0 ? 2 : EXIT_SUCCESS;
    }
    bc_log_set_level((enum bc_log_level)options.log_level);
    agent.options = &options;
    int status;
    if (options.preflight) {
        status = bc_preflight_run(&agent, stdout);
        if (status != EXIT_SUCCESS) {
            fprintf(stderr,
                    "dpu_dma_copy: preflight found what would keep the agent from starting\n");
        }
    } else {
        status = serve(&agent, &signals);
    }
    bc_agent_options_fini(&options);
    return status;
}
