/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz.c - see fuzz.h. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"

static void drop_line(void *arg, enum bc_log_level level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
}

void fuzz_quiet(void)
{
    bc_log_set_sink(drop_line, NULL);
}

uint8_t *fuzz_copy(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);

    BC_ASSERT(copy != NULL);
    if (len > 0) {
        memcpy(copy, data, len);
    }
    return copy;
}

char *fuzz_text(const uint8_t *data, size_t len)
{
    char *text = malloc(len + 1);

    BC_ASSERT(text != NULL);
    if (len > 0) {
        memcpy(text, data, len);
    }
    text[len] = '\0';
    return text;
}

int fuzz_file(const uint8_t *data, size_t len, const char **path_out)
{
    static char path[64];
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    BC_ASSERT(fd >= 0);
    BC_ASSERT(write(fd, data, len) == (ssize_t)len);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    *path_out = path;
    return fd;
}
