/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.h - requests of push and pull: start, wait with the progress line, cancel on a signal.
 * Thread: main. Errors: an exit status; the sentence is printed. */
#ifndef BC_TOOLS_TRANSFER_H
#define BC_TOOLS_TRANSFER_H

#include "cli.h"
#include "file.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How far past its deadline a request is given up by the tool. */
#define BC_CLI_GRACE_MS UINT64_C(5000)

/* Stores the blob, in one request. group: 0 for none. */
int bc_cli_transfer_push(struct bc_cli *cli, const struct bc_key *key,
                         const struct bc_cli_blob *blob, struct bc_memory *memory, uint64_t group);

/* Fills the blob, in pieces with several in flight. `object` is what a query said before.
 * BC_CLI_DONE with *same_out false: the object was replaced meanwhile, what arrived is no good. */
int bc_cli_transfer_pull(struct bc_cli *cli, const struct bc_key *key,
                         const struct bc_object_info *object, const struct bc_cli_blob *blob,
                         struct bc_memory *memory, bool *same_out);

/* The result of a push or pull, for people or as JSON. */
void bc_cli_transfer_report(const struct bc_cli *cli, FILE *out, const char *verb,
                            const struct bc_key *key, uint64_t bytes, uint64_t ns);

#ifdef __cplusplus
}
#endif

#endif
