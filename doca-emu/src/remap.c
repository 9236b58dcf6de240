/* SPDX-License-Identifier: Apache-2.0 */
/* remap.c - DOCA_EMU_REMAP_ANON=1: moves private anonymous ranges onto memfds, contents kept, so
 * that importers can map them.
 * The files stay open as long as the application has them mapped, also after the mmap's end, so
 * that registering the range again finds them. README.md lists the caveats (fork, madvise,
 * concurrent writers). */
#include "memory.h"

#include "vma.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct remapped {
    struct remapped *next;
    int fd;
    uint64_t dev;
    uint64_t ino;
};

static struct {
    pthread_mutex_t lock;
    struct remapped *list;
} remaps = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool wanted(uint64_t base, uint64_t len)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    return emu_env_u64("DOCA_EMU_REMAP_ANON", 0, 0, 1) == 1 && base % page == 0 && len % page == 0;
}

/* A sealed memfd with a copy of the range's bytes, or -1. */
static int copy_to_memfd(const void *base, uint64_t len)
{
    int fd = memfd_create("doca-emu-remap", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        return -1;
    }
    if (ftruncate(fd, (off_t)len) != 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0) {
        goto err_close;
    }
    void *copy = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (copy == MAP_FAILED) {
        goto err_close;
    }
    memcpy(copy, base, len);
    munmap(copy, len);
    return fd;

err_close:
    close(fd);
    return -1;
}

void emu_remap_range(uint64_t base, uint64_t len)
{
    struct emu_vma vma;
    struct stat info;
    if (!wanted(base, len) || !emu_vma_scan(base, len, &vma) || !vma.private_anon) {
        return;
    }
    void *addr = (void *)(uintptr_t)base;
    struct remapped *entry = calloc(1, sizeof(*entry));
    if (entry == NULL) {
        return;
    }
    entry->fd = copy_to_memfd(addr, len);
    if (entry->fd < 0 || fstat(entry->fd, &info) != 0) {
        goto err_free;
    }
    if (mmap(addr, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, entry->fd,
             0) == MAP_FAILED) {
        emu_log(DOCA_LOG_LEVEL_WARNING, "mmap: %llu bytes at 0x%llx could not be remapped",
                (unsigned long long)len, (unsigned long long)base);
        goto err_free;
    }
    entry->dev = info.st_dev;
    entry->ino = info.st_ino;
    pthread_mutex_lock(&remaps.lock);
    entry->next = remaps.list;
    remaps.list = entry;
    pthread_mutex_unlock(&remaps.lock);
    return;

err_free:
    if (entry->fd >= 0) {
        close(entry->fd);
    }
    free(entry);
}

void emu_remap_prune(void)
{
    pthread_mutex_lock(&remaps.lock);
    struct remapped **link = &remaps.list;
    while (*link != NULL) {
        struct remapped *entry = *link;
        if (emu_vma_maps_file(entry->dev, entry->ino)) {
            link = &entry->next;
        } else {
            *link = entry->next;
            close(entry->fd);
            free(entry);
        }
    }
    pthread_mutex_unlock(&remaps.lock);
}
