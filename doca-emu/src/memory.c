/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c - finds the file behind a range of memory, and maps files. */
#include "memory.h"

#include "control.h"
#include "vma.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef HUGETLBFS_MAGIC
#define HUGETLBFS_MAGIC 0x958458f6
#endif

void emu_memory_init(struct emu_memory *memory)
{
    *memory = (struct emu_memory){.kind = DOCA_EMU_MEMORY_NONE, .fd = -1};
}

bool emu_fd_is_dmabuf(int fd)
{
    char path[40];
    char target[64] = "";
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return readlink(path, target, sizeof(target) - 1) > 0 && strncmp(target, "/dmabuf:", 8) == 0;
}

/* Huge-page files map only in whole huge pages. */
static uint64_t file_page_size(int fd)
{
    struct statfs info;
    if (fstatfs(fd, &info) == 0 && (uint32_t)info.f_type == HUGETLBFS_MAGIC) {
        return (uint64_t)info.f_bsize;
    }
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

doca_error_t emu_mapping_create(int fd, uint64_t offset, uint64_t len, bool write,
                                struct emu_mapping *out)
{
    uint64_t page = file_page_size(fd);
    uint64_t first = offset / page * page;
    uint64_t map_len = (offset - first + len + page - 1) / page * page;
    int prot = write ? PROT_READ | PROT_WRITE : PROT_READ;
    void *start = mmap(NULL, map_len, prot, MAP_SHARED, fd, (off_t)first);
    if (start == MAP_FAILED) {
        return errno == ENOMEM ? DOCA_ERROR_NO_MEMORY : DOCA_ERROR_NOT_SUPPORTED;
    }
    *out = (struct emu_mapping){start, map_len, (uint8_t *)start + (offset - first)};
    return DOCA_SUCCESS;
}

/* Makes sure that no mapping of the file can lose its pages: a seal that is there, or that we
 * add. */
static bool hold_size(int fd, uint64_t size)
{
    if (emu_fd_is_dmabuf(fd)) {
        off_t end = lseek(fd, 0, SEEK_END);
        return end >= 0 && (uint64_t)end >= size;
    }
    if (emu_fd_cannot_shrink(fd, size)) {
        return true;
    }
    return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0 && emu_fd_cannot_shrink(fd, size);
}

static bool is_file(int fd, uint64_t dev, uint64_t ino)
{
    struct stat info;
    return fstat(fd, &info) == 0 && info.st_dev == dev && info.st_ino == ino;
}

/* A duplicate of whichever descriptor of this process is the file, open for reading and writing. */
static int find_fd(uint64_t dev, uint64_t ino)
{
    int found = -1;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return -1;
    }
    for (struct dirent *entry = readdir(dir); entry != NULL && found < 0; entry = readdir(dir)) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || !is_file(fd, dev, ino) ||
            (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR) {
            continue;
        }
        found = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        /* The application may have closed it, and reused the number, in between. */
        if (found >= 0 && !is_file(found, dev, ino)) {
            close(found);
            found = -1;
        }
    }
    closedir(dir);
    return found;
}

