/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_push.c - bluecache push: one file becomes one object, in one request, so it is stored whole
 * or not at all. */
#include "cli.h"
#include "file.h"
#include "keys.h"
#include "progress.h"
#include "transfer.h"

static struct {
    bool key_hex;
    uint64_t group;
} values;

static const struct bc_cli_option rows[] = {
    {"key-hex", 'x', BC_CLI_FLAG, offsetof(__typeof__(values), key_hex), NULL,
     "KEY is written in hex digits, two a byte", 0, 0, NULL},
    {"group", 'g', BC_CLI_U64, offsetof(__typeof__(values), group), "N",
     "when an object of a group has to go, all of it go (0: none)", 0, 0, NULL},
};

/* Registers and sends what was read. The time is that of the transfer alone. */
static int send(struct bc_cli *cli, const struct bc_key *key, const struct bc_cli_blob *blob,
                uint64_t *ns_out)
{
    struct bc_memory *memory;
    uint64_t start_ns;
    int status;
    int rc = bc_memory_register(cli->client, blob->addr, blob->room, BC_MEMORY_HOST, 0, &memory);

    if (rc != 0) {
        return bc_cli_failed(cli, "memory for the transfer", rc);
    }
    bc_cli_progress_relabel("storing");
    start_ns = bc_cli_now_ns();
    status = bc_cli_transfer_push(cli, key, blob, memory, values.group);
    *ns_out = bc_cli_now_ns() - start_ns;
    rc = bc_memory_unregister(cli->client, memory);
    return status == BC_CLI_DONE && rc != 0 ? bc_cli_failed(cli, "memory of the transfer", rc)
                                            : status;
}

static int push(struct bc_cli *cli, const struct bc_key *key, const char *path)
{
    struct bc_cli_source source;
    struct bc_cli_blob blob;
    uint64_t ns = 0;
    int status = BC_CLI_FAILED;

    if (!bc_cli_source_open(&source, path)) {
        return BC_CLI_FAILED;
    }
    /* Before the file is read: it may be long, and an agent that is not there is known at once. */
    status = bc_cli_open(cli);
    if (status == BC_CLI_DONE) {
        bc_cli_progress_begin(!cli->no_progress, "reading");
        status = bc_cli_source_read(&source, &blob) ? BC_CLI_DONE : BC_CLI_FAILED;
    }
    bc_cli_source_close(&source);
    if (status != BC_CLI_DONE) {
        bc_cli_progress_end();
        return status;
    }
    status = send(cli, key, &blob, &ns);
    bc_cli_progress_end();
    if (status == BC_CLI_DONE) {
        bc_cli_transfer_report(cli, stdout, "push", key, blob.len, ns);
    }
    /* After a failure the DPU may still be reading: the memory is left to the end of the
     * process. */
    if (status == BC_CLI_DONE) {
        bc_cli_blob_free(&blob);
    }
    return status;
}

static int run(struct bc_cli *cli, char **operands, uint32_t count)
{
    struct bc_key *key;
    int status = bc_cli_keys_parse("push", operands, 1, values.key_hex, &key);

    (void)count;
    if (status == BC_CLI_DONE) {
        status = push(cli, key, operands[1]);
        bc_cli_keys_free(key);
    }
    return status;
}

const struct bc_cli_command bc_cli_push = {
    .name = "push",
    .operands = "KEY FILE",
    .summary = "store a file as an object",
    .details =
        "Stores FILE (\"-\": standard input), of at most 1 GiB, as the object KEY. An object of\n"
        "that name is replaced, all or nothing.\n",
    .options = {.rows = rows, .count = sizeof(rows) / sizeof(rows[0]), .values = &values},
    .operands_min = 2,
    .operands_max = 2,
    .run = run,
};
