/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.c - see transfer.h. */
#include "transfer.h"

#include <errno.h>

#include "keys.h"
#include "progress.h"
#include "units.h"

#define NS_PER_MS        UINT64_C(1000000)
#define LOOK_EVERY_MS    100u
#define PIECE_LEN        (UINT64_C(32) << 20)
#define PIECES_IN_FLIGHT 4u

/* ---- one request --------------------------------------------------------------------------- */

struct waiting {
    uint64_t give_up_ns;
    uint64_t bytes; /* done before this request */
    int32_t permille;
    bool cancelled;
};

/* The library ends every request by its deadline, unless the agent is stopped inside a copy: then
 * IN_PROGRESS comes back. */
static enum bc_status wait_for(struct bc_request *request, struct waiting *waiting)
{
    enum bc_status status;

    do {
        status = bc_request_wait(request, LOOK_EVERY_MS);
        if (bc_cli_interrupted() && !waiting->cancelled) {
            bc_request_cancel(request);
            waiting->cancelled = true;
        }
        bc_cli_progress_update(waiting->bytes, waiting->permille);
    } while (status == BC_STATUS_IN_PROGRESS && bc_cli_now_ns() < waiting->give_up_ns);
    return status;
}

static int end(struct bc_cli *cli, struct bc_request *request, enum bc_status status,
               const char *what)
{
    if (bc_request_free(request) != 0) {
        bc_cli_error("%s: the agent is stopped inside a copy", what);
        return BC_CLI_UNREACHABLE;
    }
    if (status == BC_STATUS_CANCELLED && bc_cli_interrupted()) {
        bc_cli_error("%s: interrupted", what);
        return BC_CLI_FAILED;
    }
    return status == BC_STATUS_OK ? BC_CLI_DONE : bc_cli_refused(cli, what, status);
}

static int start(struct bc_cli *cli, enum bc_op op, const struct bc_key *key,
                 struct bc_memory *memory, uint64_t offset, uint64_t len, uint64_t group,
                 struct bc_request **request_out)
{
    struct bc_entry entry = {.memory = memory,
                             .memory_offset = offset,
                             .key = key->data,
                             .key_len = key->len,
                             .object_offset = offset,
                             .length = len,
                             .group = group};
    struct bc_submit_options options = {.timeout_ms = bc_cli_timeout_ms(cli)};
    int rc = bc_submit(cli->client, op, &entry, 1, &options, request_out);

    return rc == 0 ? BC_CLI_DONE : bc_cli_failed(cli, op == BC_PUSH ? "push" : "pull", rc);
}

static uint64_t give_up_ns(const struct bc_cli *cli)
{
    return bc_cli_now_ns() + (bc_cli_timeout_ms(cli) + BC_CLI_GRACE_MS) * NS_PER_MS;
}

int bc_cli_transfer_push(struct bc_cli *cli, const struct bc_key *key,
                         const struct bc_cli_blob *blob, struct bc_memory *memory, uint64_t group)
{
    struct waiting waiting = {.give_up_ns = give_up_ns(cli), .permille = -1};
    struct bc_request *request;
    int status = start(cli, BC_PUSH, key, memory, 0, blob->len, group, &request);

    return status != BC_CLI_DONE ? status : end(cli, request, wait_for(request, &waiting), "push");
}

/* ---- pieces -------------------------------------------------------------------------------- */

struct pieces {
    /* A ring: piece n is number n % PIECES_IN_FLIGHT. */
    struct bc_request *requests[PIECES_IN_FLIGHT];
    uint64_t started;
    uint64_t ended;
    bool shrunk; /* the object ends before the size that the agent named: it was replaced */
};

/* Waits for the oldest piece. */
static int end_piece(struct bc_cli *cli, struct pieces *pieces, struct waiting *waiting,
                     const struct bc_cli_blob *blob)
{
    struct bc_request *request = pieces->requests[pieces->ended % PIECES_IN_FLIGHT];
    enum bc_status status = wait_for(request, waiting);

    pieces->ended++;
    waiting->bytes = pieces->ended * PIECE_LEN < blob->len ? pieces->ended * PIECE_LEN : blob->len;
    waiting->permille = blob->len == 0 ? 1000 : (int32_t)(waiting->bytes * 1000 / blob->len);
    waiting->give_up_ns = give_up_ns(cli);
    if (status == BC_STATUS_RANGE) {
        pieces->shrunk = true;
        status = BC_STATUS_OK;
    }
    return end(cli, request, status, "pull");
}

