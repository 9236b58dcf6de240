/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the command `bluecache`: finds the command, parses the options of both, runs it. */
#include <signal.h>
#include <string.h>

#include "cli.h"

static struct bc_cli cli;

/* clang-format off */
static const struct bc_cli_option common_rows[] = {
    {"dpu", 'd', BC_CLI_STRING, offsetof(struct bc_cli, dpu_addr), "HOST:PORT",
     "where the agent listens, or with comch the name of its service (BLUECACHE_DPU_ADDR; "
     "127.0.0.1:18517, bluecache)", 0, 0, NULL},
    {"pci", 'p', BC_CLI_STRING, offsetof(struct bc_cli, pci_addr), "ADDR",
     "host function of the BlueField (BLUECACHE_PCI_ADDR; the only one)", 0, 0, NULL},
    {"mode", 'm', BC_CLI_STRING, offsetof(struct bc_cli, mode), "MODE",
     "how to reach the agent: tcp, or comch, the BlueField's own way (BLUECACHE_MODE; tcp)", 0, 0, NULL},
    {"timeout", 0, BC_CLI_SECONDS, offsetof(struct bc_cli, timeout_ms), "SECONDS",
     "deadline of everything asked of the agent (BLUECACHE_TIMEOUT_MS; 30)", 1, 86400000, NULL},
    {"json", 0, BC_CLI_FLAG, offsetof(struct bc_cli, json), NULL,
     "print the result as JSON, one document a line", 0, 0, NULL},
    {"no-progress", 0, BC_CLI_FLAG, offsetof(struct bc_cli, no_progress), NULL,
     "no progress bar, also on a terminal", 0, 0, NULL},
    {"help", 'h', BC_CLI_FLAG, offsetof(struct bc_cli, help), NULL,
     "show this, or the help of a command, and exit", 0, 0, NULL},
    {"version", 'V', BC_CLI_FLAG, offsetof(struct bc_cli, version), NULL,
     "show the version and exit", 0, 0, NULL},
};
/* clang-format on */

static const struct bc_cli_options common = {
    .rows = common_rows,
    .count = sizeof(common_rows) / sizeof(common_rows[0]),
    .values = &cli,
};

static const struct bc_cli_command *const commands[] = {
    &bc_cli_push,  &bc_cli_pull, &bc_cli_query, &bc_cli_remove,
    &bc_cli_stats, &bc_cli_ping, &bc_cli_bench,
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static int print_version(void)
{
    (void)printf("bluecache %s\n", bc_version());
    return BC_CLI_DONE;
}

static int print_help(void)
{
    (void)printf("usage: bluecache [OPTION]... COMMAND [ARGUMENT]...\n\n"
                 "Moves files to and from the store of a BlueCache agent, and looks after it.\n\n"
                 "Commands (bluecache COMMAND --help says more):\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        (void)printf("  %-8s %-12s %s\n", commands[i]->name, commands[i]->operands,
                     commands[i]->summary);
    }
    (void)printf("\nOptions, before or after the command:\n");
    bc_cli_options_print(&common, stdout);
    (void)printf(
        "\nExit status: 0 done, 1 a miss, a mismatch or an error of store or file, 2 usage,\n"
        "3 the agent cannot be reached.\n");
    return BC_CLI_DONE;
}

static int print_command_help(const struct bc_cli_command *command)
{
    (void)printf("usage: bluecache [OPTION]... %s [OPTION]...%s%s\n\n%s", command->name,
                 command->operands[0] != '\0' ? " " : "", command->operands, command->details);
    if (command->options.count > 0) {
        (void)printf("\nOptions:\n");
        bc_cli_options_print(&command->options, stdout);
    }
    (void)printf("\nOptions of every command:\n");
    bc_cli_options_print(&common, stdout);
    return BC_CLI_DONE;
}

static const struct bc_cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i];
        }
    }
    return NULL;
}

static int run_command(const struct bc_cli_command *command, int argc, char **argv)
{
    char error[256];
    int first =
        bc_cli_options_parse(&common, &command->options, true, argc, argv, error, sizeof(error));
    uint32_t count;
    int status;

    if (first < 0) {
        return bc_cli_usage(command->name, "%s", error);
    }
    if (cli.version) {
        return print_version();
    }
    if (cli.help) {
        return print_command_help(command);
    }
    count = (uint32_t)(argc - first);
    if (count < command->operands_min || count > command->operands_max) {
        return bc_cli_usage(command->name, "%s takes %s, and %u %s given", command->name,
                            command->operands[0] != '\0' ? command->operands : "no argument", count,
                            count == 1 ? "is" : "are");
    }
    /* A reader that went away shows as an error of the write. */
    (void)signal(SIGPIPE, SIG_IGN);
    bc_cli_catch_signals();
    status = command->run(&cli, argv + first, count);
    bc_cli_close(&cli);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == BC_CLI_DONE) {
        bc_cli_error("standard output: %m");
        status = BC_CLI_FAILED;
    }
    return status;
}

int main(int argc, char **argv)
{
    const struct bc_cli_command *command;
    char error[256];
    int first = bc_cli_options_parse(&common, NULL, false, argc, argv, error, sizeof(error));

    if (first < 0) {
        return bc_cli_usage("", "%s", error);
    }
    if (cli.version) {
        return print_version();
    }
    if (first == argc) {
        return cli.help ? print_help() : bc_cli_usage("", "a command is missing");
    }
    if (strcmp(argv[first], "help") == 0) {
        cli.help = true;
        first++;
        if (first == argc) {
            return print_help();
        }
    }
    command = find_command(argv[first]);
    if (command == NULL) {
        return bc_cli_usage("", "%s is no command", argv[first]);
    }
    return run_command(command, argc - first, argv + first);
}
