/* SPDX-License-Identifier: Apache-2.0 */
/* exporter.h - a host in a process of its own, which exports memory and fills or checks it on
 * request; and the bed in which the engine is tested: device, loop, staging memory, engine.
 *
 * The test program runs itself again as the host: its main calls exporter_main first. */
#ifndef BC_TESTS_DMA_EXPORTER_H
#define BC_TESTS_DMA_EXPORTER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "dma/dma.h"

#define EXPORTER_DESC_MAX 1024u
#define BED_LOCAL_LEN     ((size_t)8 << 20)
#define BED_DEADLINE_NS   (20 * BC_NS_PER_S)

struct exporter {
    pid_t pid;
    int socket;
    uint32_t desc_len;
    uint8_t desc[EXPORTER_DESC_MAX];
};

struct bed {
    struct bc_dma_device *device;
    struct bc_loop *loop;
    struct bc_metrics *metrics;
    struct bc_dma *dma;
    uint8_t *local;
    uint32_t ready; /* calls of the engine's ready callback */
};

/* A copy and what became of it. */
struct copy {
    struct bc_dma_task task;
    int result;
    uint32_t done;
};

/* Never returns when the program was started as the host. */
void exporter_main(int argc, char **argv);
/* shared: memory in a memfd, else private to the host. */
void exporter_start(struct exporter *exporter, size_t len, bool shared);
void exporter_fill(struct exporter *exporter, uint32_t seed);
bool exporter_check(struct exporter *exporter, uint32_t seed);
void exporter_revoke(struct exporter *exporter); /* destroys its export */
void exporter_kill(struct exporter *exporter);
void exporter_stop(struct exporter *exporter);

/* Bytes [offset, offset + len) of the pattern of this seed. */
void pattern_fill(void *data, uint64_t offset, size_t len, uint32_t seed);
bool pattern_check(const void *data, uint64_t offset, size_t len, uint32_t seed);

void bed_create(struct bed *bed, uint32_t depth);
void bed_destroy(struct bed *bed);
struct bc_dma_import *bed_import(struct bed *bed, const struct exporter *exporter, uint64_t len);
void bed_turn(struct bed *bed);
int64_t bed_metric(const struct bed *bed, const char *name);

void copy_init(struct copy *copy, enum bc_dma_direction direction, struct bc_dma_import *import,
               uint64_t offset, uint8_t *local, uint32_t len);
/* Submits, waits, returns the result; retries while the engine says -EAGAIN. */
int copy_perform(struct bed *bed, struct copy *copy);
void copy_wait(struct bed *bed, const struct copy *copy);

#endif
