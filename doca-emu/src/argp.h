/* SPDX-License-Identifier: Apache-2.0 */
/* argp.h - inside of the argument parser: what the command line and a JSON file have in common.
 * Thread: one. */
#ifndef EMU_ARGP_H
#define EMU_ARGP_H

#include "emu.h"

#include "doca_argp.h"

#define EMU_ARGP_PARAMS_MAX 128

struct doca_argp_param {
    char *short_name;
    char *long_name;
    char *arguments;
    char *description;
    doca_argp_param_cb_t callback;
    enum doca_argp_type type;
    bool mandatory;
    bool multiple;
    bool general; /* one that every program has */
    unsigned seen;
};

/* One sentence to stderr, after the program's name. */
void emu_argp_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* By long name; general parameters or those of the program. NULL: there is none. */
struct doca_argp_param *emu_argp_find_long(const char *name, size_t len);

/* A value as text; of a BOOLEAN "true" or "false". INVALID_VALUE: not of the parameter's type, or
 * given too often; else what the callback returns. Errors are explained. */
doca_error_t emu_argp_apply(struct doca_argp_param *param, const char *text);

/* argp_json.c: applies the file's values. */
doca_error_t emu_argp_read_json(const char *path);

#endif /* EMU_ARGP_H */
