/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_pull.c - bluecache pull: one object becomes one file, whole or not at all. It is pulled in
 * pieces, so that there is progress to show; the version that the agent names before and after says
 * whether all of them belong together. */
#include "cli.h"
#include "file.h"
#include "keys.h"
#include "progress.h"
#include "transfer.h"

#include <string.h>

#define ATTEMPTS_MAX 5 /* times that the object may be replaced under the pull */

static struct {
    bool key_hex;
} values;

static const struct bc_cli_option rows[] = {
    {"key-hex", 'x', BC_CLI_FLAG, offsetof(__typeof__(values), key_hex), NULL,
     "KEY is written in hex digits, two a byte", 0, 0, NULL},
};

static int receive(struct bc_cli *cli, const struct bc_key *key,
                   const struct bc_object_info *object, const struct bc_cli_blob *blob,
                   bool *same_out)
{
    struct bc_memory *memory;
    int status;
    int rc = bc_memory_register(cli->client, blob->addr, blob->room, BC_MEMORY_HOST, 0, &memory);

    if (rc != 0) {
        return bc_cli_failed(cli, "memory for the transfer", rc);
    }
    status = bc_cli_transfer_pull(cli, key, object, blob, memory, same_out);
    rc = bc_memory_unregister(cli->client, memory);
    return status == BC_CLI_DONE && rc != 0 ? bc_cli_failed(cli, "memory of the transfer", rc)
                                            : status;
}

/* One attempt. Without BC_CLI_DONE and *same_out there is no blob; or there is one that the DPU may
 * still write to, and is left to the end of the process. */
static int attempt(struct bc_cli *cli, const struct bc_key *key, struct bc_cli_blob *blob,
                   uint64_t *ns_out, bool *same_out)
{
    struct bc_object_info object;
    uint64_t start_ns;
    int rc = bc_query(cli->client, key, 1, 0, &object);
    int status;

    if (rc != 0) {
        return bc_cli_failed(cli, "pull", rc);
    }
    if (object.status != BC_STATUS_OK) {
        return bc_cli_refused(cli, "pull", object.status);
    }
    bc_client_get_info(cli->client, &cli->info);
    if (!bc_cli_blob_alloc(blob, object.size)) {
        return BC_CLI_FAILED;
    }
    start_ns = bc_cli_now_ns();
    status = receive(cli, key, &object, blob, same_out);
    *ns_out = bc_cli_now_ns() - start_ns;
    if (status == BC_CLI_DONE && !*same_out) {
        bc_cli_blob_free(blob);
    }
    return status;
}

static int fetch(struct bc_cli *cli, const struct bc_key *key, struct bc_cli_blob *blob,
                 uint64_t *ns_out)
{
    for (int i = 0; i < ATTEMPTS_MAX; i++) {
        bool same = false;
        int status = attempt(cli, key, blob, ns_out, &same);

        if (status != BC_CLI_DONE || same) {
            return status;
        }
    }
    bc_cli_error("pull: the object is replaced faster than it can be read; try again");
    return BC_CLI_FAILED;
}

static int pull(struct bc_cli *cli, const struct bc_key *key, struct bc_cli_sink *sink,
                bool to_stdout)
{
    struct bc_cli_blob blob;
    uint64_t ns = 0;
    bool good;
    int status = fetch(cli, key, &blob, &ns);

    if (status != BC_CLI_DONE) {
        return status;
    }
    bc_cli_progress_relabel("writing");
    good = bc_cli_sink_write(sink, &blob) && bc_cli_sink_commit(sink);
    bc_cli_progress_end();
    if (good) {
        bc_cli_transfer_report(cli, to_stdout ? stderr : stdout, "pull", key, blob.len, ns);
    }
    bc_cli_blob_free(&blob);
    return good ? BC_CLI_DONE : BC_CLI_FAILED;
}

static int run(struct bc_cli *cli, char **operands, uint32_t count)
{
    struct bc_cli_sink sink;
    struct bc_key *key;
    int status = bc_cli_keys_parse("pull", operands, 1, values.key_hex, &key);

    (void)count;
    if (status != BC_CLI_DONE) {
        return status;
    }
    /* Whatever is wrong with the file shows before a byte is moved. */
    if (!bc_cli_sink_open(&sink, operands[1])) {
        status = BC_CLI_FAILED;
        goto out;
    }
    status = bc_cli_open(cli);
    if (status == BC_CLI_DONE) {
        bc_cli_progress_begin(!cli->no_progress, "pulling");
        status = pull(cli, key, &sink, strcmp(operands[1], "-") == 0);
        bc_cli_progress_end();
    }
    bc_cli_sink_close(&sink);

out:
    bc_cli_keys_free(key);
    return status;
}

const struct bc_cli_command bc_cli_pull = {
    .name = "pull",
    .operands = "KEY FILE",
    .summary = "write an object to a file",
    .details =
        "Writes the object KEY to FILE (\"-\": standard output). FILE appears when all bytes are\n"
        "there; until then they are in FILE.tmp.PID. Exit status 1 when there is no such object.\n",
    .options = {.rows = rows, .count = 1, .values = &values},
    .operands_min = 2,
    .operands_max = 2,
    .run = run,
};
