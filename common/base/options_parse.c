/* SPDX-License-Identifier: Apache-2.0 */
/* options_parse.c - numbers, sizes and durations from text and back. Pure functions: any thread.
 * Strict on purpose: no signs, no blanks, no fractions, no hexadecimal. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/options_internal.h"

struct suffix {
    const char *text;
    uint64_t factor;
};

#define KIB UINT64_C(1024)

/* The first spelling of a factor is the one that is printed; largest factor first. */
static const struct suffix size_suffixes[] = {
    {"T", KIB *KIB *KIB *KIB},
    {"TiB", KIB *KIB *KIB *KIB},
    {"G", KIB *KIB *KIB},
    {"GiB", KIB *KIB *KIB},
    {"M", KIB *KIB},
    {"MiB", KIB *KIB},
    {"K", KIB},
    {"KiB", KIB},
    {"B", 1},
};

static const struct suffix duration_suffixes[] = {
    {"h", 3600000},
    {"m", 60000},
    {"s", 1000},
    {"ms", 1},
};

/* The digits at the start of text; end_out is behind them. */
static int parse_digits(const char *text, const char **end_out, uint64_t *value_out)
{
    uint64_t value = 0;
    const char *at = text;

    if (*at < '0' || *at > '9') {
        return -EINVAL;
    }
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value)) {
            return -ERANGE;
        }
    }
    *end_out = at;
    *value_out = value;
    return 0;
}

int bc_parse_u64(const char *text, uint64_t *value_out)
{
    const char *end;
    uint64_t value;
    int rc = parse_digits(text, &end, &value);

    if (rc != 0) {
        return rc;
    }
    if (*end != '\0') {
        return -EINVAL;
    }
    *value_out = value;
    return 0;
}

static int multiply(uint64_t value, uint64_t factor, uint64_t *product_out)
{
    uint64_t product;

    if (__builtin_mul_overflow(value, factor, &product)) {
        return -ERANGE;
    }
    *product_out = product;
    return 0;
}

int bc_parse_size(const char *text, uint64_t scale, uint64_t *bytes_out)
{
    const char *end;
    uint64_t value;
    int rc = parse_digits(text, &end, &value);

    if (rc != 0) {
        return rc;
    }
    if (*end == '\0') {
        return multiply(value, scale == 0 ? 1 : scale, bytes_out);
    }
    for (size_t i = 0; i < BC_ARRAY_LEN(size_suffixes); i++) {
        if (strcasecmp(end, size_suffixes[i].text) == 0) {
            return multiply(value, size_suffixes[i].factor, bytes_out);
        }
    }
    return -EINVAL;
}

int bc_parse_duration_ms(const char *text, uint64_t *ms_out)
{
    const char *end;
    uint64_t value;
    int rc = parse_digits(text, &end, &value);

    if (rc != 0) {
        return rc;
    }
    if (*end == '\0') {
        *ms_out = value;
        return 0;
    }
    for (size_t i = 0; i < BC_ARRAY_LEN(duration_suffixes); i++) {
        if (strcmp(end, duration_suffixes[i].text) == 0) {
            return multiply(value, duration_suffixes[i].factor, ms_out);
        }
    }
    return -EINVAL;
}

static void format_with(const struct suffix *suffixes, size_t count, uint64_t value, char *out)
{
    for (size_t i = 0; i < count; i++) {
        if (value != 0 && value % suffixes[i].factor == 0) {
            (void)snprintf(out, BC_OPTION_NUMBER_LEN, "%" PRIu64 "%s", value / suffixes[i].factor,
                           suffixes[i].text);
            return;
        }
    }
    (void)snprintf(out, BC_OPTION_NUMBER_LEN, "%" PRIu64, value);
}

void bc_options_format_number(const struct bc_option *row, uint64_t value,
                              char out[BC_OPTION_NUMBER_LEN])
{
    switch (row->type) {
    case BC_OPTION_SIZE:
        format_with(size_suffixes, BC_ARRAY_LEN(size_suffixes), value, out);
        break;
    case BC_OPTION_DURATION_MS:
        format_with(duration_suffixes, BC_ARRAY_LEN(duration_suffixes), value, out);
        break;
    default:
        (void)snprintf(out, BC_OPTION_NUMBER_LEN, "%" PRIu64, value);
        break;
    }
}
