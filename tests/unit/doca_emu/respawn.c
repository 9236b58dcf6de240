/* SPDX-License-Identifier: Apache-2.0 */
/* respawn.c - see respawn.h. */
#include "respawn.h"

#include "fixture.h"

#include <spawn.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

extern char **environ;

int respawn(pid_t *pid_out, char *const argv[], const char *first_env, const char *second_env)
{
    const char *const extra[] = {first_env, second_env};
    int ends[2];
    struct timeval limit = {.tv_sec = 30};
    posix_spawn_file_actions_t actions;
    char *env[512];
    size_t count = 0;
    for (size_t i = 0; i < 2; i++) {
        if (extra[i] != NULL) {
            env[count++] = (char *)(uintptr_t)extra[i];
        }
    }
    for (char **var = environ; *var != NULL && count < 511; var++) {
        env[count++] = *var;
    }
    env[count] = NULL;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], PEER_FD);
    assert_int_equal(posix_spawn(pid_out, "/proc/self/exe", &actions, NULL, argv, env), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    return ends[0];
}
