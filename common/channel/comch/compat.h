/* SPDX-License-Identifier: Apache-2.0 */
/* compat.h - what differs between the DOCA releases 2.7 and 3.x in what this project uses of them.
 * The only place that asks for DOCA's version. Names here are ours: bc_doca_<what>. */
#ifndef BC_CHANNEL_COMCH_COMPAT_H
#define BC_CHANNEL_COMCH_COMPAT_H

#include <doca_comch.h>
#include <doca_pe.h>
#include <doca_version.h>

#if DOCA_VERSION_MAJOR >= 3
#define bc_doca_register_connections doca_comch_server_event_connection_status_changed_register
#else
#define bc_doca_register_connections doca_comch_server_event_connection_register
#endif

/* A progress call looks at every context, whichever signalled: before 3.0 there is no choice, and no
 * need. */
static inline doca_error_t bc_doca_progress_all(struct doca_pe *pe)
{
#if DOCA_VERSION_MAJOR >= 3
    return doca_pe_set_event_mode(pe, DOCA_PE_EVENT_MODE_PROGRESS_ALL);
#else
    (void)pe;
    return DOCA_SUCCESS;
#endif
}

#endif
