/* SPDX-License-Identifier: Apache-2.0 */
/* cli.c - see cli.h. */
#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "progress.h"
#include "units.h"

#define NS_PER_S   UINT64_C(1000000000)
#define NS_PER_MS  UINT64_C(1000000)
#define TIMEOUT_MS UINT64_C(30000) /* the library's default */

static volatile sig_atomic_t interrupted;

/* ---- messages ------------------------------------------------------------------------------ */

void bc_cli_error(const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    bc_cli_progress_hide();
    (void)fprintf(stderr, "bluecache: %s\n", text);
}

int bc_cli_usage(const char *command, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    bc_cli_error("%s; see bluecache%s%s --help", text, command[0] == '\0' ? "" : " ", command);
    return BC_CLI_USAGE;
}

uint64_t bc_cli_timeout_ms(const struct bc_cli *cli)
{
    const char *text = getenv("BLUECACHE_TIMEOUT_MS");
    uint64_t timeout_ms = cli->timeout_ms;

    if (timeout_ms == 0 && (text == NULL || bc_cli_parse_u64(text, &timeout_ms) != 0)) {
        timeout_ms = 0;
    }
    return timeout_ms == 0 ? TIMEOUT_MS : timeout_ms;
}

int bc_cli_failed(const struct bc_cli *cli, const char *what, int error)
{
    switch (error) {
    case -ENOTCONN:
    case -ECONNREFUSED:
    case -ESHUTDOWN:
        bc_cli_error("%s: the agent at %s is gone", what, cli->info.dpu_addr);
        return BC_CLI_UNREACHABLE;
    case -ETIMEDOUT:
        bc_cli_error("%s: the agent at %s does not answer in time (see --timeout)", what,
                     cli->info.dpu_addr);
        return BC_CLI_UNREACHABLE;
    case -ENOSPC:
        bc_cli_error("%s: more than the agent grants a client", what);
        return BC_CLI_FAILED;
    case -ENOMEM:
        bc_cli_error("%s: out of memory", what);
        return BC_CLI_FAILED;
    default:
        bc_cli_error("%s: %s", what, strerror(-error));
        return BC_CLI_FAILED;
    }
}

int bc_cli_refused(const struct bc_cli *cli, const char *what, enum bc_status status)
{
    bc_cli_error("%s: %s", what, bc_status_text(status));
    if (status == BC_STATUS_TIMED_OUT) {
        bc_cli_error("give it longer than %.3g s with --timeout",
                     (double)bc_cli_timeout_ms(cli) / 1000);
    }
    return status == BC_STATUS_DISCONNECTED || status == BC_STATUS_SHUTTING_DOWN
               ? BC_CLI_UNREACHABLE
               : BC_CLI_FAILED;
}

/* ---- signals and time ---------------------------------------------------------------------- */

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

void bc_cli_catch_signals(void)
{
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND};

    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

bool bc_cli_interrupted(void)
{
    return interrupted != 0;
}

uint64_t bc_cli_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void bc_cli_sleep_ms(uint64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000),
                            .tv_nsec = (long)(ms % 1000 * NS_PER_MS)};

    while (!bc_cli_interrupted() && nanosleep(&left, &left) != 0 && errno == EINTR) {}
}

/* ---- the client ---------------------------------------------------------------------------- */

static struct bc_client_options client_options(const struct bc_cli *cli)
{
    return (struct bc_client_options){.dpu_addr = cli->dpu_addr,
                                      .pci_addr = cli->pci_addr,
                                      .mode = cli->mode,
                                      .timeout_ms = cli->timeout_ms,
                                      .name = "bluecache"};
}

int bc_cli_open_another(const struct bc_cli *cli, struct bc_client **client_out)
{
    struct bc_client_options options = client_options(cli);
    struct bc_error error = {.text = ""};
    int rc = bc_client_open(&options, client_out, &error);

    if (rc == 0) {
        return BC_CLI_DONE;
    }
    bc_cli_error("%s", error.text[0] != '\0' ? error.text : strerror(-rc));
    switch (rc) {
    case -EINVAL:
    case -ENODEV:
    case -EOPNOTSUPP:
    case -EPROTONOSUPPORT:
        return BC_CLI_USAGE;
    case -ENOMEM:
    case -EMFILE:
        return BC_CLI_FAILED;
    default:
        if (strstr(error.text, "dpu_dma_copy") == NULL) {
            bc_cli_error("is the agent running (dpu_dma_copy -T), and is this its address? -d "
                         "HOST:PORT or BLUECACHE_DPU_ADDR names another");
        }
        return BC_CLI_UNREACHABLE;
    }
}

int bc_cli_open(struct bc_cli *cli)
{
    int status = bc_cli_open_another(cli, &cli->client);

    if (status == BC_CLI_DONE) {
        bc_client_get_info(cli->client, &cli->info);
    }
    return status;
}

void bc_cli_close(struct bc_cli *cli)
{
    if (cli->client != NULL && bc_client_close(cli->client) != 0) {
        bc_cli_error("the agent is stopped inside a copy; its memory is left to the end of this "
                     "process");
    }
    cli->client = NULL;
}
