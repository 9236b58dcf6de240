/* SPDX-License-Identifier: Apache-2.0 */
/* survey.c - see survey.h. */
#include "dma/survey.h"

#include <stdio.h>
#include <string.h>

#include <doca_comch.h>
#include <doca_dev.h>
#include <doca_dma.h>
#include <doca_error.h>
#include <doca_mmap.h>
#include <doca_version.h>

static void add_name(char text[BC_SURVEY_TEXT_LEN], const char *name)
{
    size_t used = strlen(text);

    (void)snprintf(text + used, BC_SURVEY_TEXT_LEN - used, "%s%s", used == 0 ? "" : " ", name);
}

static void survey_capabilities(const struct doca_devinfo *info, struct bc_dma_survey *survey)
{
    uint8_t supported = 0;

    survey->copies =
        doca_dma_cap_task_memcpy_is_supported(info) == DOCA_SUCCESS &&
        doca_dma_cap_task_memcpy_get_max_buf_size(info, &survey->copy_len_max) == DOCA_SUCCESS;
    survey->imports =
        doca_mmap_cap_is_create_from_export_pci_supported(info, &supported) == DOCA_SUCCESS &&
        supported != 0;
    supported = 0;
    survey->exports =
        doca_mmap_cap_is_export_pci_supported(info, &supported) == DOCA_SUCCESS && supported != 0;
    survey->comch_server = doca_comch_cap_server_is_supported(info) == DOCA_SUCCESS;
    if (doca_comch_cap_get_max_msg_size(info, &survey->comch_message_max) != DOCA_SUCCESS) {
        survey->comch_message_max = 0;
    }
}

static void survey_reps(struct doca_dev *dev, const char *wanted, struct bc_dma_survey *survey)
{
    struct doca_devinfo_rep **list = NULL;
    doca_error_t error =
        doca_devinfo_rep_create_list(dev, DOCA_DEVINFO_REP_FILTER_NET, &list, &survey->rep_count);

    if (error != DOCA_SUCCESS) {
        survey->rep_count = 0;
        (void)snprintf(survey->rep_error, sizeof(survey->rep_error), "%s",
                       doca_error_get_descr(error));
        return;
    }
    for (uint32_t i = 0; i < survey->rep_count; i++) {
        char name[DOCA_DEVINFO_REP_PCI_ADDR_SIZE] = "";
        uint8_t equal = 0;

        if (doca_devinfo_rep_get_pci_addr_str(list[i], name) == DOCA_SUCCESS) {
            add_name(survey->reps, name);
        }
        if (wanted != NULL &&
            doca_devinfo_rep_is_equal_pci_addr(list[i], wanted, &equal) == DOCA_SUCCESS &&
            equal != 0) {
            survey->rep_found = true;
        }
    }
    (void)doca_devinfo_rep_destroy_list(list);
}

static void survey_found(struct doca_devinfo *info, const char *rep, struct bc_dma_survey *survey)
{
    struct doca_dev *dev = NULL;
    doca_error_t error;

    survey->found = true;
    (void)doca_devinfo_get_pci_addr_str(info, survey->pci_addr);
    survey_capabilities(info, survey);
    error = doca_dev_open(info, &dev);
    if (error != DOCA_SUCCESS) {
        (void)snprintf(survey->open_error, sizeof(survey->open_error), "%s",
                       doca_error_get_descr(error));
        return;
    }
    survey_reps(dev, rep, survey);
    (void)doca_dev_close(dev);
}

BC_STATIC_ASSERT(BC_SURVEY_PCI_LEN >= DOCA_DEVINFO_PCI_ADDR_SIZE, "an address of DOCA fits");

void bc_dma_survey(const char *pci_addr, const char *rep, struct bc_dma_survey *survey_out)
{
    struct bc_dma_survey survey = {.emulated = BC_DOCA_EMULATED};
    struct doca_devinfo **list = NULL;
    doca_error_t error;

    (void)snprintf(survey.version, sizeof(survey.version), "%s", DOCA_VERSION_STRING);
    (void)snprintf(survey.version_runtime, sizeof(survey.version_runtime), "%s",
                   doca_version_runtime());
    error = doca_devinfo_create_list(&list, &survey.device_count);
    if (error != DOCA_SUCCESS) {
        survey.device_count = 0;
        (void)snprintf(survey.error, sizeof(survey.error), "%s", doca_error_get_descr(error));
        *survey_out = survey;
        return;
    }
    for (uint32_t i = 0; i < survey.device_count; i++) {
        char name[DOCA_DEVINFO_PCI_ADDR_SIZE] = "";
        uint8_t equal = 0;

        if (doca_devinfo_get_pci_addr_str(list[i], name) == DOCA_SUCCESS) {
            add_name(survey.devices, name);
        }
        if (!survey.found &&
            doca_devinfo_is_equal_pci_addr(list[i], pci_addr, &equal) == DOCA_SUCCESS &&
            equal != 0) {
            survey_found(list[i], rep, &survey);
        }
    }
    (void)doca_devinfo_destroy_list(list);
    *survey_out = survey;
}
