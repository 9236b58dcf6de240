/* SPDX-License-Identifier: Apache-2.0 */
/* units.h - numbers as people write and read them. Sizes are in powers of 1024 (KiB, MiB), rates in
 * powers of 1000 (MB/s, GB/s).
 * Thread: any. Errors: -EINVAL (no such number), -ERANGE (too large). */
#ifndef BC_TOOLS_UNITS_H
#define BC_TOOLS_UNITS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Room for whatever the functions below write. */
#define BC_CLI_UNITS_LEN 32

int bc_cli_parse_u64(const char *text, uint64_t *value_out);
/* Suffixes K, M, G, T, also as KB or KiB, of any case: powers of 1024. */
int bc_cli_parse_size(const char *text, uint64_t *bytes_out);
/* Whole seconds or a decimal fraction; to milliseconds, finer digits are cut off. */
int bc_cli_parse_seconds(const char *text, uint64_t *ms_out);

/* All of them return `buf`, which has BC_CLI_UNITS_LEN bytes. */
const char *bc_cli_size(char *buf, uint64_t bytes);              /* "1.5 MiB" */
const char *bc_cli_rate(char *buf, uint64_t bytes, uint64_t ns); /* "2.31 GB/s" */
const char *bc_cli_duration(char *buf, uint64_t ns);             /* "41.2 us" */
const char *bc_cli_number(char *buf, int64_t value);             /* "1,234,567" */

#ifdef __cplusplus
}
#endif

#endif
