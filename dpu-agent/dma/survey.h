/* SPDX-License-Identifier: Apache-2.0 */
/* survey.h - what the SDK says of this machine's functions, for people: versions, capabilities, and
 * what is behind the DPU. Nothing is kept open.
 * Thread: any. */
#ifndef BC_DMA_SURVEY_H
#define BC_DMA_SURVEY_H

#include <stdbool.h>

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

#define BC_SURVEY_TEXT_LEN 256
#define BC_SURVEY_PCI_LEN  32

struct bc_dma_survey {
    char version[32];         /* of the headers that this was compiled with */
    char version_runtime[32]; /* of the library */
    bool emulated;
    char error[BC_SURVEY_TEXT_LEN]; /* why there is no list of functions; "": there is one */
    uint32_t device_count;
    char devices[BC_SURVEY_TEXT_LEN]; /* their PCI addresses */

    /* Of the function that was asked for; all below is empty without it. */
    bool found;
    char pci_addr[BC_SURVEY_PCI_LEN];
    bool copies; /* DMA */
    uint64_t copy_len_max;
    bool imports; /* memory that a host exported */
    bool exports; /* as a host's function does */
    bool comch_server;
    uint32_t comch_message_max;
    char open_error[BC_SURVEY_TEXT_LEN]; /* "": it could be opened */
    char rep_error[BC_SURVEY_TEXT_LEN];  /* "": its representors could be listed */
    uint32_t rep_count;
    char reps[BC_SURVEY_TEXT_LEN]; /* the host's functions behind it, as the host sees them */
    bool rep_found;                /* the one that was asked for */
};

/* rep NULL: none is asked for. */
void bc_dma_survey(const char *pci_addr, const char *rep, struct bc_dma_survey *survey_out);

BC_EXTERN_C_END

#endif
