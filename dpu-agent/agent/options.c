/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - see options.h. */
#include "agent/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "session/region.h"

#define MIB         (UINT64_C(1) << 20)
#define FIELD(name) offsetof(struct bc_agent_options, name)

static const char *const log_levels[] = {"error", "warn", "info", "debug", "trace", NULL};

/* clang-format off */
static const struct bc_option rows[] = {
    {.name = "pci", .short_name = 'p', .type = BC_OPTION_STRING, .offset = FIELD(pci_addr), .default_text = "0000:03:00.0",
     .env = "BLUECACHE_AGENT_PCI", .argument = "ADDR",
     .help = "PCI address of the BlueField function on the DPU."},
    {.name = "staging", .short_name = 'm', .type = BC_OPTION_SIZE, .offset = FIELD(staging_bytes), .default_text = "256",
     .min = 16 * MIB, .max = 1024 * 1024 * MIB, .scale = MIB, .env = "BLUECACHE_AGENT_STAGING", .argument = "MB",
     .help = "Staging memory of all workers, in MiB or with a suffix (1G); dram keeps its objects in it."},
    {.name = "depth", .short_name = 'q', .type = BC_OPTION_U64, .offset = FIELD(depth), .default_text = "8",
     .min = 1, .max = 4096, .env = "BLUECACHE_AGENT_DEPTH", .argument = "DEPTH",
     .help = "DMA tasks in flight per worker."},
    {.name = "backend", .short_name = 'b', .type = BC_OPTION_STRING, .offset = FIELD(backend), .default_text = "posix",
     .env = "BLUECACHE_AGENT_BACKEND", .argument = "NAME",
     .help = "Where objects are kept: dram or posix."},
    {.name = "tcp", .short_name = 'T', .type = BC_OPTION_BOOL, .offset = FIELD(tcp), .env = "BLUECACHE_AGENT_TCP",
     .help = "Control messages over TCP instead of DOCA Comch."},
    {.name = "listen", .type = BC_OPTION_STRING, .offset = FIELD(listen), .env = "BLUECACHE_AGENT_LISTEN", .argument = "ADDR:PORT",
     .help = "With -T: address to listen on; default port 18517 on 127.0.0.1 with the DOCA emulation, on all addresses with the SDK."},
    {.name = "root", .type = BC_OPTION_STRING, .offset = FIELD(root), .default_text = "/var/lib/bluecache",
     .env = "BLUECACHE_AGENT_ROOT", .argument = "DIR",
     .help = "Directory in which posix keeps its files."},
    {.name = "device", .type = BC_OPTION_STRINGS, .offset = FIELD(devices), .argument = "PATH",
     .help = "Block device or file of a raw backend; repeatable (no backend of this version takes one)."},
    {.name = "format", .type = BC_OPTION_BOOL, .offset = FIELD(format),
     .help = "Make a new store in a root that is not empty and holds no store."},
    {.name = "capacity", .type = BC_OPTION_SIZE, .offset = FIELD(capacity_bytes), .env = "BLUECACHE_AGENT_CAPACITY", .argument = "SIZE",
     .help = "Limit of the store in real bytes; 0: half of the root's file system (posix), what the pool allows (dram)."},
    {.name = "config", .type = BC_OPTION_STRING, .offset = FIELD(config), .env = "BLUECACHE_AGENT_CONFIG", .argument = "FILE",
     .help = "YAML file with these options by their long names.", .command_line_only = true},
    {.name = "workers", .type = BC_OPTION_U64, .offset = FIELD(workers), .default_text = "1", .min = 1, .max = BC_WORKERS_MAX,
     .env = "BLUECACHE_AGENT_WORKERS", .argument = "N",
     .help = "Worker threads; any number works with any store."},
    {.name = "rep", .type = BC_OPTION_STRING, .offset = FIELD(rep), .env = "BLUECACHE_AGENT_REP", .argument = "PCI",
     .help = "Without -T: the host's function, behind this DPU, whose programs are served; default the only one."},
    {.name = "service", .type = BC_OPTION_STRING, .offset = FIELD(service), .default_text = "bluecache",
     .env = "BLUECACHE_AGENT_SERVICE", .argument = "NAME",
     .help = "Without -T: name of the Comch service, which clients connect to."},
    {.name = "print-config", .type = BC_OPTION_BOOL, .offset = FIELD(print_config),
     .help = "Print the values in force as YAML and exit.", .command_line_only = true},
    {.name = "preflight", .type = BC_OPTION_BOOL, .offset = FIELD(preflight),
     .help = "Check devices, kernel, limits, store and the start itself; print a table with what to do, and exit.", .command_line_only = true},
    {.name = "chunk", .type = BC_OPTION_SIZE, .offset = FIELD(chunk_bytes), .default_text = "1M", .min = 64 * 1024, .max = 8 * MIB,
     .env = "BLUECACHE_AGENT_CHUNK", .argument = "SIZE",
     .help = "Objects are moved in chunks of this size, a multiple of 64K; clamped to the DMA engine's limit."},
    {.name = "connections-max", .type = BC_OPTION_U64, .offset = FIELD(connections_max), .default_text = "1024", .min = 1, .max = 65536,
     .argument = "N", .help = "Client connections of the agent."},
    {.name = "requests-max", .type = BC_OPTION_U64, .offset = FIELD(requests_max), .default_text = "128", .min = 1, .max = 4096,
     .argument = "N", .help = "Requests in flight per connection."},
    {.name = "entries-max", .type = BC_OPTION_U64, .offset = FIELD(entries_max), .default_text = "16384", .min = 1,
     .max = BC_TRANSFER_ENTRIES_MAX, .argument = "N", .help = "Entries of one transfer."},
    {.name = "regions-max", .type = BC_OPTION_U64, .offset = FIELD(regions_max), .default_text = "4096", .min = 1, .max = 65536,
     .argument = "N", .help = "Registered memories per connection."},
    {.name = "bytes-max", .type = BC_OPTION_SIZE, .offset = FIELD(bytes_max), .default_text = "16G", .min = MIB, .max = UINT64_MAX,
     .argument = "SIZE", .help = "Bytes of the transfers in flight per connection."},
    {.name = "hello-timeout", .type = BC_OPTION_DURATION_MS, .offset = FIELD(hello_timeout_ms), .default_text = "5s", .min = 10,
     .max = 600000, .argument = "TIME", .help = "A connection that sends no HELLO, or stops inside a message, is closed after this."},
    {.name = "drain-timeout", .type = BC_OPTION_DURATION_MS, .offset = FIELD(drain_timeout_ms), .default_text = "10s", .min = 1,
     .max = 600000, .argument = "TIME", .help = "On SIGTERM, requests in flight have this long to end."},
    {.name = "spin-us", .type = BC_OPTION_U64, .offset = FIELD(spin_us), .default_text = "50", .min = 1, .max = 1000000,
     .argument = "US", .help = "Microseconds a worker polls for what comes next before it sleeps, while that pays."},
    {.name = "huge-pages", .type = BC_OPTION_BOOL, .offset = FIELD(huge_pages), .default_text = "true",
     .help = "Take 2 MiB pages for staging memory where there are any."},
    {.name = "log-level", .type = BC_OPTION_ENUM, .offset = FIELD(log_level), .default_text = "info", .choices = log_levels,
     .env = "BLUECACHE_LOG", .argument = "LEVEL", .help = "error, warn, info, debug or trace."},
    {.name = "help", .short_name = 'h', .type = BC_OPTION_BOOL, .offset = FIELD(help), .help = "Show this and exit.", .command_line_only = true},
    {.name = "version", .short_name = 'V', .type = BC_OPTION_BOOL, .offset = FIELD(version), .help = "Show the version and exit.", .command_line_only = true},
};
/* clang-format on */

