/* SPDX-License-Identifier: Apache-2.0 */
/* fakes.h - a DMA engine and a backend in plain memory for tests of the pipeline: they complete
 * when the test says so, and fail at the n-th operation.
 *
 * The "import" of a region is a struct fake_memory; copies are memcpy at completion. The backend
 * keeps objects in an array, completes from the loop, shows at most view_max bytes at once, and
 * counts what is open so that a test can check that nothing leaked. */
#ifndef BC_TEST_SESSION_FAKES_H
#define BC_TEST_SESSION_FAKES_H

#include "backend/backend.h"
#include "dma/dma.h"

struct fake_memory {
    uint8_t *base;
    uint64_t len;
};

#define FAKE_TASKS_MAX 256

struct fake_dma {
    struct bc_dma dma;
    struct bc_dma_task *tasks[FAKE_TASKS_MAX]; /* in flight, oldest first */
    uint32_t count;
    uint32_t depth;
    uint32_t submitted;
    uint32_t fail_at;   /* the n-th task ends with -EREMOTEIO; 0: none */
    uint32_t refuse_at; /* the n-th submit is -EREMOTEIO; 0: none */
};

void fake_dma_init(struct fake_dma *fake, uint32_t depth);
/* Completes the oldest task; false when none is in flight. */
bool fake_dma_complete_one(struct fake_dma *fake);

#define FAKE_OBJECTS_MAX 16

struct fake_object {
    bool used;
    char key[16];
    uint8_t *data;
    uint64_t size;
};

struct fake_backend {
    struct bc_backend backend;
    struct bc_loop *loop;
    struct fake_object objects[FAKE_OBJECTS_MAX];
    uint32_t view_max; /* 0: whatever is asked for */
    uint32_t lease_max;
    uint32_t operations;
    uint32_t fail_at; /* the n-th operation fails with -EIO; 0: none */
    bool busy;        /* put_begin, put_lease and get_chunk say -EAGAIN */
    bool hold;        /* asynchronous operations do not complete until fake_backend_release */
    struct bc_list held;
    uint32_t puts_open;
    uint32_t gets_open;
    uint32_t views_open;
    uint32_t leases_open;
    uint32_t commits;
};

void fake_backend_init(struct fake_backend *fake, struct bc_loop *loop);
void fake_backend_fini(struct fake_backend *fake);
void fake_backend_release(struct fake_backend *fake);
struct fake_object *fake_backend_find(struct fake_backend *fake, const char *key);
void fake_backend_store(struct fake_backend *fake, const char *key, const void *data,
                        uint64_t size);

#endif
