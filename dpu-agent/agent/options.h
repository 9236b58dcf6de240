/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - the agent's options: one table from which the command line, the environment, the YAML
 * file, --help, --print-config and the manual page come.
 * Thread: start-up. The structure is read-only afterwards. */
#ifndef BC_AGENT_OPTIONS_H
#define BC_AGENT_OPTIONS_H

#include "base/options.h"

BC_EXTERN_C_BEGIN

struct bc_agent_options {
    char *pci_addr;
    uint64_t staging_bytes;
    uint64_t depth;
    char *backend;
    bool tcp;
    char *listen;
    char *root;
    struct bc_option_strings devices;
    bool format;
    uint64_t capacity_bytes;
    char *config;
    uint64_t workers;
    char *rep;
    char *service;
    bool print_config;
    bool preflight;
    bool help;
    bool version;

    uint64_t chunk_bytes;
    uint64_t connections_max;
    uint64_t requests_max;
    uint64_t entries_max;
    uint64_t regions_max;
    uint64_t bytes_max;
    uint64_t hello_timeout_ms;
    uint64_t drain_timeout_ms;
    uint64_t spin_us;
    bool huge_pages;
    uint32_t log_level;
};

extern const struct bc_option_table bc_agent_option_table;

/* Defaults, then --config's file, the environment, the command line; then checks what depends on
 * several options. 0; 1: --help, --version or --print-config was served, exit 0; -EINVAL: the error
 * has a sentence. */
BC_MUST_USE int bc_agent_options_load(struct bc_agent_options *options, int argc, char **argv,
                                      struct bc_options_error *error);
void bc_agent_options_fini(struct bc_agent_options *options);

#define BC_AGENT_VERSION "0.1.0"

BC_EXTERN_C_END

#endif
