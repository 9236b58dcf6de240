/* SPDX-License-Identifier: Apache-2.0 */
/* copy_dpu.c - imports what copy_host exports, and copies from it, or a text into it. */
#include "common.h"

#include <doca_dma.h>

#include <limits.h>
#include <stdio.h>

DOCA_LOG_REGISTER(COPY_DPU);

#ifndef DOCA_ARCH_DPU
#error "runs on the DPU"
#endif

static void on_done(struct doca_dma_task_memcpy *copy, union doca_data task_user_data,
                    union doca_data ctx_user_data)
{
    *(doca_error_t *)task_user_data.ptr = DOCA_SUCCESS;
    task_is_over((struct core *)ctx_user_data.ptr, doca_dma_task_memcpy_as_task(copy));
}

static void on_error(struct doca_dma_task_memcpy *copy, union doca_data task_user_data,
                     union doca_data ctx_user_data)
{
    struct doca_task *task = doca_dma_task_memcpy_as_task(copy);
    *(doca_error_t *)task_user_data.ptr = doca_task_get_status(task);
    task_is_over((struct core *)ctx_user_data.ptr, task);
}

static doca_error_t load(const char *path, char *bytes, size_t size, size_t *len)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return DOCA_ERROR_IO_FAILED;
    }
    *len = fread(bytes, 1, size - 1, file);
    bytes[*len] = '\0';
    fclose(file);
    return DOCA_SUCCESS;
}

static doca_error_t import_memory(struct core *core, const struct options *options,
                                  struct doca_mmap **remote, char **addr, size_t *len)
{
    char desc[1024];
    char info[64];
    size_t desc_len = 0;
    size_t info_len = 0;
    char *end = NULL;
    TRY(load(options->desc_path, desc, sizeof(desc), &desc_len));
    TRY(load(options->info_path, info, sizeof(info), &info_len));
    *addr = (char *)(uintptr_t)strtoull(info, &end, 0);
    *len = strtoull(end, NULL, 0);
    TRY(doca_mmap_create_from_export(NULL, desc, desc_len, core->dev, remote));
    return DOCA_SUCCESS;
}

static doca_error_t copy(struct core *core, const struct options *options)
{
    static char local[sizeof(options->text)];
    struct doca_dma *dma = NULL;
    struct doca_dma_task_memcpy *task = NULL;
    struct doca_mmap *remote = NULL;
    struct doca_buf *ours = NULL;
    struct doca_buf *theirs = NULL;
    union doca_data user_data = {0};
    doca_error_t status = DOCA_ERROR_UNKNOWN;
    char *addr = NULL;
    size_t len = 0;
    TRY(open_device(options->pci, NULL, &core->dev));
    TRY(create_core(core, 2 * (uint32_t)options->pieces));
    TRY(doca_dma_create(core->dev, &dma));
    TRY(connect_ctx(core, doca_dma_as_ctx(dma)));
    TRY(doca_dma_task_memcpy_set_conf(dma, on_done, on_error, 1));
    TRY(doca_ctx_start(core->ctx));
    TRY(import_memory(core, options, &remote, &addr, &len));
    strncpy(local, options->text, len - 1);
    TRY(doca_mmap_set_memrange(core->dst_mmap, local, len));
    TRY(doca_mmap_set_permissions(core->dst_mmap, DOCA_ACCESS_FLAG_LOCAL_READ_WRITE));
    TRY(doca_mmap_start(core->dst_mmap));
    TRY(buf_list(core, remote, addr, len, options->pieces, !options->write, &theirs));
    TRY(buf_list(core, core->dst_mmap, local, len, options->pieces, options->write, &ours));
    user_data.ptr = &status;
    TRY(doca_dma_task_memcpy_alloc_init(dma, options->write ? ours : theirs,
                                        options->write ? theirs : ours, user_data, &task));
    core->tasks = 1;
    TRY(doca_task_submit(doca_dma_task_memcpy_as_task(task)));
    progress_until_idle(core);
    printf("status %s\n", doca_error_get_name(status));
    printf("local: %s\n", local);
    TRY(doca_buf_dec_refcount(ours, NULL));
    TRY(doca_buf_dec_refcount(theirs, NULL));
    TRY(doca_mmap_destroy(remote));
    TRY(doca_ctx_stop(core->ctx));
    TRY(doca_dma_destroy(dma));
    TRY(destroy_core(core));
    return status;
}

int main(int argc, char **argv)
{
    struct options options;
    struct core core = {0};
    if (begin("copy_dpu", &options, argc, argv) != DOCA_SUCCESS) {
        return EXIT_FAILURE;
    }
    return copy(&core, &options) == DOCA_SUCCESS ? EXIT_SUCCESS : EXIT_FAILURE;
}
