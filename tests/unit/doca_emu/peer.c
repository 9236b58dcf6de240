/* SPDX-License-Identifier: Apache-2.0 */
/* peer.c - both ends of the second process. */
#include "peer.h"
#include "respawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define NO_PAGE ((uint8_t *)0x10000000000)

/* --- inside of the peer ----------------------------------------------------------------------- */

static struct {
    const char *pci;
    struct rig rig;
    struct doca_mmap *exported;
    struct doca_mmap *imported;
    uint8_t *mem; /* what is exported, where this process sees it */
    uint8_t *remote;
} self;

static uint8_t *get_memory(enum peer_memory kind, int *fd_out)
{
    *fd_out = -1;
    if (kind == PEER_MALLOC) {
        return malloc(PEER_LEN);
    }
    if (kind == PEER_ANON) {
        return mmap(NULL, PEER_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
    if (kind == PEER_SHARED_UNSEAL) {
        *fd_out = memfd_create("unsealable", MFD_CLOEXEC);
        assert_int_equal(ftruncate(*fd_out, PEER_LEN), 0);
        return mmap(NULL, PEER_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, *fd_out, 0);
    }
    return make_memfd(PEER_LEN, fd_out);
}

static void do_export(const struct peer_request *request, struct peer_reply *reply)
{
    int fd = -1;
    const void *blob = NULL;
    self.mem = get_memory(request->kind, &fd);
    uint8_t *addr = request->kind == PEER_DMABUF_MEMFD ? NO_PAGE : self.mem;
    fill_pattern(self.mem, PEER_LEN, request->seed);
    assert_ok(doca_mmap_create(&self.exported));
    assert_ok(doca_mmap_add_dev(self.exported, self.rig.dev));
    if (request->kind == PEER_DMABUF_MEMFD) {
        assert_ok(doca_mmap_set_dmabuf_memrange(self.exported, fd, addr, 0, PEER_LEN));
    } else {
        assert_ok(doca_mmap_set_memrange(self.exported, addr, PEER_LEN));
    }
    assert_ok(doca_mmap_set_permissions(self.exported, request->permissions));
    assert_ok(doca_mmap_start(self.exported));
    reply->status = doca_mmap_export_pci(self.exported, self.rig.dev, &blob, &reply->blob_len);
    if (reply->status == DOCA_SUCCESS) {
        assert_in_range(reply->blob_len, 1, PEER_BLOB);
        memcpy(reply->blob, blob, reply->blob_len);
    }
    reply->addr = (uintptr_t)addr;
    reply->memory = doca_emu_mmap_memory(self.exported);
}

static void do_import(const struct peer_request *request, struct peer_reply *reply)
{
    reply->status = doca_mmap_create_from_export(NULL, request->blob, request->blob_len,
                                                 self.rig.dev, &self.imported);
    if (reply->status == DOCA_SUCCESS) {
        size_t len = 0;
        void *addr = NULL;
        assert_ok(doca_mmap_get_memrange(self.imported, &addr, &len));
        assert_int_equal(len, PEER_LEN);
        self.remote = addr;
        reply->addr = (uintptr_t)addr;
        reply->memory = doca_emu_mmap_memory(self.imported);
    }
}

static void do_copy(const struct peer_request *request, struct peer_reply *reply)
{
    struct rig *rig = &self.rig;
    if (request->op == PEER_PULL) {
        memset(rig->mem, 0, request->len);
        reply->status = rig_copy(rig, self.imported, self.remote + request->offset, rig->local,
                                 rig->mem, request->len);
        reply->match = check_pattern(rig->mem, request->len, request->seed);
        return;
    }
    fill_pattern(rig->mem, request->len, request->seed);
    do {
        reply->status = rig_copy(rig, rig->local, rig->mem, self.imported,
                                 self.remote + request->offset, request->len);
    } while (request->op == PEER_PUSH_ON && reply->status == DOCA_SUCCESS);
}

static void do_destroy(struct peer_reply *reply)
{
    struct doca_mmap **which = self.imported != NULL ? &self.imported : &self.exported;
    reply->status = doca_mmap_destroy(*which);
    if (reply->status == DOCA_SUCCESS) {
        *which = NULL;
    }
}

static void do_exec(void)
{
    char *argv[] = {(char *)"peer", (char *)"--peer", (char *)(uintptr_t)self.pci, NULL};
    execv("/proc/self/exe", argv);
    abort();
}

static void handle(const struct peer_request *request, struct peer_reply *reply)
{
    switch (request->op) {
    case PEER_EXPORT:
        do_export(request, reply);
        break;
    case PEER_IMPORT:
        do_import(request, reply);
        break;
    case PEER_PULL:
    case PEER_PUSH:
    case PEER_PUSH_ON:
        do_copy(request, reply);
        break;
    case PEER_FILL:
        fill_pattern(self.mem, PEER_LEN, request->seed);
        break;
    case PEER_CHECK:
        reply->match = check_pattern(self.mem + request->offset, request->len, request->seed);
        break;
    case PEER_UNMAP:
        assert_int_equal(munmap(self.mem + request->offset, request->len), 0);
        break;
    case PEER_FAULT:
        reply->status = doca_emu_fault_set(request->fault, request->first, request->every);
        break;
    case PEER_DESTROY:
        do_destroy(reply);
        break;
    case PEER_EXEC:
        do_exec();
        break;
    case PEER_QUIT:
        break;
    }
}

static _Noreturn void serve(const char *pci)
{
    struct peer_request request;
    struct peer_reply reply = {.status = DOCA_SUCCESS};
    self.pci = pci;
    rig_init(&self.rig, pci, PEER_LEN, 16);
    /* Says that it is there; after an exec this is the answer to the request. */
    if (send(PEER_FD, &reply, sizeof(reply), MSG_NOSIGNAL) != (ssize_t)sizeof(reply)) {
        _exit(3);
    }
    while (recv(PEER_FD, &request, sizeof(request), 0) == (ssize_t)sizeof(request) &&
           request.op != PEER_QUIT) {
        memset(&reply, 0, sizeof(reply));
        handle(&request, &reply);
        if (send(PEER_FD, &reply, sizeof(reply), MSG_NOSIGNAL) != (ssize_t)sizeof(reply)) {
            _exit(3);
        }
    }
    if (self.imported != NULL) {
        assert_ok(doca_mmap_destroy(self.imported));
    }
    if (self.exported != NULL) {
        assert_ok(doca_mmap_destroy(self.exported));
    }
    rig_fini(&self.rig);
    _exit(0);
}

void peer_main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--peer") == 0) {
        alarm(120); /* a peer that was forgotten goes away by itself */
        serve(argv[2]);
    }
}

