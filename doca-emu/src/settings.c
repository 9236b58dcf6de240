/* SPDX-License-Identifier: Apache-2.0 */
/* settings.c - settings from the environment, the clock, and the answer to misuse. */
#include "emu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool emu_parse_u64(const char *text, const char **end_out, uint64_t *value_out)
{
    if (text == NULL || text[0] < '0' || text[0] > '9') {
        return false;
    }
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 0);
    if (errno != 0 || end == text) {
        return false;
    }
    unsigned shift = 0;
    switch (*end) {
    case 'K':
        shift = 10;
        break;
    case 'M':
        shift = 20;
        break;
    case 'G':
        shift = 30;
        break;
    default:
        break;
    }
    if (shift != 0) {
        end++;
        if (value > UINT64_MAX >> shift) {
            return false;
        }
        value <<= shift;
    }
    *end_out = end;
    *value_out = value;
    return true;
}

uint64_t emu_env_u64(const char *name, uint64_t fallback, uint64_t min, uint64_t max)
{
    const char *text = getenv(name);
    if (text == NULL || text[0] == '\0') {
        return fallback;
    }
    const char *end = NULL;
    uint64_t value = 0;
    if (!emu_parse_u64(text, &end, &value) || *end != '\0') {
        emu_log(DOCA_LOG_LEVEL_WARNING, "%s=%s is not a number, using %llu", name, text,
                (unsigned long long)fallback);
        return fallback;
    }
    return value < min ? min : value > max ? max : value;
}

uint64_t emu_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool strict_mode(void)
{
    const char *text = getenv("DOCA_EMU_STRICT");
    if (text != NULL && text[0] != '\0') {
        return text[0] != '0';
    }
#ifdef NDEBUG
    return false;
#else
    return true;
#endif
}

void emu_misuse(const char *format, ...)
{
    char sentence[256];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    if (strict_mode()) {
        fprintf(stderr, "doca-emu: misuse of the DOCA API: %s\n", sentence);
        abort();
    }
    emu_log(DOCA_LOG_LEVEL_ERROR, "misuse of the DOCA API: %s", sentence);
}
