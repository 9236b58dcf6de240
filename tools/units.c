/* SPDX-License-Identifier: Apache-2.0 */
/* units.c - see units.h. */
#include "units.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The digits at *text, which is moved behind them. */
static int take_digits(const char **text, uint64_t *value_out)
{
    const char *at = *text;
    uint64_t value = 0;

    if (!isdigit((unsigned char)*at)) {
        return -EINVAL;
    }
    for (; isdigit((unsigned char)*at); at++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value)) {
            return -ERANGE;
        }
    }
    *text = at;
    *value_out = value;
    return 0;
}

int bc_cli_parse_u64(const char *text, uint64_t *value_out)
{
    uint64_t value;
    int rc = take_digits(&text, &value);

    if (rc == 0 && *text != '\0') {
        rc = -EINVAL;
    }
    if (rc == 0) {
        *value_out = value;
    }
    return rc;
}

int bc_cli_parse_size(const char *text, uint64_t *bytes_out)
{
    static const char letters[] = "KMGT";
    uint64_t value;
    unsigned shift = 0;
    int rc = take_digits(&text, &value);
    const char *found;

    if (rc != 0) {
        return rc;
    }
    found = *text == '\0' ? NULL : strchr(letters, toupper((unsigned char)*text));
    if (found != NULL) {
        shift = 10 * (unsigned)(found - letters + 1);
        text++;
        if (strcasecmp(text, "iB") == 0) {
            text += 2;
        }
    }
    if (strcasecmp(text, "B") == 0) {
        text++;
    }
    if (*text != '\0') {
        return -EINVAL;
    }
    if (value > UINT64_MAX >> shift) {
        return -ERANGE;
    }
    *bytes_out = value << shift;
    return 0;
}

int bc_cli_parse_seconds(const char *text, uint64_t *ms_out)
{
    uint64_t value;
    uint64_t ms = 0;
    int rc = take_digits(&text, &value);

    if (rc != 0) {
        return rc;
    }
    if (*text == '.') {
        uint64_t scale = 100;

        text++;
        for (; isdigit((unsigned char)*text); text++, scale /= 10) {
            ms += (uint64_t)(*text - '0') * scale;
        }
    }
    if (*text == 's') {
        text++;
    }
    if (*text != '\0') {
        return -EINVAL;
    }
    if (__builtin_mul_overflow(value, 1000, &value) || __builtin_add_overflow(value, ms, &value)) {
        return -ERANGE;
    }
    *ms_out = value;
    return 0;
}

/* Three digits that count, as "9.87", "98.7", "987". */
static void print_scaled(char *buf, double value, const char *unit)
{
    int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;

    (void)snprintf(buf, BC_CLI_UNITS_LEN, "%.*f %s", decimals, value, unit);
}

const char *bc_cli_size(char *buf, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1023.5 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024;
        unit++;
    }
    if (unit == 0 || (bytes & ((UINT64_C(1) << (10 * unit)) - 1)) == 0) {
        (void)snprintf(buf, BC_CLI_UNITS_LEN, "%.0f %s", value, units[unit]);
    } else {
        print_scaled(buf, value, units[unit]);
    }
    return buf;
}

const char *bc_cli_rate(char *buf, uint64_t bytes, uint64_t ns)
{
    static const char *const units[] = {"B/s", "kB/s", "MB/s", "GB/s", "TB/s"};
    double value = (double)bytes * 1e9 / (double)(ns == 0 ? 1 : ns);
    size_t unit = 0;

    while (value >= 999.5 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1000;
        unit++;
    }
    print_scaled(buf, value, units[unit]);
    return buf;
}

const char *bc_cli_duration(char *buf, uint64_t ns)
{
    if (ns < 1000) {
        (void)snprintf(buf, BC_CLI_UNITS_LEN, "%" PRIu64 " ns", ns);
    } else if (ns < 999500) {
        print_scaled(buf, (double)ns / 1e3, "us");
    } else if (ns < UINT64_C(999500000)) {
        print_scaled(buf, (double)ns / 1e6, "ms");
    } else {
        print_scaled(buf, (double)ns / 1e9, "s");
    }
    return buf;
}

const char *bc_cli_number(char *buf, int64_t value)
{
    char digits[24];
    char *out = buf;
    size_t len;

    (void)snprintf(digits, sizeof(digits), "%" PRIu64,
                   value < 0 ? -(uint64_t)value : (uint64_t)value);
    len = strlen(digits);
    if (value < 0) {
        *out++ = '-';
    }
    for (size_t i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) {
            *out++ = ',';
        }
        *out++ = digits[i];
    }
    *out = '\0';
    return buf;
}
