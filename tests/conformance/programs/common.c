/* SPDX-License-Identifier: Apache-2.0 */
/* common.c - what the programs share. */
#include "common.h"

#include <doca_version.h>

#include <stdio.h>
#include <time.h>

DOCA_LOG_REGISTER(CONFORMANCE::COMMON);

static doca_error_t copy_text(char *to, size_t size, const char *from)
{
    if (strnlen(from, size) >= size) {
        DOCA_LOG_ERR("'%s' is too long", from);
        return DOCA_ERROR_INVALID_VALUE;
    }
    strcpy(to, from);
    return DOCA_SUCCESS;
}

static doca_error_t on_pci(void *value, void *config)
{
    struct options *options = (struct options *)config;
    return copy_text(options->pci, sizeof(options->pci), (const char *)value);
}

static doca_error_t on_rep(void *value, void *config)
{
    struct options *options = (struct options *)config;
    return copy_text(options->rep, sizeof(options->rep), (const char *)value);
}

static doca_error_t on_text(void *value, void *config)
{
    struct options *options = (struct options *)config;
    return copy_text(options->text, sizeof(options->text), (const char *)value);
}

static doca_error_t on_desc(void *value, void *config)
{
    struct options *options = (struct options *)config;
    return copy_text(options->desc_path, sizeof(options->desc_path), (const char *)value);
}

static doca_error_t on_info(void *value, void *config)
{
    struct options *options = (struct options *)config;
    return copy_text(options->info_path, sizeof(options->info_path), (const char *)value);
}

static doca_error_t on_pieces(void *value, void *config)
{
    struct options *options = (struct options *)config;
    options->pieces = *(int *)value;
    return options->pieces > 0 ? DOCA_SUCCESS : DOCA_ERROR_INVALID_VALUE;
}

static doca_error_t on_write(void *value, void *config)
{
    struct options *options = (struct options *)config;
    options->write = *(bool *)value;
    return DOCA_SUCCESS;
}

static doca_error_t on_version(void *value, void *config)
{
    (void)value;
    (void)config;
    printf("compiled %s, running %s\n", doca_version(), doca_version_runtime());
    return DOCA_SUCCESS;
}

static doca_error_t validate(void *config)
{
    const struct options *options = (const struct options *)config;
    return options->write && options->text[0] == '\0' ? DOCA_ERROR_INVALID_VALUE : DOCA_SUCCESS;
}

static doca_error_t add_option(const char *short_name, const char *long_name,
                               const char *description, enum doca_argp_type type,
                               doca_argp_param_cb_t callback)
{
    struct doca_argp_param *param = NULL;
    TRY(doca_argp_param_create(&param));
    doca_argp_param_set_short_name(param, short_name);
    doca_argp_param_set_long_name(param, long_name);
    doca_argp_param_set_description(param, description);
    doca_argp_param_set_callback(param, callback);
    doca_argp_param_set_type(param, type);
    if (callback == on_pci) {
        doca_argp_param_set_mandatory(param);
    }
    TRY(doca_argp_register_param(param));
    return DOCA_SUCCESS;
}

static doca_error_t add_options(void)
{
    TRY(add_option("p", "pci-addr", "PCI address of the device", DOCA_ARGP_TYPE_STRING, on_pci));
    TRY(add_option("r", "rep-pci", "PCI address of the host function", DOCA_ARGP_TYPE_STRING,
                   on_rep));
    TRY(add_option("t", "text", "Text to move", DOCA_ARGP_TYPE_STRING, on_text));
    TRY(add_option("d", "descriptor", "File of the export", DOCA_ARGP_TYPE_STRING, on_desc));
    TRY(add_option("b", "buffer", "File of address and length", DOCA_ARGP_TYPE_STRING, on_info));
    TRY(add_option("np", "pieces", "Bufs in a list", DOCA_ARGP_TYPE_INT, on_pieces));
    TRY(add_option("w", "write", "Write to the host", DOCA_ARGP_TYPE_BOOLEAN, on_write));
    TRY(doca_argp_register_version_callback(on_version));
    TRY(doca_argp_register_validation_callback(validate));
    return DOCA_SUCCESS;
}

doca_error_t begin(const char *name, struct options *options, int argc, char **argv)
{
    struct doca_log_backend *sdk_log = NULL;
    memset(options, 0, sizeof(*options));
    options->pieces = 1;
    TRY(doca_log_backend_create_standard());
    TRY(doca_log_backend_create_with_file_sdk(stderr, &sdk_log));
    TRY(doca_log_backend_set_sdk_level(sdk_log, DOCA_LOG_LEVEL_WARNING));
    TRY(doca_argp_init(name, options));
    doca_error_t result = add_options();
    if (result == DOCA_SUCCESS) {
        result = doca_argp_start(argc, argv);
    }
    (void)doca_argp_destroy();
    return result;
}

