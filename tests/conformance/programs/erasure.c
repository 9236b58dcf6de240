/* SPDX-License-Identifier: Apache-2.0 */
/* erasure.c - creates redundancy for a text, changes a block and updates it, loses two blocks and recovers them. */
#include "common.h"

#include <doca_erasure_coding.h>

#include <stdio.h>

DOCA_LOG_REGISTER(ERASURE);

enum { DATA = 4, RDNC = 2, BLOCK = 128 };

struct program {
    struct core core;
    struct doca_ec *ec;
    struct doca_ec_matrix *coding;
    char from[(DATA + 2 * RDNC) * BLOCK];
    char to[(DATA + 2 * RDNC) * BLOCK];
};

static void on_create(struct doca_ec_task_create *task, union doca_data task_user_data,
                      union doca_data ctx_user_data)
{
    (void)task_user_data;
    task_is_over((struct core *)ctx_user_data.ptr, doca_ec_task_create_as_task(task));
}

static void on_update(struct doca_ec_task_update *task, union doca_data task_user_data,
                      union doca_data ctx_user_data)
{
    (void)task_user_data;
    task_is_over((struct core *)ctx_user_data.ptr, doca_ec_task_update_as_task(task));
}

static void on_recover(struct doca_ec_task_recover *task, union doca_data task_user_data,
                       union doca_data ctx_user_data)
{
    (void)task_user_data;
    task_is_over((struct core *)ctx_user_data.ptr, doca_ec_task_recover_as_task(task));
}

static doca_error_t can_code(struct doca_devinfo *info)
{
    TRY(doca_ec_cap_task_create_is_supported(info));
    TRY(doca_ec_cap_task_update_is_supported(info));
    return doca_ec_cap_task_recover_is_supported(info);
}

static doca_error_t set_up(struct program *program, const struct options *options)
{
    struct core *core = &program->core;
    uint64_t max_block = 0;
    TRY(open_device(options->pci, can_code, &core->dev));
    TRY(doca_ec_cap_get_max_block_size(doca_dev_as_devinfo(core->dev), &max_block));
    if (max_block < BLOCK) {
        return DOCA_ERROR_NOT_SUPPORTED;
    }
    TRY(create_core(core, 16));
    TRY(doca_mmap_set_memrange(core->src_mmap, program->from, sizeof(program->from)));
    TRY(doca_mmap_start(core->src_mmap));
    TRY(doca_mmap_set_memrange(core->dst_mmap, program->to, sizeof(program->to)));
    TRY(doca_mmap_start(core->dst_mmap));
    TRY(doca_ec_create(core->dev, &program->ec));
    TRY(connect_ctx(core, doca_ec_as_ctx(program->ec)));
    TRY(doca_ec_task_create_set_conf(program->ec, on_create, on_create, 1));
    TRY(doca_ec_task_update_set_conf(program->ec, on_update, on_update, 1));
    TRY(doca_ec_task_recover_set_conf(program->ec, on_recover, on_recover, 1));
    TRY(doca_ec_matrix_create(program->ec, DOCA_EC_MATRIX_TYPE_CAUCHY, DATA, RDNC,
                              &program->coding));
    return DOCA_SUCCESS;
}

/* The source is `blocks` blocks of program->from; results appear in program->to. */
static doca_error_t run(struct program *program, const struct doca_ec_matrix *matrix, char what,
                        int blocks, int pieces)
{
    struct core *core = &program->core;
    struct doca_buf *src = NULL;
    struct doca_buf *dst = NULL;
    struct doca_ec_task_create *create = NULL;
    struct doca_ec_task_update *update = NULL;
    struct doca_ec_task_recover *recover = NULL;
    struct doca_task *task = NULL;
    union doca_data none = {0};
    core->running = true;
    core->tasks = 1;
    TRY(doca_ctx_start(core->ctx)); /* it stops with each last task */
    TRY(buf_list(core, core->src_mmap, program->from, (size_t)blocks * BLOCK, pieces, true, &src));
    TRY(buf_list(core, core->dst_mmap, program->to, RDNC * BLOCK, pieces, false, &dst));
    if (what == 'c') {
        TRY(doca_ec_task_create_allocate_init(program->ec, matrix, src, dst, none, &create));
        task = doca_ec_task_create_as_task(create);
    } else if (what == 'u') {
        TRY(doca_ec_task_update_allocate_init(program->ec, matrix, src, dst, none, &update));
        task = doca_ec_task_update_as_task(update);
    } else {
        TRY(doca_ec_task_recover_allocate_init(program->ec, matrix, src, dst, none, &recover));
        task = doca_ec_task_recover_as_task(recover);
    }
    TRY(doca_task_submit(task));
    progress_until_idle(core);
    TRY(doca_buf_dec_refcount(src, NULL));
    TRY(doca_buf_dec_refcount(dst, NULL));
    return core->status;
}

static doca_error_t check(bool good, const char *what)
{
    printf("%s: %s\n", what, good ? "right" : "WRONG");
    return good ? DOCA_SUCCESS : DOCA_ERROR_UNEXPECTED;
}

static doca_error_t erase(struct program *program, const struct options *options)
{
    char data[DATA * BLOCK] = {0};
    char rdnc[RDNC * BLOCK];
    struct doca_ec_matrix *update = NULL;
    struct doca_ec_matrix *recover = NULL;
    uint32_t changed[] = {2};
    uint32_t missing[] = {0, 3};
    memcpy(data, options->text, sizeof(data) - 1);
    TRY(set_up(program, options));
    memcpy(program->from, data, sizeof(data));
    TRY(run(program, program->coding, 'c', DATA, options->pieces));
    memcpy(rdnc, program->to, sizeof(rdnc));

    memcpy(program->from, data + 2 * BLOCK, BLOCK); /* old content, new content, redundancy */
    memset(data + 2 * BLOCK, 'x', BLOCK);
    memcpy(program->from + BLOCK, data + 2 * BLOCK, BLOCK);
    memcpy(program->from + 2 * BLOCK, rdnc, sizeof(rdnc));
    TRY(doca_ec_matrix_create_update(program->ec, program->coding, changed, 1, &update));
    TRY(run(program, update, 'u', 2 + RDNC, options->pieces));
    memcpy(rdnc, program->to, sizeof(rdnc));
    memcpy(program->from, data, sizeof(data));
    TRY(run(program, program->coding, 'c', DATA, 1));
    TRY(check(memcmp(rdnc, program->to, sizeof(rdnc)) == 0, "update"));

    memcpy(program->from, data + BLOCK, 2 * BLOCK); /* blocks 1 and 2, then redundancy */
    memcpy(program->from + 2 * BLOCK, rdnc, sizeof(rdnc));
    TRY(doca_ec_matrix_create_recover(program->ec, program->coding, missing, 2, &recover));
    TRY(run(program, recover, 'r', DATA, options->pieces));
    TRY(check(memcmp(program->to, data, BLOCK) == 0 &&
                  memcmp(program->to + BLOCK, data + 3 * BLOCK, BLOCK) == 0,
              "recover"));
    TRY(doca_ec_matrix_destroy(recover));
    TRY(doca_ec_matrix_destroy(update));
    TRY(doca_ec_matrix_destroy(program->coding));
    TRY(doca_ec_destroy(program->ec));
    return destroy_core(&program->core);
}

int main(int argc, char **argv)
{
    static struct program program;
    struct options options;
    if (begin("erasure", &options, argc, argv) != DOCA_SUCCESS) {
        return EXIT_FAILURE;
    }
    return erase(&program, &options) == DOCA_SUCCESS ? EXIT_SUCCESS : EXIT_FAILURE;
}
