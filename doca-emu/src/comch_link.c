/* SPDX-License-Identifier: Apache-2.0 */
/* comch_link.c - rings, wake words and bells.
 * Order: a message is written, then the tail is stored, then the wake word is read; a sleeper stores
 * its word, then reads the tail. All of these are sequentially consistent, so one of the two sees
 * the other. Free slots go the same way, by the head. */
#include "comch_link.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINE  64u
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

EMU_STATIC_ASSERT(sizeof(struct emu_link_index) == LINE, "an index has a cache line of its own");

/* What lies at the start of a slot. */
struct slot_head {
    uint32_t len;
    uint32_t reserved;
};

static uint32_t slot_stride(uint32_t max_msg)
{
    return (uint32_t)((sizeof(struct slot_head) + max_msg + LINE - 1) / LINE * LINE);
}

static size_t map_len_of(const struct emu_link_shape *shape)
{
    return sizeof(struct emu_link_shared) +
           ((size_t)shape->server_slots + shape->client_slots) * slot_stride(shape->max_msg);
}

/* Of the process at the other end of the socket: who forked holds the socket open, yet is not it. */
static int open_peer(int fd)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0 || cred.pid <= 0) {
        return -1;
    }
    return (int)syscall(SYS_pidfd_open, cred.pid, 0u);
}

static void set_up(struct emu_link *link, int fd, const struct emu_link_shape *shape, void *map,
                   bool server)
{
    struct emu_link_shared *shared = map;
    uint32_t stride = slot_stride(shape->max_msg);
    struct emu_link_way to_server = {.ring = &shared->to_server,
                                     .slots = (uint8_t *)(shared + 1),
                                     .num_slots = shape->server_slots};
    struct emu_link_way to_client = {.ring = &shared->to_client,
                                     .slots =
                                         to_server.slots + (size_t)shape->server_slots * stride,
                                     .num_slots = shape->client_slots};
    *link = (struct emu_link){
        .fd = fd,
        .pidfd = open_peer(fd),
        .map = map,
        .map_len = map_len_of(shape),
        .max_msg = shape->max_msg,
        .stride = stride,
        .tx = server ? to_client : to_server,
        .rx = server ? to_server : to_client,
        .my_wake = server ? &shared->server_wake : &shared->client_wake,
        .peer_wake = server ? &shared->client_wake : &shared->server_wake,
    };
}

doca_error_t emu_link_make(struct emu_link *link, int fd, const struct emu_link_shape *shape,
                           int *memfd_out)
{
    size_t len = map_len_of(shape);
    int memfd = memfd_create("doca-emu-comch", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memfd < 0) {
        return DOCA_ERROR_NO_MEMORY;
    }
    void *map = MAP_FAILED;
    if (ftruncate(memfd, (off_t)len) == 0 && fcntl(memfd, F_ADD_SEALS, SEALS) == 0) {
        map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
    }
    if (map == MAP_FAILED) {
        close(memfd);
        return DOCA_ERROR_NO_MEMORY;
    }
    set_up(link, fd, shape, map, true);
    *memfd_out = memfd;
    return DOCA_SUCCESS;
}

doca_error_t emu_link_join(struct emu_link *link, int fd, const struct emu_link_shape *shape,
                           int memfd)
{
    struct stat stat;
    size_t len = map_len_of(shape);
    int seals = fcntl(memfd, F_GET_SEALS);
    /* Sealed, so that no access can end in SIGBUS. */
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(memfd, &stat) != 0 ||
        (size_t)stat.st_size != len) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    void *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
    if (map == MAP_FAILED) {
        return DOCA_ERROR_NO_MEMORY;
    }
    set_up(link, fd, shape, map, false);
    return DOCA_SUCCESS;
}

void emu_link_close(struct emu_link *link, bool forked)
{
    if (link->fd < 0) {
        return;
    }
    if (!forked) {
        (void)shutdown(link->fd, SHUT_RDWR);
    }
    close(link->fd);
    if (link->pidfd >= 0) {
        close(link->pidfd);
    }
    munmap(link->map, link->map_len);
    link->fd = -1;
}

