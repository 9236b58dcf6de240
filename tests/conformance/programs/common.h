/* SPDX-License-Identifier: Apache-2.0 */
/* common.h - what the programs share: devices found by address or by capability, the objects that each of
 * them needs, the log, options, and loops that progress with short sleeps in between.
 * Thread: one. */
#ifndef CONFORMANCE_COMMON_H
#define CONFORMANCE_COMMON_H

#include <doca_argp.h>
#include <doca_buf.h>
#include <doca_buf_inventory.h>
#include <doca_ctx.h>
#include <doca_dev.h>
#include <doca_error.h>
#include <doca_log.h>
#include <doca_mmap.h>
#include <doca_pe.h>

#include <stdbool.h>

typedef doca_error_t (*capability_fn)(struct doca_devinfo *info);

struct core {
    struct doca_dev *dev;
    struct doca_mmap *src_mmap;
    struct doca_mmap *dst_mmap;
    struct doca_buf_inventory *inventory;
    struct doca_pe *pe;
    struct doca_ctx *ctx;
    bool running;   /* until the context is idle again */
    unsigned tasks; /* that have not completed */
    doca_error_t status;
};

/* The options of all programs; unused ones keep their defaults. */
struct options {
    char pci[DOCA_DEVINFO_PCI_ADDR_SIZE];
    char rep[DOCA_DEVINFO_REP_PCI_ADDR_SIZE];
    char text[4096];
    char desc_path[256];
    char info_path[256];
    int pieces;
    bool write; /* toward the host */
};

/* Back ends of the log, arguments. A program ends with EXIT_FAILURE when it fails. */
doca_error_t begin(const char *name, struct options *options, int argc, char **argv);

/* The first device that has the address (unless NULL) and the capability (unless NULL). */
doca_error_t open_device(const char *pci, capability_fn capability, struct doca_dev **dev);

/* Two mmaps with the device, not started, an inventory and a progress engine. */
doca_error_t create_core(struct core *core, uint32_t num_bufs);
doca_error_t destroy_core(struct core *core);

/* Connects, gives the context its user data and a callback that ends progress_until_idle(). */
doca_error_t connect_ctx(struct core *core, struct doca_ctx *ctx);
void progress_until_idle(struct core *core);

/* Counts a task that completed, frees it, and stops the context after the last one. */
void task_is_over(struct core *core, struct doca_task *task);

/* A list of `pieces` bufs over the range; with data, or empty. */
doca_error_t buf_list(struct core *core, struct doca_mmap *mmap, char *bytes, size_t len,
                      int pieces, bool with_data, struct doca_buf **head);

#define TRY(call)                                                             \
    do {                                                                      \
        doca_error_t try_result_ = (call);                                    \
        if (try_result_ != DOCA_SUCCESS) {                                    \
            DOCA_LOG_ERR("%s: %s", #call, doca_error_get_descr(try_result_)); \
            return try_result_;                                               \
        }                                                                     \
    } while (0)

#endif /* CONFORMANCE_COMMON_H */
