/* SPDX-License-Identifier: Apache-2.0 */
/* comch_place.c - the directory of sockets. A server starts under a lock of the directory, so that
 * two of them cannot both find a place empty. */
#include "comch_place.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LOCK_TRIES 500 /* of a millisecond */
#define BACKLOG    1024
#define FILE_SIZE  80

static doca_error_t fail(const char *what, const char *path)
{
    emu_log(DOCA_LOG_LEVEL_ERROR, "comch: %s %s: %s", what, path, strerror(errno));
    return DOCA_ERROR_INITIALIZATION;
}

static doca_error_t open_directory(int *dir_out)
{
    char path[108];
    struct stat stat;
    const char *given = getenv("DOCA_EMU_RUNTIME_DIR");
    if (given != NULL && given[0] != '\0') {
        snprintf(path, sizeof(path), "%s", given);
    } else {
        snprintf(path, sizeof(path), "/tmp/doca-emu-%u", (unsigned)geteuid());
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return fail("cannot make", path);
    }
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0) {
        return fail("cannot open", path);
    }
    if (fstat(dir, &stat) != 0 || stat.st_uid != geteuid() || (stat.st_mode & 077) != 0) {
        emu_log(DOCA_LOG_LEVEL_ERROR,
                "comch: %s must belong to this user and be closed to others (mode 0700)", path);
        close(dir);
        return DOCA_ERROR_INITIALIZATION;
    }
    *dir_out = dir;
    return DOCA_SUCCESS;
}

/* The name of a service can hold anything, so its hash (FNV-1a) stands for it; a handshake compares
 * the names themselves. */
static void file_name(const struct emu_place *place, char name[FILE_SIZE])
{
    char dpu[DOCA_DEVINFO_PCI_ADDR_SIZE];
    char host[DOCA_DEVINFO_PCI_ADDR_SIZE];
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (const char *at = place->name; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    }
    emu_pci_format(&place->dpu, dpu);
    emu_pci_format(&place->host, host);
    snprintf(name, FILE_SIZE, "%016llx-%s-%s-%016llx", (unsigned long long)place->world, dpu, host,
             (unsigned long long)hash);
}

/* Through the open directory: its path may be longer than an address, or change. */
static struct sockaddr_un address_of(int dir, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    _Static_assert(sizeof(address.sun_path) > sizeof("/proc/self/fd/1234567890/") + FILE_SIZE,
                   "every name fits");
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir, name);
    return address;
}

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* A listening socket outlives its server when a child of that server still holds it. */
static bool listener_alive(int fd)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0 || cred.uid != geteuid()) {
        return false;
    }
    int pidfd = (int)syscall(SYS_pidfd_open, cred.pid, 0u);
    if (pidfd < 0) {
        return errno != ESRCH;
    }
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    bool alive = poll(&ended, 1, 0) == 0;
    close(pidfd);
    return alive;
}

static doca_error_t connect_in(int dir, const char *name, int *fd_out)
{
    struct sockaddr_un address = address_of(dir, name);
    int fd = new_socket();
    if (fd < 0) {
        return DOCA_ERROR_NO_MEMORY;
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || !listener_alive(fd)) {
        close(fd);
        return DOCA_ERROR_NOT_FOUND;
    }
    *fd_out = fd;
    return DOCA_SUCCESS;
}

/* The lock goes away with the descriptor. */
static bool lock_directory(int dir)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int tries = 0; tries < LOCK_TRIES; tries++) {
        if (flock(dir, LOCK_EX | LOCK_NB) == 0) {
            return true;
        }
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

static doca_error_t listen_in(int dir, const char *name, const char *service, int *fd_out)
{
    struct sockaddr_un address = address_of(dir, name);
    int other = -1;
    if (!lock_directory(dir)) {
        return fail("cannot lock the directory of", service);
    }
    if (connect_in(dir, name, &other) == DOCA_SUCCESS) {
        close(other);
        emu_log(DOCA_LOG_LEVEL_ERROR, "comch: another server has the name %s here", service);
        return DOCA_ERROR_INITIALIZATION;
    }
    (void)unlinkat(dir, name, 0);
    int fd = new_socket();
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(fd, BACKLOG) != 0) {
        doca_error_t result = fail("cannot listen as", service);
        if (fd >= 0) {
            close(fd);
        }
        return result;
    }
    *fd_out = fd;
    return DOCA_SUCCESS;
}

doca_error_t emu_place_listen(const struct emu_place *place, int *fd_out)
{
    char name[FILE_SIZE];
    int dir = -1;
    file_name(place, name);
    doca_error_t result = open_directory(&dir);
    if (result == DOCA_SUCCESS) {
        result = listen_in(dir, name, place->name, fd_out);
        close(dir);
    }
    return result;
}

void emu_place_leave(const struct emu_place *place, int fd, bool forked)
{
    char name[FILE_SIZE];
    int dir = -1;
    file_name(place, name);
    if (!forked && open_directory(&dir) == DOCA_SUCCESS) {
        (void)unlinkat(dir, name, 0);
        close(dir);
    }
    if (!forked) {
        (void)shutdown(fd, SHUT_RDWR);
    }
    close(fd);
}

doca_error_t emu_place_connect(const struct emu_place *place, int *fd_out)
{
    char name[FILE_SIZE];
    int dir = -1;
    file_name(place, name);
    doca_error_t result = open_directory(&dir);
    if (result == DOCA_SUCCESS) {
        result = connect_in(dir, name, fd_out);
        close(dir);
    }
    return result;
}
