/* SPDX-License-Identifier: Apache-2.0 */
/* capture.h - what goes to stderr, kept in a file in memory for the test to read. */
#ifndef BC_TEST_CAPTURE_H
#define BC_TEST_CAPTURE_H

#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

struct capture {
    int file;
    int saved_stderr;
};

static inline bool capture_start(struct capture *capture)
{
    capture->file = memfd_create("stderr", MFD_CLOEXEC);
    capture->saved_stderr = dup(STDERR_FILENO);
    /* Appending, as a log file is opened: otherwise the threads' writes race for one offset. */
    return capture->file >= 0 && capture->saved_stderr >= 0 &&
           fcntl(capture->file, F_SETFL, O_APPEND) == 0 &&
           dup2(capture->file, STDERR_FILENO) == STDERR_FILENO;
}

/* Gives stderr back; the text and a NUL go to out. Returns the text's length, -1 on failure. */
static inline ssize_t capture_stop(struct capture *capture, char *out, size_t size)
{
    ssize_t len;

    if (dup2(capture->saved_stderr, STDERR_FILENO) != STDERR_FILENO) {
        return -1;
    }
    len = pread(capture->file, out, size - 1, 0);
    if (len >= 0) {
        out[len] = '\0';
    }
    (void)close(capture->file);
    (void)close(capture->saved_stderr);
    return len;
}

#endif
