/* SPDX-License-Identifier: Apache-2.0 */
/* argp.c - the command line. Names of several letters are allowed behind one dash (-ns 2), which
 * getopt does not know, so arguments are taken apart here. */
#include "argp.h"

#include "doca_version.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEVELS "10=DISABLE, 20=CRITICAL, 30=ERROR, 40=WARNING, 50=INFO, 60=DEBUG, 70=TRACE"

static struct {
    bool ready; /* between init and destroy */
    char *program;
    void *config;
    doca_argp_param_cb_t version_cb;
    doca_argp_validation_cb_t validation_cb;
    int log_level;
    int sdk_log_level;
    struct doca_argp_param *params[EMU_ARGP_PARAMS_MAX]; /* general ones first */
    size_t num_params;
} argp;

void emu_argp_complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", argp.program == NULL ? "program" : argp.program);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

/* --- parameters ------------------------------------------------------------------------------- */

doca_error_t doca_argp_param_create(struct doca_argp_param **param)
{
    if (param == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *param = calloc(1, sizeof(**param));
    return *param == NULL ? DOCA_ERROR_NO_MEMORY : DOCA_SUCCESS;
}

doca_error_t doca_argp_param_destroy(struct doca_argp_param *param)
{
    if (param == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    free(param->short_name);
    free(param->long_name);
    free(param->arguments);
    free(param->description);
    free(param);
    return DOCA_SUCCESS;
}

static void set_text(char **text, const char *value)
{
    free(*text);
    *text = value == NULL ? NULL : strdup(value);
}

void doca_argp_param_set_short_name(struct doca_argp_param *param, const char *name)
{
    if (param != NULL) {
        set_text(&param->short_name, name);
    }
}

void doca_argp_param_set_long_name(struct doca_argp_param *param, const char *name)
{
    if (param != NULL) {
        set_text(&param->long_name, name);
    }
}

void doca_argp_param_set_arguments(struct doca_argp_param *param, const char *arguments)
{
    if (param != NULL) {
        set_text(&param->arguments, arguments);
    }
}

void doca_argp_param_set_description(struct doca_argp_param *param, const char *description)
{
    if (param != NULL) {
        set_text(&param->description, description);
    }
}

void doca_argp_param_set_callback(struct doca_argp_param *param, doca_argp_param_cb_t callback)
{
    if (param != NULL) {
        param->callback = callback;
    }
}

void doca_argp_param_set_type(struct doca_argp_param *param, enum doca_argp_type type)
{
    if (param != NULL) {
        param->type = type;
    }
}

void doca_argp_param_set_mandatory(struct doca_argp_param *param)
{
    if (param != NULL) {
        param->mandatory = true;
    }
}

void doca_argp_param_set_multiplicity(struct doca_argp_param *param)
{
    if (param != NULL) {
        param->multiple = true;
    }
}

struct doca_argp_param *emu_argp_find_long(const char *name, size_t len)
{
    for (size_t i = 0; i < argp.num_params; i++) {
        const char *own = argp.params[i]->long_name;
        if (own != NULL && strlen(own) == len && memcmp(own, name, len) == 0) {
            return argp.params[i];
        }
    }
    return NULL;
}

static struct doca_argp_param *find_short(const char *name, size_t len)
{
    for (size_t i = 0; i < argp.num_params; i++) {
        const char *own = argp.params[i]->short_name;
        if (own != NULL && strlen(own) == len && memcmp(own, name, len) == 0) {
            return argp.params[i];
        }
    }
    return NULL;
}

/* How messages call a parameter. */
static const char *title(const struct doca_argp_param *param, char *text, size_t size)
{
    if (param->long_name != NULL) {
        snprintf(text, size, "--%s", param->long_name);
    } else {
        snprintf(text, size, "-%s", param->short_name);
    }
    return text;
}

doca_error_t doca_argp_register_param(struct doca_argp_param *input_param)
{
    if (!argp.ready) {
        return DOCA_ERROR_BAD_STATE;
    }
    if (input_param == NULL || input_param->callback == NULL ||
        (input_param->short_name == NULL && input_param->long_name == NULL) ||
        input_param->type < DOCA_ARGP_TYPE_STRING || input_param->type > DOCA_ARGP_TYPE_JSON_OBJ) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    const char *name = input_param->long_name;
    if (name != NULL && emu_argp_find_long(name, strlen(name)) != NULL) {
        return DOCA_ERROR_ALREADY_EXIST;
    }
    name = input_param->short_name;
    struct doca_argp_param *same = name == NULL ? NULL : find_short(name, strlen(name));
    if (same != NULL && !same->general) {
        return DOCA_ERROR_ALREADY_EXIST;
    }
    if (argp.num_params == EMU_ARGP_PARAMS_MAX) {
        return DOCA_ERROR_NO_MEMORY;
    }
    if (same != NULL) {
        set_text(&same->short_name, NULL);
    }
    argp.params[argp.num_params++] = input_param;
    return DOCA_SUCCESS;
}

/* --- what every program has ------------------------------------------------------------------- */

static doca_error_t help_callback(void *value, void *config)
{
    (void)value;
    (void)config;
    doca_argp_usage();
    exit(EXIT_SUCCESS);
}

static doca_error_t version_callback(void *value, void *config)
{
    doca_error_t result = DOCA_SUCCESS;
    if (argp.version_cb != NULL) {
        result = argp.version_cb(value, config);
    } else {
        printf("%s: DOCA %s (software emulation)\n", argp.program, doca_version_runtime());
    }
    exit(result == DOCA_SUCCESS ? EXIT_SUCCESS : EXIT_FAILURE);
}

static doca_error_t log_level_callback(void *value, void *config)
{
    (void)config;
    doca_error_t result = doca_log_level_set_global_lower_limit((uint32_t) * (int *)value);
    if (result == DOCA_SUCCESS) {
        argp.log_level = *(int *)value;
    }
    return result;
}

static doca_error_t sdk_log_level_callback(void *value, void *config)
{
    (void)config;
    doca_error_t result = emu_log_set_sdk_level((uint32_t) * (int *)value);
    if (result == DOCA_SUCCESS) {
        argp.sdk_log_level = *(int *)value;
    }
    return result;
}

static doca_error_t json_callback(void *value, void *config)
{
    (void)config;
    return emu_argp_read_json(value);
}

static doca_error_t add_general(const char *short_name, const char *long_name,
                                const char *arguments, const char *description,
                                enum doca_argp_type type, doca_argp_param_cb_t callback)
{
    struct doca_argp_param *param = NULL;
    doca_error_t result = doca_argp_param_create(&param);
    if (result == DOCA_SUCCESS) {
        doca_argp_param_set_short_name(param, short_name);
        doca_argp_param_set_long_name(param, long_name);
        doca_argp_param_set_arguments(param, arguments);
        doca_argp_param_set_description(param, description);
        doca_argp_param_set_callback(param, callback);
        doca_argp_param_set_type(param, type);
        param->general = true;
        result = doca_argp_register_param(param);
    }
    return result;
}

doca_error_t doca_argp_init(const char *program_name, void *program_config)
{
    if (argp.ready) {
        return DOCA_ERROR_BAD_STATE;
    }
    memset(&argp, 0, sizeof(argp));
    argp.ready = true;
    argp.config = program_config;
    argp.log_level = DOCA_LOG_LEVEL_INFO;
    argp.sdk_log_level = DOCA_LOG_LEVEL_WARNING;
    set_text(&argp.program, program_name == NULL ? program_invocation_short_name : program_name);
    doca_error_t result = argp.program == NULL ? DOCA_ERROR_NO_MEMORY : DOCA_SUCCESS;
    DOCA_ERROR_PROPAGATE(result, add_general("h", "help", NULL, "Print this help and end",
                                             DOCA_ARGP_TYPE_BOOLEAN, help_callback));
    DOCA_ERROR_PROPAGATE(result, add_general("v", "version", NULL, "Print the version and end",
                                             DOCA_ARGP_TYPE_BOOLEAN, version_callback));
    DOCA_ERROR_PROPAGATE(result, add_general("l", "log-level", "<level>",
                                             "Level of the program's messages: " LEVELS,
                                             DOCA_ARGP_TYPE_INT, log_level_callback));
    DOCA_ERROR_PROPAGATE(result, add_general(NULL, "sdk-log-level", "<level>",
                                             "Level of the libraries' messages: " LEVELS,
                                             DOCA_ARGP_TYPE_INT, sdk_log_level_callback));
    DOCA_ERROR_PROPAGATE(result,
                         add_general("j", "json", "<path>", "Take parameters from a JSON file",
                                     DOCA_ARGP_TYPE_STRING, json_callback));
    if (result != DOCA_SUCCESS) {
        (void)doca_argp_destroy();
    }
    return result;
}

doca_error_t doca_argp_destroy(void)
{
    if (!argp.ready) {
        return DOCA_ERROR_BAD_STATE;
    }
    for (size_t i = 0; i < argp.num_params; i++) {
        (void)doca_argp_param_destroy(argp.params[i]);
    }
    free(argp.program);
    memset(&argp, 0, sizeof(argp));
    return DOCA_SUCCESS;
}

doca_error_t doca_argp_register_version_callback(doca_argp_param_cb_t callback)
{
    if (callback == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    argp.version_cb = callback;
    return argp.ready ? DOCA_SUCCESS : DOCA_ERROR_BAD_STATE;
}

doca_error_t doca_argp_register_validation_callback(doca_argp_validation_cb_t callback)
{
    if (callback == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    argp.validation_cb = callback;
    return argp.ready ? DOCA_SUCCESS : DOCA_ERROR_BAD_STATE;
}

static void print_params(bool general)
{
    for (size_t i = 0; i < argp.num_params; i++) {
        const struct doca_argp_param *param = argp.params[i];
        if (param->general != general) {
            continue;
        }
        char names[128];
        snprintf(
            names, sizeof(names), "%s%s%s%s%s%s%s", param->short_name == NULL ? "" : "-",
            param->short_name == NULL ? "" : param->short_name,
            param->short_name == NULL || param->long_name == NULL ? "" : ", ",
            param->long_name == NULL ? "" : "--", param->long_name == NULL ? "" : param->long_name,
            param->arguments == NULL ? "" : " ", param->arguments == NULL ? "" : param->arguments);
        printf("  %-38s %s%s\n", names, param->description == NULL ? "" : param->description,
               param->mandatory ? " (mandatory)" : "");
    }
}

void doca_argp_usage(void)
{
    printf("Usage: %s [DOCA Flags] [Program Flags]\n\nDOCA Flags:\n",
           argp.program == NULL ? "program" : argp.program);
    print_params(true);
    printf("\nProgram Flags:\n");
    print_params(false);
    fflush(stdout);
}

/* --- parsing ---------------------------------------------------------------------------------- */

static bool parse_int(const char *text, int *value_out)
{
    char *end = NULL;
    errno = 0;
    long value = strtol(text, &end, 0);
    if (errno != 0 || end == text || *end != '\0' || value < INT_MIN || value > INT_MAX) {
        return false;
    }
    *value_out = (int)value;
    return true;
}

doca_error_t emu_argp_apply(struct doca_argp_param *param, const char *text)
{
    char name[96];
    (void)title(param, name, sizeof(name));
    if (param->seen++ != 0 && !param->multiple) {
        emu_argp_complain("%s is given more than once", name);
        return DOCA_ERROR_INVALID_VALUE;
    }
    int number = 0;
    bool flag = strcmp(text, "true") == 0;
    void *value = &flag;
    if (param->type == DOCA_ARGP_TYPE_INT) {
        if (!parse_int(text, &number)) {
            emu_argp_complain("%s: '%s' is not a whole number", name, text);
            return DOCA_ERROR_INVALID_VALUE;
        }
        value = &number;
    } else if (param->type != DOCA_ARGP_TYPE_BOOLEAN) {
        value = strdup(text); /* the callback's to change */
        if (value == NULL) {
            return DOCA_ERROR_NO_MEMORY;
        }
    }
    doca_error_t result = param->callback(value, argp.config);
    if (value != &flag && value != &number) {
        free(value);
    }
    if (result != DOCA_SUCCESS) {
        emu_argp_complain("%s: '%s' was refused: %s", name, text, doca_error_get_descr(result));
    }
    return result;
}

/* The parameter that an argument names. value_out: what is glued to the name, or NULL. */
static struct doca_argp_param *match(const char *arg, const char **value_out)
{
    *value_out = NULL;
    if (arg[0] != '-' || arg[1] == '\0') {
        return NULL;
    }
    bool is_long = arg[1] == '-';
    const char *name = arg + (is_long ? 2 : 1);
    const char *equals = strchr(name, '=');
    size_t len = equals == NULL ? strlen(name) : (size_t)(equals - name);
    struct doca_argp_param *param = is_long ? emu_argp_find_long(name, len) : find_short(name, len);
    if (param != NULL) {
        *value_out = equals == NULL ? NULL : equals + 1;
    } else if (!is_long) {
        param = find_short(name, 1);
        if (param != NULL && param->type == DOCA_ARGP_TYPE_BOOLEAN) {
            return NULL;
        }
        *value_out = name + 1;
    }
    return param;
}

static doca_error_t parse_argument(int argc, char **argv, int *at)
{
    const char *value = NULL;
    const char *arg = argv[(*at)++];
    struct doca_argp_param *param = match(arg, &value);
    if (param == NULL || param->type == DOCA_ARGP_TYPE_JSON_OBJ) {
        emu_argp_complain("unknown argument '%s'", arg);
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (param->type == DOCA_ARGP_TYPE_BOOLEAN) {
        if (value != NULL) {
            emu_argp_complain("'%s' takes no value", arg);
            return DOCA_ERROR_INVALID_VALUE;
        }
        return emu_argp_apply(param, "true");
    }
    if (value == NULL) {
        if (*at == argc) {
            emu_argp_complain("'%s' needs a value", arg);
            return DOCA_ERROR_INVALID_VALUE;
        }
        value = argv[(*at)++];
    }
    return emu_argp_apply(param, value);
}

static doca_error_t check_mandatory(void)
{
    for (size_t i = 0; i < argp.num_params; i++) {
        if (argp.params[i]->mandatory && argp.params[i]->seen == 0) {
            char name[96];
            emu_argp_complain("%s is missing", title(argp.params[i], name, sizeof(name)));
            return DOCA_ERROR_INVALID_VALUE;
        }
    }
    return DOCA_SUCCESS;
}

doca_error_t doca_argp_start(int argc, char **argv)
{
    if (!argp.ready) {
        return DOCA_ERROR_BAD_STATE;
    }
    if (argc < 1 || argv == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    doca_error_t result = DOCA_SUCCESS;
    for (int at = 1; result == DOCA_SUCCESS && at < argc;) {
        result = parse_argument(argc, argv, &at);
    }
    if (result == DOCA_SUCCESS) {
        result = check_mandatory();
    }
    if (result == DOCA_SUCCESS && argp.validation_cb != NULL) {
        result = argp.validation_cb(argp.config);
        if (result != DOCA_SUCCESS) {
            emu_argp_complain("the arguments do not go together: %s", doca_error_get_descr(result));
        }
    }
    if (result != DOCA_SUCCESS) {
        doca_argp_usage();
    }
    return result;
}

doca_error_t doca_argp_get_log_level(int *log_level)
{
    if (log_level == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *log_level = argp.log_level;
    return argp.ready ? DOCA_SUCCESS : DOCA_ERROR_BAD_STATE;
}

doca_error_t doca_argp_get_sdk_log_level(int *log_level)
{
    if (log_level == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *log_level = argp.sdk_log_level;
    return argp.ready ? DOCA_SUCCESS : DOCA_ERROR_BAD_STATE;
}
