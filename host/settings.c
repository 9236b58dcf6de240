/* SPDX-License-Identifier: Apache-2.0 */
/* settings.c - see settings.h. */
#include "settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"
#include "bounce.h"
#include "channel/comch_wire.h"
#include "dma_transfer.h"
#include "errors.h"

#define DPU_ADDR_DEFAULT "127.0.0.1:18517"

static const char *choose(const char *given, const char *env, const char *otherwise)
{
    const char *value = given;

    if (value == NULL || value[0] == '\0') {
        value = getenv(env);
    }
    return value == NULL || value[0] == '\0' ? otherwise : value;
}

static int resolve_mode(const char *mode, bool *comch_out, struct bc_error *error)
{
    *comch_out = strcmp(mode, "comch") == 0;
    if (*comch_out || strcmp(mode, "tcp") == 0) {
        return 0;
    }
    return bc_error_set(error, -EINVAL, "mode is '%s'; it can be tcp or comch (BLUECACHE_MODE)",
                        mode);
}

/* An address was meant for TCP: whoever changes the mode need not take it away. */
static const char *service_of(const char *dpu_addr)
{
    struct in_addr address;

    return strchr(dpu_addr, ':') != NULL || inet_pton(AF_INET, dpu_addr, &address) == 1
               ? BC_COMCH_SERVICE
               : dpu_addr;
}

static int resolve_timeout(uint64_t given_ms, uint64_t *timeout_ms_out, struct bc_error *error)
{
    const char *text = getenv("BLUECACHE_TIMEOUT_MS");
    uint64_t timeout_ms = given_ms;

    if (timeout_ms == 0 && text != NULL && text[0] != '\0') {
        if (bc_parse_u64(text, &timeout_ms) != 0 || timeout_ms == 0) {
            return bc_error_set(error, -EINVAL,
                                "BLUECACHE_TIMEOUT_MS is '%s'; it must be a whole number of "
                                "milliseconds above 0",
                                text);
        }
    }
    if (timeout_ms == 0) {
        timeout_ms = BC_TIMEOUT_MS_DEFAULT;
    }
    *timeout_ms_out = bc_min_u64(timeout_ms, BC_TIMEOUT_MS_MAX);
    return 0;
}

static int resolve_spin(uint64_t *spin_us_out, struct bc_error *error)
{
    const char *text = getenv("BLUECACHE_SPIN_US");

    *spin_us_out = BC_SPIN_US_DEFAULT;
    if (text != NULL && text[0] != '\0' &&
        (bc_parse_u64(text, spin_us_out) != 0 || *spin_us_out > BC_SPIN_US_MAX)) {
        return bc_error_set(error, -EINVAL,
                            "BLUECACHE_SPIN_US is '%s'; it must be a whole number of microseconds, "
                            "at most %llu",
                            text, (unsigned long long)BC_SPIN_US_MAX);
    }
    return 0;
}

static int resolve_bounce(uint64_t *bytes_out, struct bc_error *error)
{
    const char *text = getenv("BLUECACHE_BOUNCE_BYTES");

    *bytes_out = BC_BOUNCE_DEFAULT;
    if (text == NULL || text[0] == '\0') {
        return 0;
    }
    if (bc_parse_size(text, 1, bytes_out) != 0 ||
        (*bytes_out != 0 && (*bytes_out < BC_BOUNCE_MIN || *bytes_out > BC_BOUNCE_MAX))) {
        return bc_error_set(error, -EINVAL,
                            "BLUECACHE_BOUNCE_BYTES is '%s'; it must be 0 or a size from 1M to 64G",
                            text);
    }
    *bytes_out = bc_align_up_u64(*bytes_out, 4096);
    return 0;
}

int bc_settings_resolve(const struct bc_client_options *options, struct bc_settings *settings_out,
                        struct bc_error *error)
{
    static const struct bc_client_options nothing_given;
    struct bc_settings settings = {0};
    const char *pci_addr;
    const char *dpu_addr;
    int rc;

    if (options == NULL) {
        options = &nothing_given;
    }
    rc = resolve_mode(choose(options->mode, "BLUECACHE_MODE", "tcp"), &settings.comch, error);
    if (rc == 0) {
        rc = resolve_timeout(options->timeout_ms, &settings.timeout_ms, error);
    }
    if (rc == 0) {
        rc = resolve_spin(&settings.spin_us, error);
    }
    if (rc == 0) {
        rc = resolve_bounce(&settings.bounce_bytes, error);
    }
    if (rc != 0) {
        return rc;
    }
    settings.requests_max = options->requests_max;
    pci_addr = choose(options->pci_addr, "BLUECACHE_PCI_ADDR", NULL);
    dpu_addr = choose(options->dpu_addr, "BLUECACHE_DPU_ADDR", DPU_ADDR_DEFAULT);
    settings.dpu_addr = strdup(settings.comch ? service_of(dpu_addr) : dpu_addr);
    settings.pci_addr = pci_addr == NULL ? NULL : strdup(pci_addr);
    settings.name =
        strndup(options->name != NULL && options->name[0] != '\0' ? options->name
                                                                  : program_invocation_short_name,
                BC_NAME_LEN_MAX);
    if (settings.dpu_addr == NULL || settings.name == NULL ||
        (pci_addr != NULL && settings.pci_addr == NULL)) {
        bc_settings_fini(&settings);
        return bc_error_set(error, -ENOMEM, "out of memory");
    }
    *settings_out = settings;
    return 0;
}

void bc_settings_fini(struct bc_settings *settings)
{
    free(settings->dpu_addr);
    free(settings->pci_addr);
    free(settings->name);
    memset(settings, 0, sizeof(*settings));
}