const struct bc_option_table bc_agent_option_table = {
    .program = "dpu_dma_copy",
    .summary =
        "The BlueCache agent: copies between host memory and this DPU's storage by DOCA DMA.",
    .rows = rows,
    .row_count = BC_ARRAY_LEN(rows),
};

static int check_channel(const struct bc_agent_options *options, struct bc_options_error *error)
{
    if (options->tcp) {
        return 0;
    }
    if (options->listen != NULL) {
        snprintf(error->text, sizeof(error->text),
                 "--listen %s: for control messages over TCP; give -T as well, or leave it out",
                 options->listen);
        return -EINVAL;
    }
    if (options->service[0] == '\0' || strchr(options->service, '/') != NULL) {
        snprintf(error->text, sizeof(error->text),
                 "--service '%s': a name of one or more letters without '/' is needed",
                 options->service);
        return -EINVAL;
    }
    return 0;
}

static int check_together(struct bc_agent_options *options, struct bc_options_error *error)
{
    const struct bc_backend_type *type = bc_backend_find(options->backend);
    if (type == NULL) {
        snprintf(error->text, sizeof(error->text), "-b %s: no such backend; there are: %s",
                 options->backend, bc_backend_names());
        return -EINVAL;
    }
    if (options->devices.count > 0) {
        snprintf(error->text, sizeof(error->text),
                 "--device %s: backend %s keeps no data on devices; leave --device out",
                 options->devices.items[0], options->backend);
        return -EINVAL;
    }
    if (options->chunk_bytes % BC_CRC_BLOCK_SIZE != 0) {
        snprintf(error->text, sizeof(error->text), "--chunk: must be a multiple of 64K");
        return -EINVAL;
    }
    uint64_t share = options->staging_bytes / options->workers;
    uint64_t need = bc_max_u64(4 * MIB, 4 * options->chunk_bytes);
    if (share < need) {
        snprintf(error->text, sizeof(error->text),
                 "-m: %llu workers need at least %llu MiB of staging memory with this --chunk",
                 (unsigned long long)options->workers,
                 (unsigned long long)(need * options->workers / MIB));
        return -EINVAL;
    }
    return check_channel(options, error);
}