/* After the peer was given something: wakes it when it sleeps for that. */
static void ring_bell(struct emu_link *link, uint32_t reason)
{
    uint8_t bell = 1;
    if ((atomic_load(&link->peer_wake->value) & reason) == 0) {
        return;
    }
    /* Whatever it waits for by now: a word that was taken away is followed by a bell. */
    if (atomic_exchange(&link->peer_wake->value, 0) != 0) {
        (void)!send(link->fd, &bell, sizeof(bell), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

static uint8_t *slot_at(const struct emu_link *link, const struct emu_link_way *way)
{
    return way->slots + (size_t)way->at * link->stride;
}

static void advance(struct emu_link_way *way, EMU_ATOMIC(uint64_t) * shared)
{
    way->at = way->at + 1 == way->num_slots ? 0 : way->at + 1;
    way->index++;
    atomic_store(shared, way->index);
}

enum emu_link_result emu_link_send(struct emu_link *link, const void *msg, uint32_t len)
{
    struct emu_link_way *tx = &link->tx;
    if (tx->index - tx->others >= tx->num_slots) {
        tx->others = atomic_load(&tx->ring->head.value);
        if (tx->index - tx->others > tx->num_slots) {
            return EMU_LINK_BROKEN;
        }
        if (tx->index - tx->others == tx->num_slots) {
            return EMU_LINK_WAIT;
        }
    }
    uint8_t *slot = slot_at(link, tx);
    ((struct slot_head *)slot)->len = len;
    memcpy(slot + sizeof(struct slot_head), msg, len);
    advance(tx, &tx->ring->tail.value);
    ring_bell(link, EMU_LINK_WAKE_MESSAGE);
    return EMU_LINK_OK;
}

enum emu_link_result emu_link_receive(struct emu_link *link, uint8_t *buf, uint32_t *len_out)
{
    struct emu_link_way *rx = &link->rx;
    if (rx->others == rx->index) {
        rx->others = atomic_load(&rx->ring->tail.value);
        if (rx->others == rx->index) {
            return EMU_LINK_WAIT;
        }
        if (rx->others - rx->index > rx->num_slots) {
            rx->others = rx->index;
            return EMU_LINK_BROKEN;
        }
    }
    const uint8_t *slot = slot_at(link, rx);
    /* Read once: the peer could change it between the check and its use. */
    uint32_t len = *(const volatile uint32_t *)&((const struct slot_head *)slot)->len;
    if (len > link->max_msg) {
        return EMU_LINK_BROKEN;
    }
    memcpy(buf, slot + sizeof(struct slot_head), len);
    *len_out = len;
    advance(rx, &rx->ring->head.value);
    ring_bell(link, EMU_LINK_WAKE_SPACE);
    return EMU_LINK_OK;
}

bool emu_link_has_message(const struct emu_link *link)
{
    return atomic_load(&link->rx.ring->tail.value) != link->rx.index;
}

bool emu_link_has_space(const struct emu_link *link)
{
    return link->tx.index - atomic_load(&link->tx.ring->head.value) != link->tx.num_slots;
}

void emu_link_want(struct emu_link *link, uint32_t bits)
{
    if (bits == link->wanted && !emu_link_woken(link)) {
        return;
    }
    uint64_t before = atomic_exchange(&link->my_wake->value, bits);
    link->bell_owed = link->bell_owed || (link->wanted != 0 && before == 0);
    link->wanted = bits;
}

bool emu_link_woken(const struct emu_link *link)
{
    return link->wanted != 0 && atomic_load(&link->my_wake->value) == 0;
}

bool emu_link_hear(struct emu_link *link)
{
    uint8_t bell[8];
    ssize_t len = recv(link->fd, bell, sizeof(bell), MSG_DONTWAIT);
    if (len > 0) {
        link->bell_owed = false;
    }
    return len > 0 || (len < 0 && (errno == EAGAIN || errno == EINTR));
}
