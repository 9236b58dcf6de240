/* SPDX-License-Identifier: Apache-2.0 */
/* fake_cuda_copy.c - see fake_cuda.h: contexts to copy in, pinned memory, streams and events. A
 * stream is a queue of copies; an event remembers how many of them had been queued when it was
 * recorded. */
#include "fake_cuda_internal.h"

#include <stdlib.h>

#define PINNED_MAX 8

FAKE_CUDA_API int cuDevicePrimaryCtxRetain(void **context, int device);
FAKE_CUDA_API int cuDevicePrimaryCtxRelease_v2(int device);
FAKE_CUDA_API int cuMemHostRegister_v2(void *addr, size_t len, unsigned int flags);
FAKE_CUDA_API int cuMemHostUnregister(void *addr);
FAKE_CUDA_API int cuStreamCreate(void **stream, unsigned int flags);
FAKE_CUDA_API int cuStreamDestroy_v2(void *stream);
FAKE_CUDA_API int cuStreamSynchronize(void *stream);
FAKE_CUDA_API int cuEventCreate(void **event, unsigned int flags);
FAKE_CUDA_API int cuEventDestroy_v2(void *event);
FAKE_CUDA_API int cuEventRecord(void *event, void *stream);
FAKE_CUDA_API int cuEventSynchronize(void *event);
FAKE_CUDA_API int cuMemcpyDtoHAsync_v2(void *host, uint64_t device, size_t len, void *stream);
FAKE_CUDA_API int cuMemcpyHtoDAsync_v2(uint64_t device, const void *host, size_t len, void *stream);
FAKE_CUDA_API int cuMemcpyDtoH_v2(void *host, uint64_t device, size_t len);
FAKE_CUDA_API int cuMemcpyHtoD_v2(uint64_t device, const void *host, size_t len);
FAKE_CUDA_API int cuCtxSynchronize(void);

struct copy {
    struct copy *next;
    uint64_t device;
    void *host;
    size_t len;
    bool to_device;
};

struct stream {
    struct copy *first;
    struct copy **last;
    uint64_t queued;
    uint64_t done;
};

struct event {
    struct stream *stream;
    uint64_t until;
};

static struct {
    uint64_t base;
    size_t len;
} pinned[PINNED_MAX];

static void lock(void)
{
    (void)pthread_mutex_lock(&fake_cuda.lock);
}

static void unlock(void)
{
    (void)pthread_mutex_unlock(&fake_cuda.lock);
}

static void count_objects(int change)
{
    lock();
    fake_cuda.objects += change;
    unlock();
}

int cuDevicePrimaryCtxRetain(void **context, int device)
{
    if (device < 0 || device >= FAKE_DEVICES) {
        return FAKE_ERROR_INVALID_VALUE;
    }
    *context = &fake_cuda;
    count_objects(1);
    return 0;
}

int cuDevicePrimaryCtxRelease_v2(int device)
{
    count_objects(-1);
    return device < FAKE_DEVICES ? 0 : FAKE_ERROR_INVALID_VALUE;
}

/* ---- pinned memory ------------------------------------------------------------------------- */

int cuMemHostRegister_v2(void *addr, size_t len, unsigned int flags)
{
    int result = FAKE_ERROR_NO_MEMORY;

    (void)flags;
    lock();
    for (int i = 0; i < PINNED_MAX && result != 0 && !fake_cuda.knobs.refuse_pinning; i++) {
        if (pinned[i].len == 0) {
            pinned[i].base = (uint64_t)(uintptr_t)addr;
            pinned[i].len = len;
            fake_cuda.pinned += len;
            if (fake_cuda.pinned > fake_cuda.pinned_peak) {
                fake_cuda.pinned_peak = fake_cuda.pinned;
            }
            result = 0;
        }
    }
    unlock();
    return result;
}

int cuMemHostUnregister(void *addr)
{
    int result = FAKE_ERROR_INVALID_VALUE;

    lock();
    for (int i = 0; i < PINNED_MAX; i++) {
        if (pinned[i].len != 0 && pinned[i].base == (uint64_t)(uintptr_t)addr) {
            fake_cuda.pinned -= pinned[i].len;
            pinned[i].len = 0;
            result = 0;
        }
    }
    unlock();
    return result;
}

static bool is_pinned(const void *host, size_t len)
{
    uint64_t at = (uint64_t)(uintptr_t)host;

    for (int i = 0; i < PINNED_MAX; i++) {
        if (pinned[i].len != 0 && at >= pinned[i].base && len <= pinned[i].len &&
            at - pinned[i].base <= pinned[i].len - len) {
            return true;
        }
    }
    return false;
}

