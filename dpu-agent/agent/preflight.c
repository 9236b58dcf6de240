/* SPDX-License-Identifier: Apache-2.0 */
/* preflight.c - see preflight.h: the table, the devices, and the order of everything. */
#include "agent/preflight.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define ADVICE_LEN 320
#define TEXT_LEN   384

static const char *const marks[] = {"ok", "warn", "FAIL"};

void bc_preflight_row(struct bc_preflight *preflight, enum bc_preflight_mark mark,
                      const char *check, const char *advice, const char *format, ...)
{
    char text[TEXT_LEN];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)fprintf(preflight->out, "%-28s | %-4s  %s%s%s\n", check, marks[mark], text,
                  advice != NULL ? " | " : "", advice != NULL ? advice : "");
    preflight->warnings += mark == BC_PREFLIGHT_WARN;
    preflight->failures += mark == BC_PREFLIGHT_FAIL;
}

/* ---- devices ------------------------------------------------------------------------------- */

/* "3.0.0058" and "3.0.0101" belong together, "3.1..." does not. */
static bool same_release(const char *a, const char *b)
{
    char *rest_a;
    char *rest_b;

    return strtoul(a, &rest_a, 10) == strtoul(b, &rest_b, 10) && *rest_a == '.' && *rest_b == '.' &&
           strtoul(rest_a + 1, NULL, 10) == strtoul(rest_b + 1, NULL, 10);
}

static void check_sdk(struct bc_preflight *preflight, const struct bc_dma_survey *survey)
{
    if (survey->emulated) {
        bc_preflight_row(preflight, BC_PREFLIGHT_WARN, "DOCA",
                         "for a BlueField: build with -DDOCA_DIR=/opt/mellanox/doca",
                         "%s, the software emulation: no BlueField is used", survey->version);
    } else if (!same_release(survey->version, survey->version_runtime)) {
        bc_preflight_row(
            preflight, BC_PREFLIGHT_WARN, "DOCA", "build anew with the SDK that is installed",
            "compiled with %s, runs with %s", survey->version, survey->version_runtime);
    } else {
        bc_preflight_row(preflight, BC_PREFLIGHT_OK, "DOCA", NULL,
                         "%s; the host's should be of the same release", survey->version_runtime);
    }
}

static void check_found(struct bc_preflight *preflight, const struct bc_dma_survey *survey)
{
    const char *pci_addr = preflight->options->pci_addr;

    if (survey->device_count == 0) {
        bc_preflight_row(preflight, BC_PREFLIGHT_FAIL, "device",
                         "run as root or in the group mlnx; lspci -d 15b3: must show the "
                         "BlueField, and doca_caps --list-devs its functions",
                         "DOCA lists none (%s)", survey->error);
    } else if (!survey->found) {
        bc_preflight_row(preflight, BC_PREFLIGHT_FAIL, "device",
                         "give one of them by -p, as the DPU's own lspci shows it",
                         "none at %s; there are: %s", pci_addr, survey->devices);
    } else if (survey->open_error[0] != '\0') {
        bc_preflight_row(preflight, BC_PREFLIGHT_FAIL, "device",
                         "run as root or in the group mlnx; end what holds it",
                         "%s cannot be opened: %s", survey->pci_addr, survey->open_error);
    } else {
        bc_preflight_row(preflight, BC_PREFLIGHT_OK, "device", NULL, "%s, of %u that there are",
                         survey->pci_addr, survey->device_count);
    }
}

/* What says whether the card is in DPU mode, and how to get there. */
static const char *mode_advice(const struct bc_dma_survey *survey, char text[ADVICE_LEN])
{
    (void)snprintf(text, ADVICE_LEN,
                   "NIC mode? mlxconfig -d %s q | grep INTERNAL_CPU: DPU mode is "
                   "INTERNAL_CPU_MODEL=EMBEDDED_CPU(1), INTERNAL_CPU_OFFLOAD_ENGINE=ENABLED(0); "
                   "set both with mlxconfig, then power-cycle the host",
                   survey->pci_addr);
    return text;
}

static void check_capabilities(struct bc_preflight *preflight, const struct bc_dma_survey *survey)
{
    char advice[ADVICE_LEN];

    if (survey->copies) {
        bc_preflight_row(preflight, BC_PREFLIGHT_OK, "DMA", NULL, "copies of up to %llu KiB",
                         (unsigned long long)(survey->copy_len_max >> 10));
    } else {
        bc_preflight_row(preflight, BC_PREFLIGHT_FAIL, "DMA",
                         "give another function by -p; BlueField-2 or newer is needed",
                         "%s does no copies", survey->pci_addr);
    }
    if (survey->imports) {
        bc_preflight_row(preflight, BC_PREFLIGHT_OK, "import", NULL,
                         "memory that the host exported can be imported");
    } else {
        bc_preflight_row(preflight, BC_PREFLIGHT_FAIL, "import", mode_advice(survey, advice),
                         "%s cannot import the host's memory%s", survey->pci_addr,
                         survey->exports ? ": it is a host's function" : "");
    }
}

