/* SPDX-License-Identifier: Apache-2.0 */
/* cli.h - what the commands of `bluecache` share: common options, exit statuses, the connection to
 * the agent, messages.
 * Thread: main only, but for bc_cli_interrupted and bc_cli_error, which any thread may call.
 * Lifetime: the process. What is printed for machines goes to stdout, everything else to stderr. */
#ifndef BC_TOOLS_CLI_H
#define BC_TOOLS_CLI_H

#include <bluecache/bluecache.h>

#include "options.h"

#ifdef __cplusplus
extern "C" {
#endif

enum bc_cli_exit {
    BC_CLI_DONE = 0,
    BC_CLI_FAILED = 1, /* a miss, a mismatch, or the store or a file said no */
    BC_CLI_USAGE = 2,
    BC_CLI_UNREACHABLE = 3, /* no session with an agent, or it was lost */
};

/* Values of the common options (main.c has their table), and the client once it is open. */
struct bc_cli {
    const char *dpu_addr;
    const char *pci_addr;
    const char *mode;
    uint64_t timeout_ms;
    bool json;
    bool no_progress;
    bool help;
    bool version;
    struct bc_client *client;
    struct bc_client_info info; /* as of the opening */
};

struct bc_cli_command {
    const char *name;
    const char *operands; /* of the usage line */
    const char *summary;  /* one line without a full stop */
    const char *details;  /* for --help; whole lines */
    struct bc_cli_options options;
    uint32_t operands_min;
    uint32_t operands_max;
    int (*run)(struct bc_cli *cli, char **operands, uint32_t count); /* enum bc_cli_exit */
};

extern const struct bc_cli_command bc_cli_push;
extern const struct bc_cli_command bc_cli_pull;
extern const struct bc_cli_command bc_cli_query;
extern const struct bc_cli_command bc_cli_remove;
extern const struct bc_cli_command bc_cli_stats;
extern const struct bc_cli_command bc_cli_ping;
extern const struct bc_cli_command bc_cli_bench;

/* Prints "bluecache: ..." and a newline on stderr. */
__attribute__((format(printf, 1, 2))) void bc_cli_error(const char *format, ...);

/* Prints a sentence that says what to do about a mistake in the command line. BC_CLI_USAGE. */
__attribute__((format(printf, 2, 3))) int bc_cli_usage(const char *command, const char *format,
                                                       ...);

/* From here on SIGINT and SIGTERM do no more than make bc_cli_interrupted true, once: the second
 * one kills. */
void bc_cli_catch_signals(void);
bool bc_cli_interrupted(void);

uint64_t bc_cli_now_ns(void);

/* Sleeps, and is woken early by a signal that bc_cli_interrupted tells of. */
void bc_cli_sleep_ms(uint64_t ms);

/* Opens cli->client, or says why not. An exit status. */
int bc_cli_open(struct bc_cli *cli);

/* One more connection with the same options, for a thread of its own. An exit status. */
int bc_cli_open_another(const struct bc_cli *cli, struct bc_client **client_out);

/* Closes cli->client. A client that cannot let go of its memory yet is left to the end of the
 * process, after a sentence. */
void bc_cli_close(struct bc_cli *cli);

/* The deadline of requests, as --timeout, the environment or the library has it. */
uint64_t bc_cli_timeout_ms(const struct bc_cli *cli);

/* Says that `what` ended with this negative errno. An exit status. */
int bc_cli_failed(const struct bc_cli *cli, const char *what, int error);

/* Says that `what` ended with this status, which is not OK. An exit status. */
int bc_cli_refused(const struct bc_cli *cli, const char *what, enum bc_status status);

#ifdef __cplusplus
}
#endif

#endif
