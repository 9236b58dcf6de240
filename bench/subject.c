/* SPDX-License-Identifier: Apache-2.0 */
/* subject.c - see subject.h. */
#include "subject.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "ring.h"

#define SECTOR 512u

void bc_subject_open(struct bc_subject *subject, const char *addr, const char *kind, uint64_t len)
{
    struct bc_client_options options = {.dpu_addr = addr, .name = "bench"};
    struct bc_error error = {{0}};
    int rc;

    subject->ring_len = len;
    subject->ring = bc_ring_alloc(kind, len);
    rc = bc_client_open(&options, &subject->client, &error);
    if (rc != 0) {
        bc_harness_fail("bc_client_open: %s", error.text);
    }
    rc = bc_memory_register(subject->client, subject->ring, len, BC_MEMORY_HOST, 0,
                            &subject->memory);
    if (rc != 0) {
        bc_harness_fail("bc_memory_register: %s", strerror(-rc));
    }
}

void bc_subject_close(struct bc_subject *subject)
{
    int rc = bc_memory_unregister(subject->client, subject->memory);

    if (rc == 0) {
        rc = bc_client_close(subject->client);
    }
    if (rc != 0) {
        bc_harness_fail("the client does not close: %s", strerror(-rc));
    }
}

struct bc_request *bc_subject_submit(struct bc_subject *subject, enum bc_op op,
                                     const struct bc_entry *entries, uint64_t count)
{
    struct bc_request *request = NULL;
    int rc = bc_submit(subject->client, op, entries, count, NULL, &request);

    if (rc != 0) {
        bc_harness_fail("bc_submit: %s", strerror(-rc));
    }
    return request;
}

void bc_subject_finish(struct bc_request *request)
{
    enum bc_status status = bc_request_wait(request, BC_SUBJECT_WAIT_MS);

    if (status != BC_STATUS_OK) {
        bc_harness_fail("a request ended as: %s", bc_status_text(status));
    }
    (void)bc_request_free(request);
}

static uint64_t device_bytes(const struct bc_subject *subject)
{
    uint64_t sectors_read = 0;
    uint64_t sectors_written = 0;
    FILE *file = subject->device == NULL ? NULL : fopen(subject->device, "re");

    if (file != NULL) {
        if (fscanf(file, "%*u %*u %" SCNu64 " %*u %*u %*u %" SCNu64, &sectors_read,
                   &sectors_written) != 2) {
            sectors_read = 0;
            sectors_written = 0;
        }
        (void)fclose(file);
    }
    return (sectors_read + sectors_written) * SECTOR;
}

struct bc_subject_used bc_subject_now(const struct bc_subject *subject)
{
    return (struct bc_subject_used){.cpu_ns = bc_harness_cpu_ns(),
                                    .agent_cpu_ns = bc_harness_cpu_of_ns(subject->agent),
                                    .device_bytes = device_bytes(subject)};
}

void bc_subject_add_since(struct bc_subject_used *total, const struct bc_subject *subject,
                          const struct bc_subject_used *begin)
{
    struct bc_subject_used end = bc_subject_now(subject);

    total->cpu_ns += end.cpu_ns - begin->cpu_ns;
    total->agent_cpu_ns += end.agent_cpu_ns - begin->agent_cpu_ns;
    total->device_bytes += end.device_bytes - begin->device_bytes;
}