doca_error_t open_device(const char *pci, capability_fn capability, struct doca_dev **dev)
{
    struct doca_devinfo **list = NULL;
    uint32_t count = 0;
    doca_error_t result = DOCA_ERROR_NOT_FOUND;
    TRY(doca_devinfo_create_list(&list, &count));
    for (uint32_t i = 0; i < count && result != DOCA_SUCCESS; i++) {
        uint8_t equal = pci == NULL;
        if (pci != NULL && doca_devinfo_is_equal_pci_addr(list[i], pci, &equal) != DOCA_SUCCESS) {
            continue;
        }
        if (equal && (capability == NULL || capability(list[i]) == DOCA_SUCCESS)) {
            result = doca_dev_open(list[i], dev);
        }
    }
    (void)doca_devinfo_destroy_list(list);
    return result;
}

doca_error_t create_core(struct core *core, uint32_t num_bufs)
{
    TRY(doca_mmap_create(&core->src_mmap));
    TRY(doca_mmap_add_dev(core->src_mmap, core->dev));
    TRY(doca_mmap_create(&core->dst_mmap));
    TRY(doca_mmap_add_dev(core->dst_mmap, core->dev));
    TRY(doca_buf_inventory_create(num_bufs, &core->inventory));
    TRY(doca_buf_inventory_start(core->inventory));
    TRY(doca_pe_create(&core->pe));
    return DOCA_SUCCESS;
}

doca_error_t destroy_core(struct core *core)
{
    doca_error_t result = DOCA_SUCCESS;
    if (core->pe != NULL) {
        DOCA_ERROR_PROPAGATE(result, doca_pe_destroy(core->pe));
    }
    if (core->inventory != NULL) {
        DOCA_ERROR_PROPAGATE(result, doca_buf_inventory_destroy(core->inventory));
    }
    if (core->dst_mmap != NULL) {
        DOCA_ERROR_PROPAGATE(result, doca_mmap_destroy(core->dst_mmap));
    }
    if (core->src_mmap != NULL) {
        DOCA_ERROR_PROPAGATE(result, doca_mmap_destroy(core->src_mmap));
    }
    DOCA_ERROR_PROPAGATE(result, doca_dev_close(core->dev));
    if (result != DOCA_SUCCESS) {
        DOCA_LOG_ERR("Tear-down failed: %s", doca_error_get_descr(result));
    }
    return result;
}

static void on_state(const union doca_data user_data, struct doca_ctx *ctx,
                     enum doca_ctx_states prev_state, enum doca_ctx_states next_state)
{
    (void)ctx;
    DOCA_LOG_DBG("The context went from state %d to %d", prev_state, next_state);
    if (next_state == DOCA_CTX_STATE_IDLE) {
        ((struct core *)user_data.ptr)->running = false;
    }
}

doca_error_t connect_ctx(struct core *core, struct doca_ctx *ctx)
{
    union doca_data self;
    self.ptr = core;
    core->ctx = ctx;
    TRY(doca_pe_connect_ctx(core->pe, ctx));
    TRY(doca_ctx_set_state_changed_cb(ctx, on_state));
    TRY(doca_ctx_set_user_data(ctx, self));
    core->running = true;
    return DOCA_SUCCESS;
}

void progress_until_idle(struct core *core)
{
    const struct timespec pause = {0, 10 * 1000};
    while (core->running) {
        if (doca_pe_progress(core->pe) == 0) {
            nanosleep(&pause, NULL);
        }
    }
}

void task_is_over(struct core *core, struct doca_task *task)
{
    doca_error_t status = doca_task_get_status(task);
    DOCA_ERROR_PROPAGATE(core->status, status);
    doca_task_free(task);
    if (--core->tasks == 0) {
        (void)doca_ctx_stop(core->ctx);
    }
}

doca_error_t buf_list(struct core *core, struct doca_mmap *mmap, char *bytes, size_t len,
                      int pieces, bool with_data, struct doca_buf **head)
{
    *head = NULL;
    for (int i = 0; i < pieces; i++) {
        struct doca_buf *buf = NULL;
        size_t at = len / (size_t)pieces * (size_t)i;
        size_t part = i == pieces - 1 ? len - at : len / (size_t)pieces;
        TRY(doca_buf_inventory_buf_get_by_addr(core->inventory, mmap, bytes + at, part, &buf));
        if (with_data) {
            TRY(doca_buf_set_data(buf, bytes + at, part));
        }
        if (*head == NULL) {
            *head = buf;
        } else {
            TRY(doca_buf_chain_list(*head, buf));
        }
    }
    return DOCA_SUCCESS;
}