/* --- inside of the test ----------------------------------------------------------------------- */

void peer_start(struct peer *peer, const char *pci, const char *extra_env)
{
    char *argv[] = {(char *)"peer", (char *)"--peer", (char *)(uintptr_t)pci, NULL};
    peer->fd = respawn(&peer->pid, argv, "DOCA_EMU_DESTROY_WAIT_MS=30", extra_env);
    (void)peer_receive(peer);
}

void peer_send(struct peer *peer, const struct peer_request *request)
{
    assert_int_equal(send(peer->fd, request, sizeof(*request), MSG_NOSIGNAL), sizeof(*request));
}

struct peer_reply peer_receive(struct peer *peer)
{
    struct peer_reply reply;
    memset(&reply, 0, sizeof(reply));
    assert_int_equal(recv(peer->fd, &reply, sizeof(reply), 0), sizeof(reply));
    return reply;
}

struct peer_reply peer_ask(struct peer *peer, struct peer_request request)
{
    peer_send(peer, &request);
    return peer_receive(peer);
}

void peer_wait_stopped(struct peer *peer)
{
    int status = 0;
    assert_int_equal(waitpid(peer->pid, &status, WUNTRACED), peer->pid);
    assert_true(WIFSTOPPED(status));
}

void peer_kill(struct peer *peer)
{
    int status = 0;
    assert_int_equal(kill(peer->pid, SIGKILL), 0);
    assert_int_equal(waitpid(peer->pid, &status, 0), peer->pid);
    close(peer->fd);
}

void peer_quit(struct peer *peer)
{
    int status = -1;
    peer_send(peer, &(struct peer_request){.op = PEER_QUIT});
    assert_int_equal(waitpid(peer->pid, &status, 0), peer->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    close(peer->fd);
}
