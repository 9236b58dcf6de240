/* SPDX-License-Identifier: Apache-2.0 */
/* preflight.h - dpu_dma_copy --preflight: looks at everything that a start with these options needs
 * and prints a table: check | result | what to do. What is found is facts (structures that a test can
 * make up), what it means is decided apart from finding it.
 * Nothing stays behind but what the start itself would make (a store in --root). Thread: main. */
#ifndef BC_AGENT_PREFLIGHT_H
#define BC_AGENT_PREFLIGHT_H

#include <stdio.h>

#include "agent/startup.h"
#include "dma/survey.h"

BC_EXTERN_C_BEGIN

enum bc_preflight_mark {
    BC_PREFLIGHT_OK,
    BC_PREFLIGHT_WARN, /* the agent starts, but slower, or not as one may think */
    BC_PREFLIGHT_FAIL, /* it would not start, or serve nobody */
};

struct bc_preflight {
    const struct bc_agent_options *options;
    FILE *out;
    uint32_t warnings;
    uint32_t failures;
};

/* A row of the table. `advice` NULL: nothing to do. */
void bc_preflight_row(struct bc_preflight *preflight, enum bc_preflight_mark mark,
                      const char *check, const char *advice, const char *format, ...)
    BC_PRINTF(5, 6);

/* Sizes in bytes; 0: could not be found out. */
struct bc_machine {
    char kernel[64];
    uint32_t kernel_major;
    uint32_t kernel_minor;
    int ring_error; /* negative errno: no io_uring */
    long processors;
    uint64_t memory;
    uint64_t memory_available;
    uint64_t huge_page_len;
    uint64_t huge_pages_free;
    bool huge_pages_transparent;
    uint64_t locked_max; /* UINT64_MAX: no limit */
    uint64_t files_max;
};

struct bc_store_place {
    const char *root;
    bool exists;
    int error;       /* negative errno: neither it nor what it would be made in can be used */
    int write_error; /* negative errno: nothing can be made in it */
    bool direct;     /* takes O_DIRECT */
    bool direct_known;
    const char *file_system; /* its name, or "unknown" */
    uint64_t total;
    uint64_t free;
};

void bc_machine_look(struct bc_machine *machine_out);
void bc_store_place_look(const char *root, struct bc_store_place *place_out);

void bc_preflight_devices(struct bc_preflight *preflight, const struct bc_dma_survey *survey);
void bc_preflight_machine(struct bc_preflight *preflight, const struct bc_machine *machine,
                          bool emulated);
void bc_preflight_store(struct bc_preflight *preflight, const struct bc_store_place *place);

/* All of it, and then the steps of a start, unless something failed before. Exit status of the
 * program: 0 all fine or warnings, 1 something would keep the agent from starting. */
int bc_preflight_run(struct bc_agent *agent, FILE *out);

BC_EXTERN_C_END

#endif
