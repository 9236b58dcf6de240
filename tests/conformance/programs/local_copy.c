/* SPDX-License-Identifier: Apache-2.0 */
/* local_copy.c - copies a text within one process. Permissions are left as they are by default. */
#include "common.h"

#include <doca_dma.h>

#include <stdio.h>

DOCA_LOG_REGISTER(LOCAL_COPY);

static void on_over(struct doca_dma_task_memcpy *copy, union doca_data task_user_data,
                    union doca_data ctx_user_data)
{
    (void)task_user_data;
    task_is_over((struct core *)ctx_user_data.ptr, doca_dma_task_memcpy_as_task(copy));
}

static doca_error_t can_copy(struct doca_devinfo *info)
{
    return doca_dma_cap_task_memcpy_is_supported(info);
}

static doca_error_t copy(struct core *core, const struct options *options)
{
    static char from[sizeof(options->text)];
    static char to[sizeof(options->text)];
    struct doca_dma *dma = NULL;
    struct doca_dma_task_memcpy *task = NULL;
    struct doca_buf *src = NULL;
    struct doca_buf *dst = NULL;
    union doca_data none = {0};
    size_t len = strlen(options->text) + 1;
    size_t copied = 0;
    void *head = NULL;
    strcpy(from, options->text);
    TRY(open_device(options->pci, can_copy, &core->dev));
    TRY(create_core(core, 2 * (uint32_t)options->pieces));
    TRY(doca_dma_create(core->dev, &dma));
    TRY(connect_ctx(core, doca_dma_as_ctx(dma)));
    TRY(doca_dma_task_memcpy_set_conf(dma, on_over, on_over, 1));
    TRY(doca_ctx_start(core->ctx));
    TRY(doca_mmap_set_memrange(core->src_mmap, from, len));
    TRY(doca_mmap_start(core->src_mmap));
    TRY(doca_mmap_set_memrange(core->dst_mmap, to, len));
    TRY(doca_mmap_start(core->dst_mmap));
    TRY(buf_list(core, core->src_mmap, from, len, options->pieces, true, &src));
    TRY(buf_list(core, core->dst_mmap, to, len, 1, false, &dst));
    TRY(doca_dma_task_memcpy_alloc_init(dma, src, dst, none, &task));
    core->tasks = 1;
    TRY(doca_task_submit(doca_dma_task_memcpy_as_task(task)));
    progress_until_idle(core);
    TRY(core->status);
    TRY(doca_buf_get_data(dst, &head));
    TRY(doca_buf_get_data_len(dst, &copied));
    printf("copied %zu bytes: %s\n", copied, (const char *)head);
    TRY(doca_buf_dec_refcount(src, NULL));
    TRY(doca_buf_dec_refcount(dst, NULL));
    TRY(doca_ctx_stop(core->ctx)); /* is idle already */
    TRY(doca_dma_destroy(dma));
    return destroy_core(core);
}

int main(int argc, char **argv)
{
    struct options options;
    struct core core = {0};
    if (begin("local_copy", &options, argc, argv) != DOCA_SUCCESS ||
        copy(&core, &options) != DOCA_SUCCESS) {
        return EXIT_FAILURE;
    }
    DOCA_LOG_INFO("Done");
    return EXIT_SUCCESS;
}
