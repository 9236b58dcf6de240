/* SPDX-License-Identifier: Apache-2.0 */
/* death.h - runs a function that must end its process with BC_ASSERT, in a child, and reads what
 * it said. The child leaves no core file, and one that lives on exits by itself. Call it while the
 * process has one thread. */
#ifndef BC_TEST_DEATH_H
#define BC_TEST_DEATH_H

#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* True when fn(arg) was ended by SIGABRT and its last words held `words`. */
static inline bool dies_saying(void (*fn)(void *arg), void *arg, const char *words)
{
    char said[1024] = "";
    size_t len = 0;
    ssize_t got;
    int status = 0;
    int ends[2];
    pid_t child;

    if (pipe(ends) != 0) {
        return false;
    }
    child = fork();
    if (child == 0) {
        const struct rlimit no_core = {0, 0};

        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)dup2(ends[1], STDERR_FILENO);
        (void)close(ends[0]);
        (void)close(ends[1]);
        fn(arg);
        _exit(0);
    }
    (void)close(ends[1]);
    while (child > 0 && len < sizeof(said) - 1 &&
           (got = read(ends[0], said + len, sizeof(said) - 1 - len)) > 0) {
        len += (size_t)got;
    }
    (void)close(ends[0]);
    if (child < 0 || waitpid(child, &status, 0) != child) {
        return false;
    }
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(said, words) != NULL;
}

#endif