int bc_agent_options_load(struct bc_agent_options *options, int argc, char **argv,
                          struct bc_options_error *error)
{
    const struct bc_option_table *table = &bc_agent_option_table;
    int operand = 0;
    int rc = bc_options_defaults(table, options, error);
    if (rc == 0) {
        rc = bc_options_load_env(table, options, error);
    }
    /* A first pass finds --config; the second puts the command line above the file again. */
    if (rc == 0) {
        rc = bc_options_load_args(table, options, argc, argv, &operand, error);
    }
    if (rc == 0 && operand < argc) {
        snprintf(error->text, sizeof(error->text), "%s: not an option; see --help", argv[operand]);
        return -EINVAL;
    }
    if (rc != 0) {
        return rc;
    }
    if (options->help) {
        bc_options_print_help(table, stdout);
        return 1;
    }
    if (options->version) {
        printf("dpu_dma_copy %s\n", BC_AGENT_VERSION);
        return 1;
    }
    if (options->config != NULL) {
        char path[4096];
        snprintf(path, sizeof(path), "%s", options->config);
        bc_options_fini(table, options);
        memset(options, 0, sizeof(*options));
        rc = bc_options_defaults(table, options, error);
        if (rc == 0) {
            rc = bc_options_load_file(table, options, path, error);
        }
        if (rc == 0) {
            rc = bc_options_load_env(table, options, error);
        }
        if (rc == 0) {
            rc = bc_options_load_args(table, options, argc, argv, &operand, error);
        }
        if (rc != 0) {
            return rc;
        }
    }
    rc = check_together(options, error);
    if (rc == 0 && options->print_config) {
        bc_options_print_config(table, options, stdout);
        return 1;
    }
    return rc;
}

void bc_agent_options_fini(struct bc_agent_options *options)
{
    bc_options_fini(&bc_agent_option_table, options);
}
