/* SPDX-License-Identifier: Apache-2.0 */
/* argp_json.c - parameters from a JSON file: an object with the objects "doca_general_flags" (what
 * every program has) and "doca_program_flags", keys of which are long names. Built without json-c,
 * the library answers NOT_SUPPORTED. */
#include "argp.h"

#ifdef EMU_HAVE_JSON

#include <json-c/json.h>
#include <string.h>

/* The value's text, when it is of the parameter's type. */
static const char *value_text(const struct doca_argp_param *param, struct json_object *value)
{
    static const enum json_type wanted[] = {
        [DOCA_ARGP_TYPE_STRING] = json_type_string,
        [DOCA_ARGP_TYPE_INT] = json_type_int,
        [DOCA_ARGP_TYPE_BOOLEAN] = json_type_boolean,
        [DOCA_ARGP_TYPE_JSON_OBJ] = json_type_object,
    };
    return json_object_is_type(value, wanted[param->type]) ? json_object_get_string(value) : NULL;
}

static doca_error_t apply_value(struct doca_argp_param *param, struct json_object *value)
{
    if (param->multiple && json_object_is_type(value, json_type_array)) {
        doca_error_t result = DOCA_SUCCESS;
        for (size_t i = 0; result == DOCA_SUCCESS && i < json_object_array_length(value); i++) {
            result = apply_value(param, json_object_array_get_idx(value, i));
        }
        return result;
    }
    const char *text = value_text(param, value);
    if (text == NULL) {
        emu_argp_complain("the JSON value of '%s' has a wrong type", param->long_name);
        return DOCA_ERROR_INVALID_VALUE;
    }
    return emu_argp_apply(param, text);
}

static doca_error_t apply_section(struct json_object *root, const char *section, bool general)
{
    struct json_object *object = NULL;
    if (!json_object_object_get_ex(root, section, &object)) {
        return DOCA_SUCCESS;
    }
    if (!json_object_is_type(object, json_type_object)) {
        emu_argp_complain("'%s' is no JSON object", section);
        return DOCA_ERROR_INVALID_VALUE;
    }
    doca_error_t result = DOCA_SUCCESS;
    json_object_object_foreach(object, key, value)
    {
        struct doca_argp_param *param = emu_argp_find_long(key, strlen(key));
        if (result != DOCA_SUCCESS) {
            break;
        }
        if (param == NULL || param->general != general || strcmp(key, "json") == 0) {
            emu_argp_complain("'%s' has no parameter '%s'", section, key);
            result = DOCA_ERROR_INVALID_VALUE;
        } else {
            result = apply_value(param, value);
        }
    }
    return result;
}

doca_error_t emu_argp_read_json(const char *path)
{
    struct json_object *root = json_object_from_file(path);
    if (root == NULL || !json_object_is_type(root, json_type_object)) {
        emu_argp_complain("%s cannot be read, or holds no JSON object", path);
        json_object_put(root);
        return DOCA_ERROR_INVALID_VALUE;
    }
    doca_error_t result = apply_section(root, "doca_general_flags", true);
    if (result == DOCA_SUCCESS) {
        result = apply_section(root, "doca_program_flags", false);
    }
    json_object_put(root);
    return result;
}

#else

doca_error_t emu_argp_read_json(const char *path)
{
    emu_argp_complain("%s: this library was built without support for JSON", path);
    return DOCA_ERROR_NOT_SUPPORTED;
}

#endif
