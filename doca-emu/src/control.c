/* SPDX-License-Identifier: Apache-2.0 */
/* control.c - control pages, their arenas, and the revocation protocol. */
#include "control.h"

#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ARENA_PAGES 4096

struct emu_control_arena {
    int fd;
    pid_t owner; /* a forked child has an arena of its own */
    uint8_t *map;
    size_t stride; /* bytes between pages: the system's page size, so that each maps alone */
    uint32_t next; /* first page never used */
    uint32_t held; /* pages in use */
};

static struct {
    pthread_mutex_t lock;
    struct emu_control_arena *current;
} arenas = {.lock = PTHREAD_MUTEX_INITIALIZER};

bool emu_fd_cannot_shrink(int fd, uint64_t size)
{
    struct stat info;
    int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & F_SEAL_SHRINK) != 0 && fstat(fd, &info) == 0 &&
           (uint64_t)info.st_size >= size;
}

static struct emu_control_arena *create_arena(void)
{
    struct emu_control_arena *arena = calloc(1, sizeof(*arena));
    if (arena == NULL) {
        return NULL;
    }
    long page_size = sysconf(_SC_PAGESIZE);
    arena->stride = page_size > EMU_CONTROL_PAGE ? (size_t)page_size : EMU_CONTROL_PAGE;
    arena->owner = getpid();
    size_t len = arena->stride * ARENA_PAGES;
    arena->fd = memfd_create("doca-emu-control", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (arena->fd < 0) {
        goto err_free;
    }
    if (ftruncate(arena->fd, (off_t)len) != 0 ||
        fcntl(arena->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
        goto err_close;
    }
    arena->map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, arena->fd, 0);
    if (arena->map == MAP_FAILED) {
        goto err_close;
    }
    return arena;

err_close:
    close(arena->fd);
err_free:
    free(arena);
    return NULL;
}

static void destroy_arena(struct emu_control_arena *arena)
{
    munmap(arena->map, arena->stride * ARENA_PAGES);
    close(arena->fd);
    free(arena);
}

/* The arena that pages are taken from now; an exhausted one lives on until its pages are
 * released. */
static struct emu_control_arena *current_arena_locked(void)
{
    struct emu_control_arena *arena = arenas.current;
    if (arena != NULL && arena->owner == getpid() && arena->next < ARENA_PAGES) {
        return arena;
    }
    struct emu_control_arena *fresh = create_arena();
    if (fresh == NULL) {
        return NULL;
    }
    if (arena != NULL && arena->held == 0) {
        destroy_arena(arena);
    }
    arenas.current = fresh;
    return fresh;
}

static uint64_t make_nonce(void)
{
    uint64_t nonce = 0;
    if (getrandom(&nonce, sizeof(nonce), GRND_NONBLOCK) != (ssize_t)sizeof(nonce) || nonce == 0) {
        nonce = emu_now_ns() << 8 | 1;
    }
    return nonce;
}

doca_error_t emu_control_create(const struct emu_control_desc *desc, struct emu_control_export *out)
{
    pthread_mutex_lock(&arenas.lock);
    struct emu_control_arena *arena = current_arena_locked();
    if (arena == NULL) {
        pthread_mutex_unlock(&arenas.lock);
        return DOCA_ERROR_NO_MEMORY;
    }
    uint64_t offset = arena->next++ * arena->stride;
    arena->held++;
    pthread_mutex_unlock(&arenas.lock);

    struct emu_control *page = (struct emu_control *)(void *)(arena->map + offset);
    page->desc = *desc;
    *out = (struct emu_control_export){
        .page = page, .arena = arena, .nonce = make_nonce(), .offset = offset};
    atomic_store(&page->live, out->nonce);
    return DOCA_SUCCESS;
}

int emu_control_fd(const struct emu_control_export *control)
{
    return control->arena->fd;
}

static bool slot_busy(struct emu_control_slot *slot)
{
    uint64_t owner = atomic_load(&slot->owner);
    return owner != 0 && atomic_load(&slot->copies) != 0 && emu_process_alive(owner);
}

static bool any_slot_busy(struct emu_control *page)
{
    for (size_t i = 0; i < EMU_CONTROL_SLOTS; i++) {
        if (slot_busy(&page->slots[i])) {
            return true;
        }
    }
    return false;
}

bool emu_control_revoke(struct emu_control_export *control, uint64_t wait_ns)
{
    /* Longest sleep between two looks: an importer that dies does not wake us. */
    const uint64_t look_ns = 5000000;
    struct emu_control *page = control->page;
    atomic_store(&page->live, 0);
    uint64_t deadline = emu_now_ns() + wait_ns;
    for (;;) {
        uint32_t seen = atomic_load(&page->drained);
        if (!any_slot_busy(page)) {
            return true;
        }
        uint64_t now = emu_now_ns();
        if (now >= deadline) {
            return false;
        }
        uint64_t sleep_ns = deadline - now < look_ns ? deadline - now : look_ns;
        struct timespec timeout = {.tv_nsec = (long)sleep_ns};
        (void)syscall(SYS_futex, &page->drained, FUTEX_WAIT, seen, &timeout, NULL, 0);
    }
}

void emu_control_release(struct emu_control_export *control, bool forget)
{
    struct emu_control_arena *arena = control->arena;
    if (!forget) {
        /* Gives the memory back; whoever looks at the page later finds zeroes, that is: revoked. */
        (void)fallocate(arena->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        (off_t)control->offset, (off_t)arena->stride);
    }
    pthread_mutex_lock(&arenas.lock);
    arena->held--;
    if (arena->held == 0 && arena != arenas.current) {
        destroy_arena(arena);
    }
    pthread_mutex_unlock(&arenas.lock);
    control->page = NULL;
}

/* A slot is free, or its owner died and left it behind. */
static struct emu_control_slot *claim_slot(struct emu_control *page, uint64_t self)
{
    for (size_t i = 0; i < EMU_CONTROL_SLOTS; i++) {
        struct emu_control_slot *slot = &page->slots[i];
        uint64_t owner = atomic_load(&slot->owner);
        if (owner != 0 && emu_process_alive(owner)) {
            continue;
        }
        if (atomic_compare_exchange_strong(&slot->owner, &owner, self)) {
            atomic_store(&slot->copies, 0);
            return slot;
        }
    }
    return NULL;
}

doca_error_t emu_control_attach(int fd, uint64_t offset, uint64_t nonce,
                                struct emu_control_import *out)
{
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
    size_t map_len = page_size > EMU_CONTROL_PAGE ? page_size : EMU_CONTROL_PAGE;
    if (nonce == 0 || offset % map_len != 0 || offset > (uint64_t)INT32_MAX ||
        !emu_fd_cannot_shrink(fd, offset + map_len)) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    void *map = mmap(NULL, map_len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
    if (map == MAP_FAILED) {
        return DOCA_ERROR_NO_MEMORY;
    }
    struct emu_control_import control = {.page = map, .map_len = map_len, .nonce = nonce};
    doca_error_t result = DOCA_ERROR_DRIVER;
    if (!emu_control_live(&control)) {
        goto err_unmap;
    }
    uint64_t self = emu_process_id(getpid());
    if (self == 0) {
        goto err_unmap; /* no /proc: an exporter could not tell whether we live */
    }
    control.slot = claim_slot(control.page, self);
    if (control.slot == NULL) {
        result = DOCA_ERROR_NO_MEMORY;
        goto err_unmap;
    }
    *out = control;
    return DOCA_SUCCESS;

err_unmap:
    munmap(map, map_len);
    return result;
}

void emu_control_detach(struct emu_control_import *control, bool forget)
{
    if (!forget) {
        atomic_store(&control->slot->owner, 0);
    }
    munmap(control->page, control->map_len);
    control->page = NULL;
}

bool emu_control_enter(struct emu_control_import *control)
{
    atomic_fetch_add(&control->slot->copies, 1);
    if (emu_control_live(control)) {
        return true;
    }
    emu_control_leave(control);
    return false;
}

void emu_control_leave(struct emu_control_import *control)
{
    atomic_fetch_sub(&control->slot->copies, 1);
    if (!emu_control_live(control)) {
        atomic_fetch_add(&control->page->drained, 1);
        (void)syscall(SYS_futex, &control->page->drained, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    }
}
