/* SPDX-License-Identifier: Apache-2.0 */
/* keys.h - keys as arguments: the argument's own bytes, or with --key-hex the bytes that its hex
 * digits stand for, which reaches every key (an argument holds no NUL). And how keys are shown.
 * Thread: any. */
#ifndef BC_TOOLS_KEYS_H
#define BC_TOOLS_KEYS_H

#include <bluecache/bluecache.h>
#include <stdio.h>

#include "json.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Decodes `count` arguments. The keys point into one allocation that the caller frees, or into the
 * arguments. A sentence and an exit status (usage) when one is no key. */
int bc_cli_keys_parse(const char *command, char **arguments, uint32_t count, bool hex,
                      struct bc_key **keys_out);
void bc_cli_keys_free(struct bc_key *keys);

/* Shows a key to a person: UTF-8 as it is, what would upset a terminal as \xNN. Cut with "..." to
 * fit buf_len. Returns buf. */
const char *bc_cli_key_text(char *buf, size_t buf_len, const struct bc_key *key);

/* Members "key" (null when it is no UTF-8 text) and "key_hex". */
void bc_cli_key_json(struct bc_json *json, const struct bc_key *key);

#ifdef __cplusplus
}
#endif

#endif
