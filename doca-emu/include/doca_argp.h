/* SPDX-License-Identifier: Apache-2.0 */
/* doca_argp.h - command lines of small programs: --name VALUE, --name=VALUE, -n VALUE, flags, and the
 * same from a JSON file.
 * Order: init, create and register each parameter, start, destroy. Every program has -h, -v, -l,
 * --sdk-log-level and -j without asking for them; a name that is registered by the program wins over
 * a short one of these.
 * Thread: one. Lifetime: a registered parameter belongs to the library, until destroy; what a
 * callback is given is valid inside of it only. */
#ifndef DOCA_ARGP_H_
#define DOCA_ARGP_H_

#include <stdbool.h>
#include <stdint.h>

#include "doca_compat.h"
#include "doca_error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct doca_argp_param;

/* What the callback of a parameter is given. */
enum doca_argp_type {
    DOCA_ARGP_TYPE_UNKNOWN = 0,
    DOCA_ARGP_TYPE_STRING = 1,  /* char * */
    DOCA_ARGP_TYPE_INT = 2,     /* int * */
    DOCA_ARGP_TYPE_BOOLEAN = 3, /* bool *; on the command line a flag without a value */
    DOCA_ARGP_TYPE_JSON_OBJ = 4 /* char *, the object's text; only from a JSON file */
};

/* A parameter's value and the program's own configuration. */
typedef doca_error_t (*doca_argp_param_cb_t)(void *, void *);
/* The program's configuration, once all is parsed. */
typedef doca_error_t (*doca_argp_validation_cb_t)(void *);

DOCA_EXPERIMENTAL doca_error_t doca_argp_init(const char *program_name, void *program_config);
DOCA_EXPERIMENTAL doca_error_t doca_argp_destroy(void);
/* A program without a version callback prints the version of DOCA and ends. */
DOCA_EXPERIMENTAL doca_error_t doca_argp_register_version_callback(doca_argp_param_cb_t callback);
DOCA_EXPERIMENTAL doca_error_t
doca_argp_register_validation_callback(doca_argp_validation_cb_t callback);
/* Without success the parameter stays with the caller. */
DOCA_EXPERIMENTAL doca_error_t doca_argp_register_param(struct doca_argp_param *input_param);
/* Ends the process after --help and --version. An error was explained on stderr. */
DOCA_EXPERIMENTAL doca_error_t doca_argp_start(int argc, char **argv);
DOCA_EXPERIMENTAL void doca_argp_usage(void);

DOCA_EXPERIMENTAL doca_error_t doca_argp_param_create(struct doca_argp_param **param);
DOCA_EXPERIMENTAL doca_error_t doca_argp_param_destroy(struct doca_argp_param *param);
/* Names are given without dashes. */
DOCA_EXPERIMENTAL void doca_argp_param_set_short_name(struct doca_argp_param *param,
                                                      const char *name);
DOCA_EXPERIMENTAL void doca_argp_param_set_long_name(struct doca_argp_param *param,
                                                     const char *name);
/* What help shows in place of the value. */
DOCA_EXPERIMENTAL void doca_argp_param_set_arguments(struct doca_argp_param *param,
                                                     const char *arguments);
DOCA_EXPERIMENTAL void doca_argp_param_set_description(struct doca_argp_param *param,
                                                       const char *description);
DOCA_EXPERIMENTAL void doca_argp_param_set_callback(struct doca_argp_param *param,
                                                    doca_argp_param_cb_t callback);
DOCA_EXPERIMENTAL void doca_argp_param_set_type(struct doca_argp_param *param,
                                                enum doca_argp_type type);
DOCA_EXPERIMENTAL void doca_argp_param_set_mandatory(struct doca_argp_param *param);
/* The parameter may be given more than once. */
DOCA_EXPERIMENTAL void doca_argp_param_set_multiplicity(struct doca_argp_param *param);

/* What -l and --sdk-log-level have set, or their defaults. */
DOCA_EXPERIMENTAL doca_error_t doca_argp_get_log_level(int *log_level);
DOCA_EXPERIMENTAL doca_error_t doca_argp_get_sdk_log_level(int *log_level);

#ifdef __cplusplus
}
#endif

#endif /* DOCA_ARGP_H_ */