static void check_reps(struct bc_preflight *preflight, const struct bc_dma_survey *survey)
{
    const struct bc_agent_options *options = preflight->options;
    enum bc_preflight_mark missing = options->tcp ? BC_PREFLIGHT_WARN : BC_PREFLIGHT_FAIL;
    char advice[ADVICE_LEN];

    if (survey->rep_count == 0) {
        bc_preflight_row(preflight, missing, "host functions", mode_advice(survey, advice),
                         "none is behind %s%s%s", survey->pci_addr,
                         survey->rep_error[0] != '\0' ? ": " : "", survey->rep_error);
    } else if (options->rep != NULL && !survey->rep_found) {
        bc_preflight_row(preflight, missing, "host functions",
                         "give one of them by --rep, as the host's lspci shows it",
                         "none at %s; there are: %s", options->rep, survey->reps);
    } else if (options->rep == NULL && survey->rep_count > 1 && !options->tcp) {
        bc_preflight_row(preflight, BC_PREFLIGHT_FAIL, "host functions", "choose one by --rep",
                         "there are several: %s", survey->reps);
    } else {
        bc_preflight_row(preflight, BC_PREFLIGHT_OK, "host functions", NULL, "%s", survey->reps);
    }
}

static void check_comch(struct bc_preflight *preflight, const struct bc_dma_survey *survey)
{
    if (survey->comch_server) {
        bc_preflight_row(preflight, BC_PREFLIGHT_OK, "Comch", NULL,
                         "servers, messages of up to %u bytes%s", survey->comch_message_max,
                         preflight->options->tcp ? "; not used with -T" : "");
    } else {
        bc_preflight_row(preflight, preflight->options->tcp ? BC_PREFLIGHT_OK : BC_PREFLIGHT_FAIL,
                         "Comch", preflight->options->tcp ? NULL : "use TCP: -T --listen ADDR:PORT",
                         "%s has no Comch servers%s", survey->pci_addr,
                         preflight->options->tcp ? "; not used with -T" : "");
    }
}

void bc_preflight_devices(struct bc_preflight *preflight, const struct bc_dma_survey *survey)
{
    check_sdk(preflight, survey);
    check_found(preflight, survey);
    if (!survey->found) {
        return;
    }
    check_capabilities(preflight, survey);
    if (survey->open_error[0] == '\0') {
        check_reps(preflight, survey);
    }
    check_comch(preflight, survey);
}

/* ---- all of it ----------------------------------------------------------------------------- */

static void step_done(void *arg, const char *step, const char *error)
{
    char check[32];

    (void)snprintf(check, sizeof(check), "start: %s", step);
    if (error == NULL) {
        bc_preflight_row(arg, BC_PREFLIGHT_OK, check, NULL, "done and undone");
    } else {
        bc_preflight_row(arg, BC_PREFLIGHT_FAIL, check, "the log says more", "%s", error);
    }
}

static void try_start(struct bc_agent *agent, struct bc_preflight *preflight)
{
    uint32_t failures = preflight->failures;

    if (failures > 0) {
        bc_preflight_row(preflight, BC_PREFLIGHT_WARN, "start", "see to what failed first",
                         "not tried");
        return;
    }
    agent->step_done = step_done;
    agent->step_arg = preflight;
    if (bc_agent_start(agent, true) != 0 && preflight->failures == failures) {
        bc_preflight_row(preflight, BC_PREFLIGHT_FAIL, "start", "the log says more",
                         "a worker did not end");
    }
}

int bc_preflight_run(struct bc_agent *agent, FILE *out)
{
    struct bc_preflight preflight = {.options = agent->options, .out = out};
    struct bc_dma_survey survey;
    struct bc_machine machine;
    struct bc_store_place place;

    (void)fprintf(out, "%-28s | %-4s  %s\n", "check", "", "result | what to do");
    bc_preflight_row(&preflight, BC_PREFLIGHT_OK, "version", NULL, "dpu_dma_copy %s, protocol %u",
                     BC_AGENT_VERSION, BC_WIRE_VERSION);
    bc_dma_survey(agent->options->pci_addr, agent->options->rep, &survey);
    bc_preflight_devices(&preflight, &survey);
    bc_machine_look(&machine);
    bc_preflight_machine(&preflight, &machine, survey.emulated);
    if (strcmp(agent->options->backend, "posix") == 0) {
        bc_store_place_look(agent->options->root, &place);
        bc_preflight_store(&preflight, &place);
    }
    try_start(agent, &preflight);
    (void)fprintf(out, "%s: %u failed, %u warnings\n",
                  preflight.failures > 0 ? "the agent would not start" : "the agent would start",
                  preflight.failures, preflight.warnings);
    if (fflush(out) != 0) {
        return EXIT_FAILURE;
    }
    return preflight.failures > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
