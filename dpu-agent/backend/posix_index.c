/* SPDX-License-Identifier: Apache-2.0 */
/* posix_index.c - the objects of `posix` in memory: found by hash, evicted by age, counted in
 * bytes. See posix.h for the invariants. Thread: the owner of the loop. Memory: slabs of objects,
 * allocated as the store fills and kept; nothing else. */
#include "backend/posix.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/log.h"

#define SLAB_OBJECTS 1023u

#define AHEAD_SHARE 32u           /* at most this part of the capacity is evicted ahead, */
#define AHEAD_MAX   (64ull << 20) /* at most these bytes, */
#define AHEAD_PUTS  16u           /* and at most what so many puts like this one need */

/* The objects follow. */
struct posix_slab {
    struct posix_slab *next;
};

int bc_posix_index_init(struct posix *posix)
{
    bc_list_init(&posix->lru);
    bc_list_init(&posix->doomed);
    bc_list_init(&posix->lost);
    return bc_hashmap_init(&posix->index, 4096);
}

void bc_posix_index_fini(struct posix *posix)
{
    struct posix_slab *next;

    for (struct posix_slab *slab = posix->slabs; slab != NULL; slab = next) {
        next = slab->next;
        free(slab);
    }
    posix->slabs = NULL;
    posix->free_objects = NULL;
    posix->free_grouped = NULL;
    bc_hashmap_fini(&posix->index);
}

static void chain_free(struct posix_object **chain, struct posix_object *object)
{
    /* Free ones are chained through a pointer that no other state uses at the same time. */
    object->node.next = *chain == NULL ? NULL : &(*chain)->node;
    *chain = object;
}

void bc_posix_object_free(struct posix *posix, struct posix_object *object)
{
    bool grouped = (object->flags & POSIX_OBJECT_GROUPED) != 0;

    chain_free(grouped ? &posix->free_grouped : &posix->free_objects, object);
}

static bool slab_alloc(struct posix *posix, struct posix_object **chain, size_t object_len)
{
    struct posix_slab *slab = malloc(sizeof(*slab) + SLAB_OBJECTS * object_len);
    uint8_t *objects;

    if (slab == NULL) {
        return false;
    }
    objects = (uint8_t *)(slab + 1);
    slab->next = posix->slabs;
    posix->slabs = slab;
    for (uint32_t i = SLAB_OBJECTS; i > 0; i--) {
        chain_free(chain, (struct posix_object *)(void *)(objects + (i - 1) * object_len));
    }
    return true;
}

struct posix_object *bc_posix_object_alloc(struct posix *posix, bool grouped)
{
    struct posix_object **chain = grouped ? &posix->free_grouped : &posix->free_objects;
    size_t len = grouped ? sizeof(struct posix_grouped) : sizeof(struct posix_object);
    struct posix_object *object;

    if (*chain == NULL && !slab_alloc(posix, chain, len)) {
        return NULL;
    }
    object = *chain;
    *chain = object->node.next == NULL
                 ? NULL
                 : BC_CONTAINER_OF(object->node.next, struct posix_object, node);
    *object = (struct posix_object){.slot = BC_POSIX_NO_SLOT,
                                    .flags = grouped ? POSIX_OBJECT_GROUPED : 0};
    return object;
}

struct posix_object *bc_posix_find(const struct posix *posix, struct bc_hash128 hash)
{
    struct bc_hashmap_node *node = bc_hashmap_find(&posix->index, hash);

    return node == NULL ? NULL : BC_CONTAINER_OF(node, struct posix_object, node);
}

void bc_posix_charge(struct posix *posix, uint64_t bytes)
{
    posix->used += bytes;
    bc_counter_set(&posix->counters.used_bytes, (int64_t)posix->used);
}

void bc_posix_release(struct posix *posix, uint64_t bytes)
{
    BC_ASSERT(posix->used >= bytes);
    posix->used -= bytes;
    bc_counter_set(&posix->counters.used_bytes, (int64_t)posix->used);
    bc_ready_signal(&posix->ready);
}

static void lru_add(struct posix *posix, struct posix_object *object)
{
    bc_list_push_back(&posix->lru, &object->lru_node);
    posix->evictable += bc_posix_object_bytes(object);
    bc_ready_signal(&posix->ready);
}

static void lru_remove(struct posix *posix, struct posix_object *object)
{
    bc_list_remove(&posix->lru, &object->lru_node);
    posix->evictable -= bc_posix_object_bytes(object);
}

/* Out of the index and read by nobody: its bytes come free without anybody's help. */
static void note_going(struct posix *posix, struct posix_object *object)
{
    if ((object->flags & (POSIX_OBJECT_INDEXED | POSIX_OBJECT_GOING)) == 0 && object->pins == 0) {
        object->flags |= POSIX_OBJECT_GOING;
        posix->going += bc_posix_object_bytes(object);
    }
}

void bc_posix_index_add(struct posix *posix, struct posix_object *object)
{
    object->flags |= POSIX_OBJECT_INDEXED;
    bc_hashmap_insert(&posix->index, &object->node);
    bc_posix_member_join(posix, object);
    bc_counter_add(&posix->counters.objects, 1);
    if (object->pins == 0) {
        lru_add(posix, object);
    }
}