static int pull_pieces(struct bc_cli *cli, const struct bc_key *key, const struct bc_cli_blob *blob,
                       struct bc_memory *memory, bool *shrunk_out)
{
    struct waiting waiting = {.give_up_ns = give_up_ns(cli)};
    struct pieces pieces = {.started = 0};
    /* An object of no bytes is pulled as well: so a miss shows. */
    uint64_t count = blob->len == 0 ? 1 : (blob->len + PIECE_LEN - 1) / PIECE_LEN;
    int status = BC_CLI_DONE;

    while (status == BC_CLI_DONE && pieces.ended < count && !pieces.shrunk) {
        uint64_t offset = pieces.started * PIECE_LEN;
        uint64_t len = blob->len - offset < PIECE_LEN ? blob->len - offset : PIECE_LEN;

        if (pieces.started < count && pieces.started - pieces.ended < PIECES_IN_FLIGHT) {
            status = start(cli, BC_PULL, key, memory, offset, len, 0,
                           &pieces.requests[pieces.started % PIECES_IN_FLIGHT]);
            pieces.started += status == BC_CLI_DONE ? 1 : 0;
        } else {
            status = end_piece(cli, &pieces, &waiting, blob);
        }
    }
    for (uint64_t i = pieces.ended; i < pieces.started; i++) {
        bc_request_cancel(pieces.requests[i % PIECES_IN_FLIGHT]);
    }
    for (; pieces.ended < pieces.started; pieces.ended++) {
        struct bc_request *request = pieces.requests[pieces.ended % PIECES_IN_FLIGHT];

        (void)wait_for(request, &waiting);
        (void)bc_request_free(request); /* what is left over goes with the client */
    }
    *shrunk_out = pieces.shrunk;
    return status;
}

/* Versions count within one life of the agent: a session that was made again proves nothing. */
int bc_cli_transfer_pull(struct bc_cli *cli, const struct bc_key *key,
                         const struct bc_object_info *object, const struct bc_cli_blob *blob,
                         struct bc_memory *memory, bool *same_out)
{
    struct bc_object_info now;
    struct bc_client_info info;
    bool shrunk;
    int status = pull_pieces(cli, key, blob, memory, &shrunk);
    int rc;

    if (status != BC_CLI_DONE || shrunk) {
        return status;
    }
    rc = bc_query(cli->client, key, 1, 0, &now);
    if (rc != 0) {
        return bc_cli_failed(cli, "pull", rc);
    }
    bc_client_get_info(cli->client, &info);
    *same_out = now.status == BC_STATUS_OK && now.version == object->version &&
                now.size == object->size && info.session_id == cli->info.session_id &&
                info.reconnects == cli->info.reconnects;
    return BC_CLI_DONE;
}

/* ---- report -------------------------------------------------------------------------------- */

void bc_cli_transfer_report(const struct bc_cli *cli, FILE *out, const char *verb,
                            const struct bc_key *key, uint64_t bytes, uint64_t ns)
{
    char text[256];
    char size[BC_CLI_UNITS_LEN];
    char time[BC_CLI_UNITS_LEN];
    char rate[BC_CLI_UNITS_LEN];
    struct bc_json json;

    if (cli->json) {
        bc_json_begin(&json, out);
        bc_json_string(&json, "command", verb);
        bc_cli_key_json(&json, key);
        bc_json_u64(&json, "bytes", bytes);
        bc_json_real(&json, "seconds", (double)ns / 1e9);
        bc_json_end(&json);
        return;
    }
    (void)fprintf(out, "%s: %s in %s (%s): %s\n", verb, bc_cli_size(size, bytes),
                  bc_cli_duration(time, ns), bc_cli_rate(rate, bytes, ns),
                  bc_cli_key_text(text, sizeof(text), key));
}
