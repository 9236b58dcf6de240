/* SPDX-License-Identifier: Apache-2.0 */
/* preflight_machine.c - see preflight.h: kernel, processors, memory, limits of the process. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/preflight.h"
#include "loop/loop.h"

#define MIB          (UINT64_C(1) << 20)
#define KERNEL_MAJOR 5u
#define KERNEL_MINOR 19u
/* Descriptors besides those of connections: objects that are open, and the agent's own. */
#define FILES_BESIDES 1024u
#define ADVICE_LEN    200

/* ---- looking ------------------------------------------------------------------------------- */

static void look_at_kernel(struct bc_machine *machine)
{
    struct utsname name;
    char *rest;

    if (uname(&name) != 0) {
        return;
    }
    (void)snprintf(machine->kernel, sizeof(machine->kernel), "%.63s", name.release);
    machine->kernel_major = (uint32_t)strtoul(name.release, &rest, 10);
    if (*rest == '.') {
        machine->kernel_minor = (uint32_t)strtoul(rest + 1, NULL, 10);
    }
}

static void look_at_memory(struct bc_machine *machine)
{
    FILE *file = fopen("/proc/meminfo", "re");
    char line[128];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        unsigned long long number;

        if (sscanf(line, "MemTotal: %llu", &number) == 1) {
            machine->memory = number << 10;
        } else if (sscanf(line, "MemAvailable: %llu", &number) == 1) {
            machine->memory_available = number << 10;
        } else if (sscanf(line, "HugePages_Free: %llu", &number) == 1) {
            machine->huge_pages_free = number;
        } else if (sscanf(line, "Hugepagesize: %llu", &number) == 1) {
            machine->huge_page_len = number << 10;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
    if (file != NULL) {
        machine->huge_pages_transparent =
            fgets(line, sizeof(line), file) != NULL && strstr(line, "[never]") == NULL;
        (void)fclose(file);
    }
}

static uint64_t limit_of(int resource)
{
    struct rlimit limit;

    if (getrlimit(resource, &limit) != 0) {
        return 0;
    }
    return limit.rlim_max == RLIM_INFINITY ? UINT64_MAX : limit.rlim_max;
}

static int look_at_ring(void)
{
    struct bc_loop_options options = {.entries = 8, .timers = 8, .name = "preflight"};
    struct bc_loop *loop = NULL;
    int rc = bc_loop_create(&options, &loop);

    if (rc == 0) {
        bc_loop_destroy(loop);
    }
    return rc;
}

void bc_machine_look(struct bc_machine *machine_out)
{
    struct bc_machine machine = {.ring_error = look_at_ring(),
                                 .processors = sysconf(_SC_NPROCESSORS_ONLN),
                                 .locked_max = limit_of(RLIMIT_MEMLOCK),
                                 .files_max = limit_of(RLIMIT_NOFILE)};

    look_at_kernel(&machine);
    look_at_memory(&machine);
    *machine_out = machine;
}

/* ---- what it means ------------------------------------------------------------------------- */

static void check_kernel(struct bc_preflight *preflight, const struct bc_machine *machine)
{
    bool old = machine->kernel_major < KERNEL_MAJOR ||
               (machine->kernel_major == KERNEL_MAJOR && machine->kernel_minor < KERNEL_MINOR);

    bc_preflight_row(preflight, old ? BC_PREFLIGHT_WARN : BC_PREFLIGHT_OK, "kernel",
                     old ? "5.19 or newer is what the agent is tested with" : NULL, "%s",
                     machine->kernel[0] != '\0' ? machine->kernel : "unknown");
    switch (machine->ring_error) {
    case 0:
        bc_preflight_row(preflight, BC_PREFLIGHT_OK, "io_uring", NULL, "works");
        break;
    case -ENOSYS:
        bc_preflight_row(preflight, BC_PREFLIGHT_FAIL, "io_uring",
                         "a kernel with CONFIG_IO_URING, 5.19 or newer", "the kernel has none");
        break;
    case -EPERM:
    case -EACCES:
        bc_preflight_row(preflight, BC_PREFLIGHT_FAIL, "io_uring",
                         "sysctl kernel.io_uring_disabled=0; in a container, a seccomp profile "
                         "that allows io_uring_*",
                         "forbidden here");
        break;
    default:
        bc_preflight_row(preflight, BC_PREFLIGHT_FAIL, "io_uring",
                         machine->ring_error == -ENOMEM ? "raise the limit of locked memory"
                                                        : "the log says more",
                         "cannot be set up: %s", strerror(-machine->ring_error));
        break;
    }
}

static void check_memory(struct bc_preflight *preflight, const struct bc_machine *machine)
{
    uint64_t staging = preflight->options->staging_bytes;
    unsigned long long have_mib = machine->memory / MIB;
    unsigned long long left_mib = machine->memory_available / MIB;
    uint64_t huge = machine->huge_pages_free * machine->huge_page_len;

    if (machine->memory == 0) {
        bc_preflight_row(preflight, BC_PREFLIGHT_WARN, "memory", "mount /proc", "unknown");
    } else if (staging > machine->memory) {
        bc_preflight_row(preflight, BC_PREFLIGHT_FAIL, "memory", "give less staging memory by -m",
                         "%llu MiB; -m wants %llu MiB", have_mib,
                         (unsigned long long)(staging / MIB));
    } else if (staging > machine->memory_available + huge) {
        bc_preflight_row(preflight, BC_PREFLIGHT_WARN, "memory",
                         "give less staging memory by -m, or end what takes the rest",
                         "%llu MiB, %llu MiB of them available; -m wants %llu MiB", have_mib,
                         left_mib, (unsigned long long)(staging / MIB));
    } else {
        bc_preflight_row(preflight, BC_PREFLIGHT_OK, "memory", NULL,
                         "%llu MiB, %llu MiB of them available", have_mib, left_mib);
    }
}

static void check_huge_pages(struct bc_preflight *preflight, const struct bc_machine *machine)
{
    uint64_t staging = preflight->options->staging_bytes;
    char advice[ADVICE_LEN];
    uint64_t pages;

    if (!preflight->options->huge_pages) {
        bc_preflight_row(preflight, BC_PREFLIGHT_OK, "huge pages", NULL, "not asked for");
        return;
    }
    if (machine->huge_page_len != 0 &&
        machine->huge_pages_free * machine->huge_page_len >= staging) {
        bc_preflight_row(preflight, BC_PREFLIGHT_OK, "huge pages", NULL, "%llu free of %llu KiB",
                         (unsigned long long)machine->huge_pages_free,
                         (unsigned long long)(machine->huge_page_len >> 10));
        return;
    }
    pages = machine->huge_page_len == 0
                ? 0
                : (staging + machine->huge_page_len - 1) / machine->huge_page_len;
    (void)snprintf(advice, sizeof(advice), "sysctl vm.nr_hugepages=%llu, or --no-huge-pages",
                   (unsigned long long)pages);
    bc_preflight_row(preflight, BC_PREFLIGHT_WARN, "huge pages",
                     pages != 0 ? advice : "a kernel with CONFIG_HUGETLBFS, or --no-huge-pages",
                     "%llu reserved and free, -m wants %llu: %s pages are used",
                     (unsigned long long)machine->huge_pages_free, (unsigned long long)pages,
                     machine->huge_pages_transparent ? "transparent huge" : "normal");
}

static void check_limits(struct bc_preflight *preflight, const struct bc_machine *machine,
                         bool emulated)
{
    const struct bc_agent_options *options = preflight->options;
    uint64_t files = options->connections_max + FILES_BESIDES;

    if (machine->locked_max == UINT64_MAX) {
        bc_preflight_row(preflight, BC_PREFLIGHT_OK, "locked memory", NULL, "no limit");
    } else if (emulated || machine->locked_max > options->staging_bytes) {
        bc_preflight_row(preflight, BC_PREFLIGHT_OK, "locked memory", NULL, "%llu KiB%s",
                         (unsigned long long)(machine->locked_max >> 10),
                         emulated ? "; the emulation locks none" : "");
    } else {
        bc_preflight_row(preflight, BC_PREFLIGHT_WARN, "locked memory",
                         "ulimit -l unlimited; LimitMEMLOCK=infinity in a unit",
                         "%llu KiB; the SDK pins the staging memory, %llu MiB",
                         (unsigned long long)(machine->locked_max >> 10),
                         (unsigned long long)(options->staging_bytes / MIB));
    }
    if (machine->files_max >= files) {
        bc_preflight_row(preflight, BC_PREFLIGHT_OK, "open files", NULL, "%llu",
                         (unsigned long long)machine->files_max);
    } else {
        bc_preflight_row(preflight, BC_PREFLIGHT_WARN, "open files",
                         "ulimit -Hn, LimitNOFILE= in a unit, or less by --connections-max",
                         "%llu; --connections-max and the store want %llu",
                         (unsigned long long)machine->files_max, (unsigned long long)files);
    }
}

void bc_preflight_machine(struct bc_preflight *preflight, const struct bc_machine *machine,
                          bool emulated)
{
    uint64_t workers = preflight->options->workers;
    bool few = machine->processors > 0 && workers > (uint64_t)machine->processors;

    check_kernel(preflight, machine);
    bc_preflight_row(preflight, few ? BC_PREFLIGHT_WARN : BC_PREFLIGHT_OK, "processors",
                     few ? "give fewer --workers: each wants one to itself" : NULL,
                     "%ld for %llu workers", machine->processors, (unsigned long long)workers);
    check_memory(preflight, machine);
    check_huge_pages(preflight, machine);
    check_limits(preflight, machine, emulated);
}
