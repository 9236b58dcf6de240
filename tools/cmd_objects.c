/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_objects.c - bluecache query and bluecache remove: many keys, one round trip, a line each. */
#include "cli.h"
#include "keys.h"
#include "units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define KEY_TEXT_LEN 128

static struct {
    bool key_hex;
} values;

static const struct bc_cli_option rows[] = {
    {"key-hex", 'x', BC_CLI_FLAG, offsetof(__typeof__(values), key_hex), NULL,
     "keys are written in hex digits, two a byte", 0, 0, NULL},
};

/* ---- query --------------------------------------------------------------------------------- */

static void print_infos(const struct bc_key *keys, const struct bc_object_info *infos,
                        uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char text[KEY_TEXT_LEN];
        char size[BC_CLI_UNITS_LEN];

        (void)bc_cli_key_text(text, sizeof(text), &keys[i]);
        if (infos[i].status == BC_STATUS_OK) {
            (void)printf("%-40s %10s  %" PRIu64 " bytes, version %" PRIu64 "\n", text,
                         bc_cli_size(size, infos[i].size), infos[i].size, infos[i].version);
        } else {
            (void)printf("%-40s %10s  %s\n", text, "-", bc_status_text(infos[i].status));
        }
    }
}

static void print_infos_json(const struct bc_key *keys, const struct bc_object_info *infos,
                             uint32_t count)
{
    struct bc_json json;

    bc_json_begin(&json, stdout);
    bc_json_string(&json, "command", "query");
    bc_json_array(&json, "objects");
    for (uint32_t i = 0; i < count; i++) {
        bc_json_object(&json, NULL);
        bc_cli_key_json(&json, &keys[i]);
        bc_json_string(&json, "status", bc_status_name(infos[i].status));
        if (infos[i].status == BC_STATUS_OK) {
            bc_json_u64(&json, "size", infos[i].size);
            bc_json_u64(&json, "version", infos[i].version);
        }
        bc_json_close(&json);
    }
    bc_json_end(&json);
}

static int query(struct bc_cli *cli, const struct bc_key *keys, uint32_t count)
{
    struct bc_object_info *infos = calloc(count, sizeof(*infos));
    int status = BC_CLI_DONE;
    int rc = infos == NULL ? -ENOMEM : bc_query(cli->client, keys, count, 0, infos);

    if (rc != 0) {
        free(infos);
        return bc_cli_failed(cli, "query", rc);
    }
    for (uint32_t i = 0; i < count; i++) {
        status = infos[i].status == BC_STATUS_OK ? status : BC_CLI_FAILED;
    }
    (cli->json ? print_infos_json : print_infos)(keys, infos, count);
    free(infos);
    return status;
}

/* ---- remove -------------------------------------------------------------------------------- */

static void print_statuses(const struct bc_key *keys, const enum bc_status *statuses,
                           uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char text[KEY_TEXT_LEN];

        (void)printf("%-40s  %s\n", bc_cli_key_text(text, sizeof(text), &keys[i]),
                     statuses[i] == BC_STATUS_OK ? "Removed." : bc_status_text(statuses[i]));
    }
}

static void print_statuses_json(const struct bc_key *keys, const enum bc_status *statuses,
                                uint32_t count)
{
    struct bc_json json;

    bc_json_begin(&json, stdout);
    bc_json_string(&json, "command", "remove");
    bc_json_array(&json, "objects");
    for (uint32_t i = 0; i < count; i++) {
        bc_json_object(&json, NULL);
        bc_cli_key_json(&json, &keys[i]);
        bc_json_string(&json, "status", bc_status_name(statuses[i]));
        bc_json_close(&json);
    }
    bc_json_end(&json);
}

static int remove_all(struct bc_cli *cli, const struct bc_key *keys, uint32_t count)
{
    enum bc_status *statuses = calloc(count, sizeof(*statuses));
    int status = BC_CLI_DONE;
    int rc = statuses == NULL ? -ENOMEM : bc_remove(cli->client, keys, count, 0, statuses);

    if (rc != 0) {
        free(statuses);
        return bc_cli_failed(cli, "remove", rc);
    }
    for (uint32_t i = 0; i < count; i++) {
        status = statuses[i] == BC_STATUS_OK ? status : BC_CLI_FAILED;
    }
    (cli->json ? print_statuses_json : print_statuses)(keys, statuses, count);
    free(statuses);
    return status;
}

/* ---- both ---------------------------------------------------------------------------------- */

static int run(struct bc_cli *cli, const char *name, char **operands, uint32_t count,
               int (*act)(struct bc_cli *cli, const struct bc_key *keys, uint32_t count))
{
    struct bc_key *keys;
    int status = bc_cli_keys_parse(name, operands, count, values.key_hex, &keys);

    if (status != BC_CLI_DONE) {
        return status;
    }
    status = bc_cli_open(cli);
    if (status == BC_CLI_DONE) {
        status = act(cli, keys, count);
    }
    bc_cli_keys_free(keys);
    return status;
}

static int run_query(struct bc_cli *cli, char **operands, uint32_t count)
{
    return run(cli, "query", operands, count, query);
}

static int run_remove(struct bc_cli *cli, char **operands, uint32_t count)
{
    return run(cli, "remove", operands, count, remove_all);
}

const struct bc_cli_command bc_cli_query = {
    .name = "query",
    .operands = "KEY...",
    .summary = "say which objects exist, and their sizes",
    .details =
        "Asks for all KEYs in one round trip. Exit status 1 when one of them does not exist.\n",
    .options = {.rows = rows, .count = 1, .values = &values},
    .operands_min = 1,
    .operands_max = UINT32_MAX,
    .run = run_query,
};

const struct bc_cli_command bc_cli_remove = {
    .name = "remove",
    .operands = "KEY...",
    .summary = "remove objects",
    .details = "Removes the objects KEY. Exit status 1 when one of them did not exist.\n",
    .options = {.rows = rows, .count = 1, .values = &values},
    .operands_min = 1,
    .operands_max = UINT32_MAX,
    .run = run_remove,
};