static void give_bytes_back(struct posix *posix, struct posix_object *object)
{
    object->flags |= POSIX_OBJECT_GONE;
    if ((object->flags & POSIX_OBJECT_REUSED) != 0) {
        return;
    }
    if ((object->flags & POSIX_OBJECT_GOING) != 0) {
        posix->going -= bc_posix_object_bytes(object);
    }
    if ((object->flags & POSIX_OBJECT_STRANDED) != 0) {
        posix->stranded += bc_posix_object_bytes(object);
    } else {
        bc_posix_release(posix, bc_posix_object_bytes(object));
    }
}

void bc_posix_object_check(struct posix *posix, struct posix_object *object)
{
    if ((object->flags & (POSIX_OBJECT_INDEXED | POSIX_OBJECT_UNLINKING)) != 0 ||
        object->slots > 0 || object->pins > 0) {
        return;
    }
    if ((object->flags & POSIX_OBJECT_GONE) == 0) {
        give_bytes_back(posix, object);
    }
    if ((object->flags & POSIX_OBJECT_TELLING) == 0) {
        bc_posix_object_free(posix, object);
    }
}

void bc_posix_index_remove(struct posix *posix, struct posix_object *object)
{
    BC_ASSERT((object->flags & POSIX_OBJECT_INDEXED) != 0);
    object->flags &= (uint16_t)~POSIX_OBJECT_INDEXED;
    bc_hashmap_remove(&posix->index, &object->node);
    bc_posix_member_leave(posix, object);
    bc_counter_add(&posix->counters.objects, -1);
    if (object->pins == 0) {
        lru_remove(posix, object);
    }
    note_going(posix, object);
    bc_posix_slot_forget(posix, object);
    bc_posix_object_check(posix, object);
}

void bc_posix_doom(struct posix *posix, struct posix_object *object)
{
    struct bc_hash128 hash = object->node.hash;

    object->flags |= POSIX_OBJECT_UNLINKING; /* holds it */
    bc_posix_index_remove(posix, object);
    if (!bc_list_empty(&posix->doomed) || !bc_posix_unlink(posix, object, hash, NULL, NULL, 0)) {
        bc_list_push_back(&posix->doomed, &object->lru_node);
    }
}

void bc_posix_run_doomed(struct posix *posix)
{
    while (!bc_list_empty(&posix->doomed) && posix->unlink_pool.free_count > 0) {
        struct posix_object *object =
            BC_CONTAINER_OF(bc_list_pop_front(&posix->doomed), struct posix_object, lru_node);
        bool started = bc_posix_unlink(posix, object, object->node.hash, NULL, NULL, 0);

        BC_ASSERT(started);
    }
}

void bc_posix_pin(struct posix *posix, struct posix_object *object)
{
    if (object->pins++ == 0 && (object->flags & POSIX_OBJECT_INDEXED) != 0) {
        lru_remove(posix, object);
    }
}

void bc_posix_unpin(struct posix *posix, struct posix_object *object)
{
    BC_ASSERT(object->pins > 0);
    if (--object->pins > 0) {
        return;
    }
    if ((object->flags & POSIX_OBJECT_INDEXED) != 0) {
        lru_add(posix, object);
        return;
    }
    note_going(posix, object);
    bc_posix_object_check(posix, object);
}

/* The file of an object that nobody reads becomes a spare. False: it cannot now. */
static bool evict_to_spare(struct posix *posix, struct posix_object *object)
{
    struct posix_spare *spare = bc_posix_spare_new(posix, bc_posix_object_bytes(object));
    bool started;

    if (spare == NULL) {
        return false;
    }
    object->flags |= POSIX_OBJECT_UNLINKING; /* holds it */
    bc_posix_index_remove(posix, object);
    started = bc_posix_unlink_to_spare(posix, object, spare);
    BC_ASSERT(started); /* evict_one has looked */
    return true;
}

/* Bytes of the object that was evicted; 0: none can be now. A file of `reuse` bytes is kept, to be
 * written anew. */
static uint64_t evict_one(struct posix *posix, uint64_t reuse)
{
    struct bc_list_node *node = bc_list_first(&posix->lru);

    /* A name somebody opens or renames over just now is left alone; there are few. */
    while (node != NULL &&
           bc_posix_name_busy(posix,
                              BC_CONTAINER_OF(node, struct posix_object, lru_node)->node.hash)) {
        node = bc_list_next(&posix->lru, node);
    }
    if (node != NULL && posix->unlink_pool.free_count > 0 && bc_list_empty(&posix->doomed)) {
        struct posix_object *object = BC_CONTAINER_OF(node, struct posix_object, lru_node);
        uint64_t bytes = bc_posix_object_bytes(object);
        bool group = bc_posix_group_begin_drop(posix, object);

        bc_counter_add(&posix->counters.evictions, 1);
        if (bytes != reuse || !evict_to_spare(posix, object)) {
            bc_posix_doom(posix, object);
        }
        if (group) {
            bc_posix_group_drop_all(posix, object);
        }
        return bytes;
    }
    return 0;
}

