/* SPDX-License-Identifier: Apache-2.0 */
/* settings.h - the client's options with the environment and the defaults applied.
 * Precedence: the caller's structure, then the environment variable, then the default.
 * Lifetime: strings are copies, freed by fini. Constant after resolve: any thread reads it. */
#ifndef BC_HOST_SETTINGS_H
#define BC_HOST_SETTINGS_H

#include <stdbool.h>

#include "base/compiler.h"
#include "bluecache/bluecache.h"

BC_EXTERN_C_BEGIN

#define BC_TIMEOUT_MS_DEFAULT UINT64_C(30000)
/* Longer than a worker polls: who asks must not give up while the one asked is being woken. */
#define BC_SPIN_US_DEFAULT UINT64_C(100)
#define BC_SPIN_US_MAX     UINT64_C(1000000)
/* A year: keeps sums of times in nanoseconds far from overflow. */
#define BC_TIMEOUT_MS_MAX (UINT64_C(365) * 24 * 3600 * 1000)

struct bc_settings {
    bool comch;     /* mode */
    char *dpu_addr; /* "HOST:PORT"; with Comch the name of the service, once the device is open with
                       what the transport wants before it */
    char *pci_addr; /* NULL: choose */
    char *name;
    uint64_t timeout_ms;
    uint64_t spin_us;      /* polled at most before a waiting thread sleeps; 0: sleep at once */
    uint64_t bounce_bytes; /* of pinned host memory, when GPU memory needs it; 0: none */
    uint32_t requests_max; /* 0: what the agent grants */
};

/* -EINVAL, -ENOMEM; a sentence in `error` (may be NULL). options may
 * be NULL. */
BC_MUST_USE int bc_settings_resolve(const struct bc_client_options *options,
                                    struct bc_settings *settings_out, struct bc_error *error);
void bc_settings_fini(struct bc_settings *settings);

BC_EXTERN_C_END

#endif