/* The application closed the file after mapping it: a privileged process can still open it. */
static int open_map_file(const struct emu_vma *vma)
{
    char path[80];
    snprintf(path, sizeof(path), "/proc/self/map_files/%llx-%llx",
             (unsigned long long)vma->first_start, (unsigned long long)vma->first_end);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0 && !is_file(fd, vma->file_dev, vma->file_ino)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* False: the range is not in a memfd mapping, or the memfd's size cannot be held. */
static bool find_file(struct emu_memory *memory, const struct emu_vma *vma, uint64_t len)
{
    if (!vma->shared_file) {
        return false;
    }
    int fd = find_fd(vma->file_dev, vma->file_ino);
    if (fd < 0) {
        fd = open_map_file(vma);
    }
    if (fd < 0) {
        return false;
    }
    if (!hold_size(fd, vma->file_offset + len)) {
        close(fd);
        return false;
    }
    memory->fd = fd;
    memory->offset = vma->file_offset;
    memory->dev = vma->file_dev;
    memory->ino = vma->file_ino;
    return true;
}

doca_error_t emu_memory_set_file(struct emu_memory *memory, int fd, uint64_t offset, uint64_t len)
{
    struct stat info;
    if (fstat(fd, &info) != 0 || offset > (uint64_t)INT64_MAX - len) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    bool dmabuf = emu_fd_is_dmabuf(fd);
    if (!dmabuf && fcntl(fd, F_GET_SEALS) < 0) {
        return DOCA_ERROR_NOT_SUPPORTED;
    }
    if (!dmabuf && (uint64_t)info.st_size < offset + len) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (!hold_size(fd, offset + len)) {
        return dmabuf ? DOCA_ERROR_INVALID_VALUE : DOCA_ERROR_NOT_SUPPORTED;
    }
    int mine = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (mine < 0) {
        return DOCA_ERROR_NO_MEMORY;
    }
    struct emu_mapping mapping;
    doca_error_t result = emu_mapping_create(mine, offset, len, true, &mapping);
    if (result != DOCA_SUCCESS) {
        close(mine);
        return result;
    }
    memory->fd = mine;
    memory->offset = offset;
    memory->dev = info.st_dev;
    memory->ino = info.st_ino;
    memory->from_file = true;
    memory->at = mapping.at;
    memory->map_start = mapping.start;
    memory->map_len = mapping.len;
    return DOCA_SUCCESS;
}

/* False: reading it faults, whatever the list of mappings says, as with memory of a GPU that is only
 * given addresses. */
static bool can_be_read(uint64_t base, uint64_t len)
{
    const uint64_t ends[2] = {base, base + len - 1};
    for (int i = 0; i < 2; i++) {
        char byte;
        struct iovec here = {.iov_base = &byte, .iov_len = 1};
        struct iovec there = {.iov_base = (void *)(uintptr_t)ends[i], .iov_len = 1};
        if (process_vm_readv(getpid(), &here, 1, &there, 1, 0) != 1 && errno == EFAULT) {
            return false;
        }
    }
    return true;
}

doca_error_t emu_memory_start(struct emu_memory *memory, uint64_t base, uint64_t len, bool write,
                              bool shareable)
{
    struct emu_vma vma;
    if (memory->from_file) {
        memory->kind = DOCA_EMU_MEMORY_SHARED;
        return DOCA_SUCCESS;
    }
    emu_remap_prune();
    if (shareable) {
        emu_remap_range(base, len);
    }
    if (!emu_vma_scan(base, len, &vma) || !vma.readable || (write && !vma.writable) ||
        !can_be_read(base, len)) {
        emu_log(DOCA_LOG_LEVEL_ERROR,
                "mmap: %llu bytes at 0x%llx are not all mapped with the rights asked for",
                (unsigned long long)len, (unsigned long long)base);
        return DOCA_ERROR_INVALID_VALUE;
    }
    memory->at = (uint8_t *)(uintptr_t)base;
    memory->kind = shareable && find_file(memory, &vma, len) ? DOCA_EMU_MEMORY_SHARED
                                                             : DOCA_EMU_MEMORY_PROCESS_VM;
    return DOCA_SUCCESS;
}

void emu_memory_stop(struct emu_memory *memory)
{
    memory->kind = DOCA_EMU_MEMORY_NONE;
    if (!memory->from_file && memory->fd >= 0) {
        close(memory->fd);
        memory->fd = -1;
    }
}

void emu_memory_fini(struct emu_memory *memory)
{
    memory->from_file = false;
    emu_memory_stop(memory);
    if (memory->map_start != NULL) {
        munmap(memory->map_start, memory->map_len);
        memory->map_start = NULL;
    }
    emu_remap_prune();
}