/* Once objects had to go, some are made to go ahead of need: unlinks take long, and puts that find
 * room need not wait for them. */
void bc_posix_evict_ahead(struct posix *posix, uint64_t need)
{
    uint64_t ahead =
        bc_min_u64(bc_min_u64(posix->capacity / AHEAD_SHARE, AHEAD_MAX), need * AHEAD_PUTS);
    uint64_t evicted = 1;

    if (bc_counter_get(&posix->counters.evictions) == 0 ||
        posix->used - posix->going + ahead / 2 <= posix->capacity) {
        return;
    }
    while (evicted > 0 && posix->used - posix->going + ahead > posix->capacity) {
        evicted = evict_one(posix, need);
    }
}

/* Spares are of other lengths than what is wanted: they go when what goes anyway is not enough. */
static void drop_spares(struct posix *posix, uint64_t need)
{
    uint64_t then = posix->used - (posix->going - posix->spare_bytes) + need;

    if (then > posix->capacity) {
        (void)bc_posix_spares_drop(posix, then - posix->capacity);
    }
}

bool bc_posix_make_room(struct posix *posix, uint64_t need)
{
    uint64_t evicted = 1;

    if (posix->used + need <= posix->capacity) {
        bc_posix_evict_ahead(posix, need);
        return true;
    }
    if (posix->used - posix->going - posix->evictable + need > posix->capacity) {
        return false;
    }
    drop_spares(posix, need);
    while (evicted > 0 && posix->used - posix->going + need > posix->capacity) {
        evicted = evict_one(posix, need);
    }
    return false;
}

/* Bytes that the file system has for us; when it does not tell, all. */
static uint64_t disk_free(const struct posix *posix)
{
    struct statvfs info;

    if (fstatvfs(posix->store->root_fd, &info) != 0) {
        return UINT64_MAX / 4;
    }
    return bc_min_u64((uint64_t)info.f_bavail * info.f_frsize, UINT64_MAX / 4);
}

bool bc_posix_disk_holds(const struct posix *posix, uint64_t bytes)
{
    return disk_free(posix) + posix->going + posix->evictable >= bytes;
}

bool bc_posix_retry_nospc(struct posix *posix, struct posix_retry *retry, uint64_t bytes,
                          uint64_t left)
{
    uint64_t evicted;
    uint64_t step = 1;

    if (retry->count >= BC_POSIX_NOSPC_RETRIES || !bc_posix_disk_holds(posix, left)) {
        return false;
    }
    /* Whatever the disk says is free: others write as well, and may be faster. */
    evicted = bc_posix_spares_drop(posix, bytes);
    while (evicted < bytes && step > 0) {
        step = evict_one(posix, 0);
        evicted += step;
    }
    if (bc_posix_unlinks_running(posix) == 0) {
        return false;
    }
    retry->count++;
    bc_list_push_back(&posix->retries, &retry->node);
    return true;
}

bool bc_posix_error_is_lasting(int error)
{
    switch (error) {
    case 0:
    case -EBADMSG: /* has its own way */
    case -ENOENT:
    case -ENOMEM:
    case -ENFILE:
    case -EMFILE:
    case -EAGAIN:
    case -EINTR:
    case -ECANCELED:
        return false;
    default:
        return true;
    }
}

void bc_posix_io_error(struct posix *posix, const char *what, const char *path, int error)
{
    bc_counter_add(&posix->counters.io_errors, 1);
    if (error == -ENOSPC || error == -EDQUOT) {
        if (!posix->no_space_logged) {
            posix->no_space_logged = true;
            BC_ERROR(
                "posix",
                "%s: the file system is full before the store's capacity is (%s %s); free some "
                "space or lower --capacity",
                posix->store->root, what, path);
        }
    } else if (!posix->io_error_logged) {
        posix->io_error_logged = true;
        BC_ERROR("posix",
                 "%s: cannot %s %s: %s; see the kernel's log. More of these are counted only",
                 posix->store->root, what, path, strerror(-error));
    }
}

void bc_posix_drop(struct posix *posix, struct posix_object *object, int error, const char *what)
{
    char path[BC_POSIX_PATH_LEN];

    if ((object->flags & POSIX_OBJECT_BAD) != 0) {
        return;
    }
    object->flags |= POSIX_OBJECT_BAD;
    bc_posix_path(object->node.hash, path);
    if (error == -EBADMSG) {
        bc_counter_add(&posix->counters.checksum_errors, 1);
        BC_ERROR("posix", "%s/%s: %s; the object is dropped. Check the disk.", posix->store->root,
                 path, what);
    } else {
        bc_counter_add(&posix->counters.io_errors, 1);
        BC_ERROR("posix", "%s/%s: %s: %s; the object is dropped. See the kernel's log.",
                 posix->store->root, path, what, strerror(-error));
    }
    if ((object->flags & POSIX_OBJECT_INDEXED) != 0) {
        bool group = bc_posix_group_begin_drop(posix, object);

        bc_posix_doom(posix, object);
        if (group) {
            bc_posix_group_drop_all(posix, object);
        }
    }
}
