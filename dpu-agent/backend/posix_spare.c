/* SPDX-License-Identifier: Apache-2.0 */
/* posix_spare.c - files of evicted objects that wait to be written anew. Creating a file and giving
 * its blocks back later costs the file system far more than renaming one twice, and overwriting
 * blocks needs neither an allocation nor a discard.
 *
 *   evicted, of the length that is asked for -> renamed into tmp/ -> READY -> a put writes over it
 *                                                                  '-> DROPPING (unlinked)
 *
 * Invariants: nobody reads a file from its eviction on, and its old name is gone before a byte of
 * it changes; the bytes of a spare are in `used` and in `going`, and when it is ready in
 * `spare_bytes`. A crash leaves spares in tmp/, which the next start empties.
 * Thread: the owner of the loop. Memory: a pool. */
#include "backend/posix.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct posix_spare *bc_posix_spare_new(struct posix *posix, uint64_t bytes)
{
    struct posix_spare *spare = posix->stopping ? NULL : bc_pool_get(&posix->spare_pool);

    if (spare == NULL) {
        return NULL;
    }
    *spare = (struct posix_spare){.posix = posix, .bytes = bytes};
    bc_posix_tmp_path(posix, spare->path);
    return spare;
}

void bc_posix_spare_free(struct posix_spare *spare)
{
    bc_pool_put(&spare->posix->spare_pool, spare);
}

static void forget(struct posix_spare *spare)
{
    struct posix *posix = spare->posix;

    bc_list_remove(&posix->spares, &spare->node);
    posix->spare_bytes -= spare->bytes;
    bc_counter_add(&posix->spare_files, -1);
}

static void dropped(struct bc_file_req *req, int64_t result)
{
    struct posix_spare *spare = BC_CONTAINER_OF(req, struct posix_spare, req);
    struct posix *posix = spare->posix;

    posix->going -= spare->bytes;
    if (result != 0 && result != -ENOENT) {
        bc_posix_io_error(posix, "unlink", spare->path, (int)result);
        posix->stranded += spare->bytes; /* until the next start empties the directory */
    } else {
        bc_posix_release(posix, spare->bytes);
    }
    bc_posix_spare_free(spare);
    bc_posix_unlink_ended(posix);
}

static void drop(struct posix_spare *spare)
{
    struct posix *posix = spare->posix;

    forget(spare);
    posix->unlinks_in_flight++;
    spare->req.kind = BC_FILE_UNLINK;
    spare->req.dir_fd = posix->store->root_fd;
    spare->req.path = spare->path;
    spare->req.flags = 0;
    spare->req.done = dropped;
    bc_file_submit(posix->files, &spare->req);
}

void bc_posix_spare_ready(struct posix_spare *spare)
{
    struct posix *posix = spare->posix;

    bc_list_push_back(&posix->spares, &spare->node);
    posix->spare_bytes += spare->bytes;
    bc_counter_add(&posix->spare_files, 1);
    if (posix->stopping) {
        drop(spare);
    }
}

static struct posix_spare *find(const struct posix *posix, uint64_t bytes)
{
    struct bc_list_node *node;

    for (node = bc_list_first(&posix->spares); node != NULL;
         node = bc_list_next(&posix->spares, node)) {
        struct posix_spare *spare = BC_CONTAINER_OF(node, struct posix_spare, node);

        if (spare->bytes == bytes) {
            return spare;
        }
    }
    return NULL;
}

bool bc_posix_spare_has(const struct posix *posix, uint64_t bytes)
{
    return find(posix, bytes) != NULL;
}

bool bc_posix_spare_take(struct posix *posix, uint64_t bytes, char *path_out)
{
    struct posix_spare *spare = find(posix, bytes);

    if (spare == NULL) {
        return false;
    }
    forget(spare);
    posix->going -= bytes;
    memcpy(path_out, spare->path, sizeof(spare->path));
    bc_posix_spare_free(spare);
    return true;
}

uint64_t bc_posix_spares_drop(struct posix *posix, uint64_t bytes)
{
    uint64_t freed = 0;

    while (freed < bytes && !bc_list_empty(&posix->spares)) {
        struct posix_spare *spare =
            BC_CONTAINER_OF(bc_list_first(&posix->spares), struct posix_spare, node);

        freed += spare->bytes;
        drop(spare);
    }
    return freed;
}