/* ---- streams and events -------------------------------------------------------------------- */

int cuStreamCreate(void **stream, unsigned int flags)
{
    struct stream *created = calloc(1, sizeof(*created));

    (void)flags;
    if (created == NULL) {
        return FAKE_ERROR_NO_MEMORY;
    }
    created->last = &created->first;
    *stream = created;
    count_objects(1);
    return 0;
}

int cuStreamDestroy_v2(void *stream)
{
    const struct stream *ended = stream;

    if (ended->first != NULL) {
        abort(); /* a copy that nobody waited for */
    }
    free(stream);
    count_objects(-1);
    return 0;
}

int cuEventCreate(void **event, unsigned int flags)
{
    (void)flags;
    *event = calloc(1, sizeof(struct event));
    count_objects(1);
    return *event == NULL ? FAKE_ERROR_NO_MEMORY : 0;
}

int cuEventDestroy_v2(void *event)
{
    free(event);
    count_objects(-1);
    return 0;
}

int cuEventRecord(void *event, void *stream)
{
    struct event *recorded = event;

    lock();
    recorded->stream = stream;
    recorded->until = recorded->stream->queued;
    unlock();
    return 0;
}

static int queue(struct stream *stream, const struct copy *copy)
{
    struct copy *queued;
    int result = FAKE_ERROR_INVALID_VALUE;

    lock();
    /* What is not pinned is not copied asynchronously. */
    if (is_pinned(copy->host, copy->len) && fake_cuda_find(copy->device) != NULL) {
        queued = malloc(sizeof(*queued));
        result = queued == NULL ? FAKE_ERROR_NO_MEMORY : 0;
        if (queued != NULL) {
            *queued = *copy;
            *stream->last = queued;
            stream->last = &queued->next;
            stream->queued++;
        }
    }
    unlock();
    return result;
}

static int carry_out(const struct copy *copy)
{
    if (fake_cuda.knobs.fail_copy > 0 && --fake_cuda.knobs.fail_copy == 0) {
        return FAKE_ERROR_LAUNCH_FAILED;
    }
    if (!is_pinned(copy->host, copy->len) ||
        !fake_cuda_copy_now(copy->device, copy->host, copy->len, copy->to_device)) {
        return FAKE_ERROR_LAUNCH_FAILED;
    }
    fake_cuda.copied += copy->len;
    return 0;
}

static int run_until(struct stream *stream, uint64_t until)
{
    int result = 0;

    lock();
    fake_cuda.waiting++;
    while (fake_cuda.knobs.hold_copies && stream->done < until) {
        (void)pthread_cond_wait(&fake_cuda.released, &fake_cuda.lock);
    }
    fake_cuda.waiting--;
    while (stream->done < until) {
        struct copy *copy = stream->first;
        int outcome = carry_out(copy);

        stream->first = copy->next;
        if (stream->first == NULL) {
            stream->last = &stream->first;
        }
        stream->done++;
        result = result != 0 ? result : outcome;
        free(copy);
    }
    unlock();
    return result;
}

int cuEventSynchronize(void *event)
{
    struct event *recorded = event;

    return recorded->stream == NULL ? 0 : run_until(recorded->stream, recorded->until);
}

int cuStreamSynchronize(void *stream)
{
    struct stream *waited = stream;

    return run_until(waited, waited->queued);
}

int cuMemcpyDtoHAsync_v2(void *host, uint64_t device, size_t len, void *stream)
{
    struct copy copy = {.device = device, .host = host, .len = len};

    return queue(stream, &copy);
}

int cuMemcpyHtoDAsync_v2(uint64_t device, const void *host, size_t len, void *stream)
{
    struct copy copy = {
        .device = device, .host = (void *)(uintptr_t)host, .len = len, .to_device = true};

    return queue(stream, &copy);
}

/* ---- for programs that use the driver by themselves ---------------------------------------- */

static int copy_at_once(uint64_t device, void *host, size_t len, bool to_device)
{
    bool done;

    lock();
    done = fake_cuda_copy_now(device, host, len, to_device);
    unlock();
    return done ? 0 : FAKE_ERROR_INVALID_VALUE;
}

int cuMemcpyDtoH_v2(void *host, uint64_t device, size_t len)
{
    return copy_at_once(device, host, len, false);
}

int cuMemcpyHtoD_v2(uint64_t device, const void *host, size_t len)
{
    return copy_at_once(device, (void *)(uintptr_t)host, len, true);
}

int cuCtxSynchronize(void)
{
    return 0;
}
