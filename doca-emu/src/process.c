/* SPDX-License-Identifier: Apache-2.0 */
/* process.c - process identities over /proc and pidfd. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Older C libraries know neither the calls nor their numbers, which are the same on all
 * machines. */
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

static struct {
    pthread_mutex_t lock;
    struct emu_peer *list;
} peers = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int pidfd_open_(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0u);
}

static bool pidfd_ended(int pidfd)
{
    struct pollfd entry = {.fd = pidfd, .events = POLLIN};
    int rc = poll(&entry, 1, 0);
    return rc > 0 && (entry.revents & POLLIN) != 0;
}

/* Field 22 of /proc/PID/stat; the name in field 2 may hold anything, also blanks and brackets. */
uint64_t emu_process_id(pid_t pid)
{
    char path[40];
    char text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t len = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (len <= 0) {
        return 0;
    }
    text[len] = '\0';
    const char *field = strrchr(text, ')');
    for (int i = 0; field != NULL && i < 20; i++) {
        field = strchr(field + 1, ' ');
    }
    if (field == NULL) {
        return 0;
    }
    uint64_t start = strtoull(field + 1, NULL, 10);
    return start << 32 | (uint32_t)pid;
}

bool emu_process_alive(uint64_t id)
{
    pid_t pid = (pid_t)(uint32_t)id;
    int pidfd = pidfd_open_(pid);
    if (pidfd < 0) {
        return errno != ESRCH;
    }
    bool ended = pidfd_ended(pidfd);
    close(pidfd);
    uint64_t now = emu_process_id(pid);
    return !ended && (now == 0 || now == id);
}

static doca_error_t open_peer(uint64_t id, struct emu_peer *peer)
{
    char path[40];
    peer->id = id;
    peer->pid = (pid_t)(uint32_t)id;
    peer->refs = 1;
    peer->pidfd = pidfd_open_(peer->pid);
    if (peer->pidfd < 0) {
        doca_error_t result = errno == ESRCH || errno == EINVAL   ? DOCA_ERROR_DRIVER
                              : errno == ENOSYS || errno == EPERM ? DOCA_ERROR_NOT_SUPPORTED
                                                                  : DOCA_ERROR_NO_MEMORY;
        emu_log(DOCA_LOG_LEVEL_ERROR, "import: process %d cannot be watched (pidfd_open: %s)",
                (int)peer->pid, strerror(errno));
        return result;
    }
    /* In this order: what the pidfd stands for is the process whose start time is read after it. */
    if (pidfd_ended(peer->pidfd) || emu_process_id(peer->pid) != id) {
        emu_log(DOCA_LOG_LEVEL_ERROR, "import: the exporting process %d is gone", (int)peer->pid);
        close(peer->pidfd);
        return DOCA_ERROR_DRIVER;
    }
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)peer->pid);
    peer->mem_fd = open(path, O_RDONLY | O_CLOEXEC);
    return DOCA_SUCCESS;
}

doca_error_t emu_peer_get(uint64_t id, struct emu_peer **peer_out)
{
    doca_error_t result = DOCA_SUCCESS;
    pthread_mutex_lock(&peers.lock);
    struct emu_peer *peer = peers.list;
    /* After an exec the id is still right, yet what we hold belongs to the old image. */
    while (peer != NULL && (peer->id != id || emu_peer_memory_gone(peer))) {
        peer = peer->next;
    }
    if (peer != NULL) {
        peer->refs++;
    } else {
        peer = calloc(1, sizeof(*peer));
        result = peer == NULL ? DOCA_ERROR_NO_MEMORY : open_peer(id, peer);
        if (result == DOCA_SUCCESS) {
            peer->next = peers.list;
            peers.list = peer;
        } else {
            free(peer);
        }
    }
    pthread_mutex_unlock(&peers.lock);
    if (result == DOCA_SUCCESS) {
        *peer_out = peer;
    }
    return result;
}

void emu_peer_put(struct emu_peer *peer)
{
    pthread_mutex_lock(&peers.lock);
    if (--peer->refs == 0) {
        struct emu_peer **link = &peers.list;
        while (*link != peer) {
            link = &(*link)->next;
        }
        *link = peer->next;
        close(peer->pidfd);
        if (peer->mem_fd >= 0) {
            close(peer->mem_fd);
        }
        free(peer);
    }
    pthread_mutex_unlock(&peers.lock);
}

bool emu_peer_gone(const struct emu_peer *peer)
{
    return pidfd_ended(peer->pidfd);
}

bool emu_peer_memory_gone(const struct emu_peer *peer)
{
    char byte;
    if (peer->mem_fd < 0) {
        return emu_peer_gone(peer);
    }
    /* End of file means that the address space has no user left; address 0, which is not mapped and
     * so is told apart the fastest, is EIO. */
    return pread(peer->mem_fd, &byte, 1, 0) == 0;
}

bool emu_peer_gone_lately(struct emu_peer *peer, bool memory)
{
    uint64_t now = emu_now_ns();
    if (now - atomic_load_explicit(&peer->looked_ns, memory_order_relaxed) <= EMU_PEER_LOOK_NS) {
        return false;
    }
    if (memory ? emu_peer_memory_gone(peer) : emu_peer_gone(peer)) {
        return true;
    }
    /* The time before the question: what it answers is not newer. */
    atomic_store_explicit(&peer->looked_ns, now, memory_order_relaxed);
    return false;
}

int emu_peer_fetch_fd(const struct emu_peer *peer, int fd)
{
    int mine = (int)syscall(SYS_pidfd_getfd, peer->pidfd, fd, 0u);
    if (mine >= 0) {
        return mine;
    }
    /* Some containers forbid pidfd_getfd; a memfd can be opened anew as well. What a false
     * descriptor leads to must neither block nor become our terminal. */
    char path[48];
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)peer->pid, fd);
    mine = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (mine >= 0 && emu_process_id(peer->pid) != peer->id) {
        close(mine);
        errno = ESRCH;
        return -1;
    }
    return mine;
}
