/* SPDX-License-Identifier: Apache-2.0 */
/* options_file_fixture.h - a configuration file with a given text, gone after the test's step. */
#ifndef BC_TEST_OPTIONS_FILE_FIXTURE_H
#define BC_TEST_OPTIONS_FILE_FIXTURE_H

#include "options_fixture.h"

#include <sys/mman.h>
#include <unistd.h>

/* Loads a file that holds len bytes of text. */
static inline int load_bytes(struct values *values, const char *text, size_t len,
                             struct bc_options_error *error)
{
    int file = memfd_create("config", MFD_CLOEXEC);
    char path[64];
    int rc;

    assert_true(file >= 0);
    assert_int_equal(write(file, text, len), len);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    rc = bc_options_load_file(&table, values, path, error);
    assert_int_equal(close(file), 0);
    return rc;
}

static inline int load_text(struct values *values, const char *text, struct bc_options_error *error)
{
    return load_bytes(values, text, strlen(text), error);
}

#endif
