/* SPDX-License-Identifier: Apache-2.0 */
/* fake_gpu.c - see fake_gpu.h. */
#include "fake_gpu.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "base/log.h"
#include "fixture.h"

#define LINES_MAX 64

struct fake_gpu gpu;

static struct {
    pthread_mutex_t lock;
    char text[LINES_MAX][512];
    int count;
} lines = {.lock = PTHREAD_MUTEX_INITIALIZER};

int fake_gpu_find(void **state)
{
    const struct {
        const char *name;
        void **function;
    } functions[] = {
        {"fake_cuda_alloc", (void **)&gpu.alloc},
        {"fake_cuda_alloc_at", (void **)&gpu.alloc_at},
        {"fake_cuda_free", (void **)&gpu.free},
        {"fake_cuda_poke", (void **)&gpu.poke},
        {"fake_cuda_peek", (void **)&gpu.peek},
        {"fake_cuda_dmabuf", (void **)&gpu.dmabuf},
        {"fake_cuda_peer", (void **)&gpu.peer},
        {"fake_cuda_refuse_handles", (void **)&gpu.refuse_handles},
        {"fake_cuda_refuse_pinning", (void **)&gpu.refuse_pinning},
        {"fake_cuda_hold_copies", (void **)&gpu.hold_copies},
        {"fake_cuda_fail_copy", (void **)&gpu.fail_copy},
        {"fake_cuda_reset", (void **)&gpu.reset},
        {"fake_cuda_sync_memops", (void **)&gpu.sync_memops},
        {"fake_cuda_contexts", (void **)&gpu.contexts},
        {"fake_cuda_objects", (void **)&gpu.objects},
        {"fake_cuda_waiting", (void **)&gpu.waiting},
        {"fake_cuda_pinned", (void **)&gpu.pinned},
        {"fake_cuda_pinned_peak", (void **)&gpu.pinned_peak},
        {"fake_cuda_copied", (void **)&gpu.copied},
    };
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);

    (void)state;
    assert_non_null(library);
    for (size_t i = 0; i < BC_ARRAY_LEN(functions); i++) {
        *functions[i].function = dlsym(library, functions[i].name);
        assert_non_null(*functions[i].function);
    }
    return 0;
}

struct bc_memory *register_gpu(void *addr, size_t len, uint32_t device)
{
    struct bc_memory *memory = NULL;

    assert_int_equal(bc_memory_register(client, addr, len, BC_MEMORY_CUDA, device, &memory), 0);
    assert_non_null(memory);
    return memory;
}

static void keep_line(void *arg, enum bc_log_level level, const char *line)
{
    (void)arg;
    (void)level;
    (void)pthread_mutex_lock(&lines.lock);
    if (lines.count < LINES_MAX) {
        (void)snprintf(lines.text[lines.count++], sizeof(lines.text[0]), "%s", line);
    }
    (void)pthread_mutex_unlock(&lines.lock);
}

void log_begin(void)
{
    lines.count = 0;
    bc_log_set_level(BC_LOG_INFO);
    bc_log_set_sink(keep_line, NULL);
}

int log_count(const char *text)
{
    int count = 0;

    (void)pthread_mutex_lock(&lines.lock);
    for (int i = 0; i < lines.count; i++) {
        count += strstr(lines.text[i], text) != NULL;
    }
    (void)pthread_mutex_unlock(&lines.lock);
    return count;
}

void log_end(void)
{
    bc_log_set_sink(NULL, NULL);
    bc_log_set_level(BC_LOG_WARN);
}
