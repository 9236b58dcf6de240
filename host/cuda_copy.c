/* SPDX-License-Identifier: Apache-2.0 */
/* cuda_copy.c - see cuda_copy.h. */
#include "cuda_copy.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "cuda_driver.h"
#include "errors.h"

#define CU_POINTER_CONTEXT          1
#define CU_STREAM_NON_BLOCKING      1u
#define CU_EVENT_BLOCKING_SYNC      1u
#define CU_EVENT_DISABLE_TIMING     2u
#define CU_MEMHOSTREGISTER_PORTABLE 1u

/* NULL: it belongs to none, as memory that was mapped by hand. */
static void *context_of(const struct bc_cuda_driver *driver, const struct bc_extent *extent)
{
    void *context = NULL;

    return driver->pointer_get_attribute(&context, CU_POINTER_CONTEXT, extent->base) ==
                   BC_CU_SUCCESS
               ? context
               : NULL;
}

static bool enter(const struct bc_cuda_lane *lane)
{
    return bc_cuda_driver()->ctx_push(lane->context) == BC_CU_SUCCESS;
}

static void leave(void)
{
    void *context;

    (void)bc_cuda_driver()->ctx_pop(&context);
}

static int retain_primary(const struct bc_cuda_driver *driver, struct bc_cuda_lane *lane)
{
    int handle = 0;
    int result = driver->device_get(&handle, (int)lane->device);

    if (result == BC_CU_SUCCESS) {
        result = driver->primary_retain(&lane->context, handle);
    }
    lane->primary = result == BC_CU_SUCCESS;
    return result;
}

static int make_streams(const struct bc_cuda_driver *driver, struct bc_cuda_lane *lane)
{
    int result = driver->ctx_push(lane->context);

    if (result != BC_CU_SUCCESS) {
        return result;
    }
    for (int i = 0; i < BC_CUDA_DIRECTIONS && result == BC_CU_SUCCESS; i++) {
        result = driver->stream_create(&lane->streams[i], CU_STREAM_NON_BLOCKING);
        if (result == BC_CU_SUCCESS) {
            /* Who waits for it sleeps, and burns no core. */
            result = driver->event_create(&lane->events[i],
                                          CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING);
        }
    }
    leave();
    return result;
}

int bc_cuda_lane_open(const struct bc_extent *extent, struct bc_cuda_lane *lane_out,
                      struct bc_error *error)
{
    const struct bc_cuda_driver *driver = bc_cuda_driver();
    struct bc_cuda_lane lane = {.device = extent->device};
    int result = BC_CU_SUCCESS;

    if (driver->problem != NULL || driver->copy_missing != NULL) {
        return bc_error_set(error, -ENOTSUP, "this libcuda.so.1 is too old to copy: it has no %s",
                            driver->problem != NULL ? "devices" : driver->copy_missing);
    }
    lane.context = context_of(driver, extent);
    if (lane.context == NULL) {
        result = retain_primary(driver, &lane);
    }
    if (result == BC_CU_SUCCESS) {
        result = make_streams(driver, &lane);
    }
    if (result != BC_CU_SUCCESS) {
        bc_cuda_lane_close(&lane);
        return bc_error_set(error, -ENOTSUP, "no stream for copies on GPU %u (CUDA error %d)",
                            extent->device, result);
    }
    *lane_out = lane;
    return 0;
}

void bc_cuda_lane_close(struct bc_cuda_lane *lane)
{
    const struct bc_cuda_driver *driver = bc_cuda_driver();
    bool entered = lane->context != NULL && enter(lane);
    int handle = 0;

    for (int i = 0; i < BC_CUDA_DIRECTIONS; i++) {
        if (lane->events[i] != NULL) {
            (void)driver->event_destroy(lane->events[i]);
        }
        if (lane->streams[i] != NULL) {
            (void)driver->stream_destroy(lane->streams[i]);
        }
    }
    if (entered) {
        leave();
    }
    if (lane->primary && driver->device_get(&handle, (int)lane->device) == BC_CU_SUCCESS) {
        (void)driver->primary_release(handle);
    }
    memset(lane, 0, sizeof(*lane));
}

bool bc_cuda_lane_serves(const struct bc_cuda_lane *lane, const struct bc_extent *extent)
{
    void *context = context_of(bc_cuda_driver(), extent);

    return lane->device == extent->device &&
           (context == NULL ? lane->primary : lane->context == context);
}

int bc_cuda_pin(const struct bc_cuda_lane *lane, void *addr, size_t len, struct bc_error *error)
{
    int result = -1;

    if (enter(lane)) {
        result = bc_cuda_driver()->host_register(addr, len, CU_MEMHOSTREGISTER_PORTABLE);
        leave();
    }
    if (result != BC_CU_SUCCESS) {
        return bc_error_set(error, -ENOTSUP,
                            "%zu MiB of host memory cannot be pinned (CUDA error %d)", len >> 20,
                            result);
    }
    return 0;
}

void bc_cuda_unpin(const struct bc_cuda_lane *lane, void *addr)
{
    bool entered = enter(lane);

    (void)bc_cuda_driver()->host_unregister(addr);
    if (entered) {
        leave();
    }
}

static int failed(const struct bc_cuda_lane *lane, int result)
{
    BC_ERROR("host", "a copy of GPU %u's memory failed (CUDA error %d)", lane->device, result);
    return -EIO;
}

int bc_cuda_lane_copy(struct bc_cuda_lane *lane, enum bc_cuda_direction direction,
                      uint64_t device_addr, void *host, size_t len)
{
    const struct bc_cuda_driver *driver = bc_cuda_driver();
    int result = -1;

    if (enter(lane)) {
        lane->used[direction] = true;
        result = direction == BC_CUDA_TO_HOST
                     ? driver->copy_to_host(host, device_addr, len, lane->streams[direction])
                     : driver->copy_to_device(device_addr, host, len, lane->streams[direction]);
        leave();
    }
    return result == BC_CU_SUCCESS ? 0 : failed(lane, result);
}

static int wait_one(const struct bc_cuda_lane *lane, int direction)
{
    const struct bc_cuda_driver *driver = bc_cuda_driver();
    int result = driver->event_record(lane->events[direction], lane->streams[direction]);

    if (result == BC_CU_SUCCESS) {
        result = driver->event_synchronize(lane->events[direction]);
    }
    if (result != BC_CU_SUCCESS) {
        /* It may be the event that failed: only the stream says that nothing is under way. */
        (void)driver->stream_synchronize(lane->streams[direction]);
    }
    return result;
}

int bc_cuda_lane_wait(struct bc_cuda_lane *lane)
{
    int result = BC_CU_SUCCESS;
    bool entered = enter(lane);

    for (int i = 0; i < BC_CUDA_DIRECTIONS; i++) {
        if (lane->used[i]) {
            int outcome = wait_one(lane, i);

            lane->used[i] = false;
            result = result != BC_CU_SUCCESS ? result : outcome;
        }
    }
    if (entered) {
        leave();
    }
    return result == BC_CU_SUCCESS ? 0 : failed(lane, result);
}
