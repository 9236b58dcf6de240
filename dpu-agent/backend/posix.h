/* SPDX-License-Identifier: Apache-2.0 */
/* posix.h - inside of the `posix` backend: one file per object, an index of all of them in memory.
 *
 *   store (process)  --- instance (worker) --- index: hash -> object, LRU
 *                            |-- names:  who may rename, unlink or open a file name now
 *                            |-- slots:  open descriptors, some kept for the next reader
 *                            |-- puts, gets: handles; ios: chunks being written or read
 *                            |-- unlinks: files on their way out
 *                            '-- spares: files of evicted objects, to be written anew
 *
 * Invariants
 * - used = bytes of every file that has not been seen gone: indexed objects, replaced or removed
 *   ones that somebody still reads, files being unlinked, spares, unfinished puts (counted whole
 *   from put_begin on).
 * - An object (a version) lives as long as something holds it: the index, an unlink, a descriptor.
 * - The file that a name shows is the indexed object's, except while an exclusive claim on the name
 *   is held; so a descriptor opened under a claim is that of the object then found in the index.
 * - Only a rename publishes.
 * Thread: the owner of the loop. Memory: pools made at create; the index grows with the objects (64
 * bytes each, 88 with a group, by slabs, never given back). */
#ifndef BC_BACKEND_POSIX_H
#define BC_BACKEND_POSIX_H

#include <errno.h>
#include <pthread.h>

#include "backend/group.h"
#include "backend/internal.h"
#include "backend/posix_format.h"
#include "base/pool.h"

BC_EXTERN_C_BEGIN

#define BC_POSIX_UNLINKS_MAX   64u
#define BC_POSIX_SPARES_MAX    64u
#define BC_POSIX_TABLES_MAX    16u   /* puts and gets of objects whose checksums need a table */
#define BC_POSIX_IOS_MAX       512u  /* chunks between lease and completion */
#define BC_POSIX_SLOTS_IDLE    1024u /* descriptors kept open for nobody */
#define BC_POSIX_SLOTS_CLOSING 64u
#define BC_POSIX_NOSPC_RETRIES 3u
#define BC_POSIX_ITERATE_BATCH 32u
#define BC_POSIX_NO_SLOT       UINT32_MAX
#define BC_POSIX_TMP_PATH_LEN  40u

/* ---- posix_store.c: the directory ---- */

struct posix_store {
    int root_fd;
    int lock_fd;
    bool direct; /* O_DIRECT works here */
    uint8_t uuid[BC_POSIX_UUID_LEN];
    char root[256]; /* for messages, cut to fit */
};

int bc_posix_open_store(const char *root, bool format, uint32_t workers,
                        struct bc_options_error *error_out, void **store_out);
void bc_posix_close_store(void *store);

/* ---- objects (versions) ---- */

enum posix_object_flags {
    POSIX_OBJECT_INDEXED = 1 << 0,   /* held by the index */
    POSIX_OBJECT_UNLINKING = 1 << 1, /* held by an unlink, or waiting in `doomed` for one */
    POSIX_OBJECT_META = 1 << 2,      /* its metadata is not all zeros: an open must read it */
    POSIX_OBJECT_BAD = 1 << 3,       /* failed verification or reading: counted and logged */
    POSIX_OBJECT_STRANDED = 1 << 4,  /* its file could not be unlinked: its bytes stay taken */
    POSIX_OBJECT_GOING = 1 << 5,     /* counted in posix.going */
    POSIX_OBJECT_REUSED = 1 << 6,    /* its file, and its bytes, are a spare's by now */
    POSIX_OBJECT_GROUPED = 1 << 7,   /* it is the first part of a posix_grouped */
    POSIX_OBJECT_MEMBER = 1 << 8,    /* in posix.groups: grouped and indexed */
    POSIX_OBJECT_TELLING = 1 << 9,   /* held by the drop of its group */
    POSIX_OBJECT_GONE = 1 << 10,     /* held by that alone: its bytes are given back */
};

struct posix_object {
    struct bc_hashmap_node node;
    struct bc_list_node lru_node; /* in lru (indexed, no pins) or in doomed */
    uint64_t version;
    uint32_t size;
    uint32_t pins;  /* gets */
    uint32_t slot;  /* descriptor to share, or BC_POSIX_NO_SLOT */
    uint16_t slots; /* descriptors that hold it */
    uint16_t flags;
};
BC_STATIC_ASSERT(sizeof(struct posix_object) <= 64, "with its bucket well below 100 bytes");
BC_STATIC_ASSERT(BC_OBJECT_SIZE_MAX <= UINT32_MAX, "size has 32 bits");

/* An object with a group. */
struct posix_grouped {
    struct posix_object object;
    struct bc_group_member member;
};

struct posix_slab;

/* ---- claims on a file name, first come first served ---- */

struct posix_claim;
typedef void (*posix_claim_fn)(struct posix_claim *claim);
struct posix_claim {
    struct bc_list_node node;
    struct posix_name *name;
    bool exclusive;
    posix_claim_fn granted;
};

struct posix_name {
    struct bc_hashmap_node node;
    struct bc_list waiting;
    uint32_t shared; /* claims held */
    bool exclusive;  /* one is held */
    bool granting;   /* its queue is being worked off */
};

/* ---- descriptors ---- */

enum posix_slot_state {
    POSIX_SLOT_FREE = 0,
    POSIX_SLOT_OPENING = 1,
    POSIX_SLOT_OPEN = 2, /* users > 0, or idle: in slots_idle */
    POSIX_SLOT_CLOSING = 3,
};

struct posix_slot {
    struct bc_list_node node; /* in slots_free or slots_idle */
    struct posix *posix;
    struct posix_object *object;
    enum posix_slot_state state;
    uint32_t users;
    int fd;
    struct bc_file_req req; /* close */
};

/* ---- work in flight ---- */

struct posix_put;
struct posix_get;

/* Somebody whose write met a full file system, waiting for unlinks to end. */
struct posix_retry {
    struct bc_list_node node;
    void (*run)(struct posix_retry *retry);
    uint32_t count;
};

/* A chunk being written or read, or shown to a reader. */
struct posix_io {
    struct bc_list_node node;
    struct bc_file_req req;
    struct posix_retry retry;
    struct posix_put *put;
    struct posix_get *get;
    struct bc_put_op *put_op;
    struct bc_get_op *get_op;
    struct bc_extent extent;
    uint64_t offset;
    uint32_t len;   /* bytes of the object */
    int32_t result; /* of the read, while the footer is still missing */
    bool footer;    /* table and footer are part of it */
};

/* The file of an evicted object in tmp/. */
struct posix_spare {
    struct bc_list_node node; /* in spares, when ready */
    struct bc_file_req req;   /* unlink */
    struct posix *posix;
    uint64_t bytes;
    char path[BC_POSIX_TMP_PATH_LEN];
};

struct posix_unlink;
typedef void (*posix_unlink_fn)(struct posix_unlink *unlink, int result);
struct posix_unlink {
    struct posix_claim claim;
    struct bc_file_req req;
    struct posix *posix;
    struct posix_object *object; /* held, or NULL */
    struct posix_spare *spare;   /* what the file becomes instead of going, or NULL */
    posix_unlink_fn done;        /* may be NULL */
    void *done_arg;
    uint32_t done_index;
    char path[BC_POSIX_PATH_LEN];
};

enum posix_put_state {
    POSIX_PUT_OPEN = 0,     /* takes chunks */
    POSIX_PUT_COMMIT = 1,   /* put_commit was called: claim, footer, rename */
    POSIX_PUT_RENAMED = 2,  /* cancelled after its rename: being unlinked under its claim */
    POSIX_PUT_CLEANING = 3, /* failed or aborted: close, unlink */
};

struct posix_put {
    struct bc_put base;
    struct bc_hashmap_node node; /* in posix.puts until published or cleaned up */
    struct posix_claim claim;
    struct posix_retry retry;
    struct bc_file_req req; /* open, footer, rename, close, unlink: one at a time */
    struct posix_object *object;
    struct bc_posix_footer *footer;
    uint32_t *table; /* NULL when the checksums fit the footer */
    struct bc_batch_op *commit_op;
    struct bc_list waiting; /* ios, until the file is open */
    enum posix_put_state state;
    uint64_t size;
    uint64_t bytes;      /* length of the file: what it takes of the capacity */
    uint64_t summed_len; /* bytes whose checksums are known */
    uint64_t written;    /* bytes of the file */
    uint64_t newer_than; /* version of this key that was committed since put_begin */
    uint32_t leases_out;
    uint32_t chunks; /* being written */
    int fd;
    int error; /* of the open, or of the commit */
    bool opening;
    bool reused;  /* the temporary file was a spare */
    bool exists;  /* the temporary file */
    bool sealed;  /* a footer is written, with the version in object */
    bool claimed; /* exclusively */
    bool removed; /* by a remove: may not commit */
    bool listed;  /* in posix.puts */
    bool stuck;   /* its file could not be unlinked: its bytes stay taken */
    char tmp_path[BC_POSIX_TMP_PATH_LEN];
    char path[BC_POSIX_PATH_LEN];
};

enum posix_footer_state {
    POSIX_FOOTER_NONE = 0,
    POSIX_FOOTER_READING = 1,
    POSIX_FOOTER_GOOD = 2,
    POSIX_FOOTER_FAILED = 3, /* footer_error says how */
};

typedef void (*posix_opened_fn)(struct posix_get *get, int result);

struct posix_get {
    struct bc_get base;
    struct bc_list_node node; /* waits for a slot or a table */
    struct posix_claim claim;
    struct bc_file_req req; /* open, footer */
    struct posix_object *object;
    struct posix_slot *slot;
    struct bc_posix_footer *footer;
    uint32_t *table;
    struct bc_list parked; /* ios read before the footer */
    posix_opened_fn opened;
    struct bc_open_op *open_op;
    struct bc_hash128 hash;
    enum posix_footer_state footer_state;
    int footer_error;
    uint32_t chunks; /* started and not released */
    bool starting;   /* inside get_open: its answer must wait for the loop */
    bool any_key;    /* of iterate: whose object it is tells the footer */
    bool need_footer;
    uint32_t tenant;
    uint32_t key_len;
    uint8_t key[BC_KEY_LEN_MAX];
    char path[BC_POSIX_PATH_LEN];
};

/* A batch of removes in its op's internal words. */
struct posix_removal {
    struct bc_list_node node; /* in posix.removals, waiting for unlinks */
    struct posix *posix;
    uint32_t next;
    uint32_t in_flight;
};

/* One iterate at a time, object by object. */
struct posix_iterate {
    struct bc_list waiting; /* ops behind the current one; nodes in their internal words */
    struct bc_batch_op *op; /* the current one, NULL: none */
    struct bc_task task;
    uint64_t *cursor;
    bc_iterate_fn visit;
    void *arg;
    uint32_t hash_count;
    uint32_t hash_next;
    uint32_t shown;
    bool walked; /* the cursor has moved: 0 is the end, not the start */
    bool stopped;
    struct bc_hash128 hashes[4 * BC_POSIX_ITERATE_BATCH];
};

/* syncfs has no asynchronous form: a thread for each flush, one at a time. */
struct posix_flush {
    struct bc_list waiting; /* ops that came after the thread had started */
    struct bc_list running;
    struct bc_mail mail;
    pthread_t thread;
    bool busy;
    int result; /* the thread's, handed over by the mail */
};

struct posix {
    struct bc_backend base;
    struct bc_loop *loop;
    struct bc_files *files;
    struct bc_staging *staging;
    const struct posix_store *store;
    uint32_t worker;
    uint32_t workers;
    uint32_t handles_max;
    uint32_t handles; /* open */
    uint32_t chunk_len_max;
    uint32_t slots_idle_max;
    uint32_t ios_reserved; /* promised to leases that are out */
    uint32_t unlinks_in_flight;
    uint32_t unlinks_claiming; /* of them, those that wait for their name */
    uint64_t capacity;
    uint64_t used;
    uint64_t evictable;   /* bytes of the objects in lru */
    uint64_t going;       /* bytes that unlinks and clean-ups under way will release; spares' too */
    uint64_t spare_bytes; /* of them, those of spares that are ready */
    uint64_t stranded;
    uint64_t last_version;
    uint64_t last_tmp;
    bool no_space_logged;
    bool io_error_logged;
    bool removing;       /* run_removals is under way */
    bool removing_again; /* and has news */
    bool stopping;
    struct bc_batch_op *stop_op;

    struct bc_hashmap index;
    struct bc_list lru;    /* first: least recently used */
    struct bc_list doomed; /* out of the index, to be unlinked when an unlink is free */
    struct bc_list spares; /* ready ones */
    struct posix_slab *slabs;
    struct posix_object *free_objects; /* by node.next */
    struct posix_object *free_grouped;
    struct bc_groups groups;
    struct bc_list lost; /* drops of the start, to be told when the loop runs; by lru_node */
    struct bc_task lost_task;

    struct bc_hashmap names;
    struct bc_hashmap puts;
    struct bc_pool name_pool;
    struct bc_pool put_pool;
    struct bc_pool get_pool;
    struct bc_pool io_pool;
    struct bc_pool unlink_pool;
    struct bc_pool spare_pool;

    struct posix_slot *slots;
    uint32_t slot_count;
    struct bc_list slots_free;
    struct bc_list slots_idle; /* first: oldest */
    struct bc_list slot_waiters;
    struct bc_list table_waiters;
    struct bc_list retries;  /* posix_retry */
    struct bc_list removals; /* posix_removal */

    uint8_t *footers; /* one block for each put and get handle */
    uint8_t *tables;
    uint32_t *free_tables[BC_POSIX_TABLES_MAX];
    uint32_t free_table_count;

    struct posix_iterate iterate;
    struct posix_flush flush;
    struct bc_ready ready;
    struct bc_counter spare_files;
    struct bc_store_counters counters;
};

static inline struct posix *bc_posix_of(const struct bc_backend *backend)
{
    return BC_CONTAINER_OF(backend, struct posix, base);
}

/* ---- posix_index.c ---- */

BC_MUST_USE int bc_posix_index_init(struct posix *posix);
void bc_posix_index_fini(struct posix *posix);
/* A blank object, in no list; NULL: out of memory. */
struct posix_object *bc_posix_object_alloc(struct posix *posix, bool grouped);
void bc_posix_object_free(struct posix *posix, struct posix_object *object);
/* The object of the index. NULL: none. */
struct posix_object *bc_posix_find(const struct posix *posix, struct bc_hash128 hash);
/* Its bytes are counted already. The most recently used one from now on. */
void bc_posix_index_add(struct posix *posix, struct posix_object *object);
/* Out of the index; descriptors that nobody uses are closed. Freed when nothing holds it any
 * more. */
void bc_posix_index_remove(struct posix *posix, struct posix_object *object);
/* Out of the index and its file unlinked, as soon as an unlink is free. */
void bc_posix_doom(struct posix *posix, struct posix_object *object);
void bc_posix_run_doomed(struct posix *posix);
/* Frees the object and its bytes if nothing holds it. */
void bc_posix_object_check(struct posix *posix, struct posix_object *object);
void bc_posix_pin(struct posix *posix, struct posix_object *object);
void bc_posix_unpin(struct posix *posix, struct posix_object *object);
static inline uint64_t bc_posix_object_bytes(const struct posix_object *object)
{
    return bc_posix_file_len(object->size);
}

/* Unlinks that end without anybody's help: what waits for room may hold the name that another one
 * waits for. */
static inline uint32_t bc_posix_unlinks_running(const struct posix *posix)
{
    return posix->unlinks_in_flight - posix->unlinks_claiming;
}

void bc_posix_charge(struct posix *posix, uint64_t bytes);
void bc_posix_release(struct posix *posix, uint64_t bytes);
/* True: `need` bytes fit now. False: objects are being evicted for them, or it must wait for
 * others. */
bool bc_posix_make_room(struct posix *posix, uint64_t need);
/* Once objects had to go, some are made to go ahead of need. */
void bc_posix_evict_ahead(struct posix *posix, uint64_t need);
/* Whether a file of which `bytes` are still to be written can fit, if all goes that can be evicted:
 * a file system may be smaller than the capacity. */
bool bc_posix_disk_holds(const struct posix *posix, uint64_t bytes);
/* The file system is full before the capacity is: evicts what `bytes` need and runs `retry` after
 * it. False: tried often enough, or evicting cannot make `left` bytes fit. */
bool bc_posix_retry_nospc(struct posix *posix, struct posix_retry *retry, uint64_t bytes,
                          uint64_t left);

/* An object that cannot be read right: dropped, counted, logged once. error: -EBADMSG, -EIO, ... */
void bc_posix_drop(struct posix *posix, struct posix_object *object, int error, const char *what);
/* Whether an error is the object's or the disk's; others are this process's of the moment. */
bool bc_posix_error_is_lasting(int error);
/* Counts a failed operation; the first one is logged. */
void bc_posix_io_error(struct posix *posix, const char *what, const char *path, int error);
/* What the caller of a put hears of a failed file operation: that a file or a folder is not there,
 * or not to be written, does not mean that an object was not found, or a client not allowed. */
static inline int bc_posix_put_error(int error)
{
    bool passed_on =
        error == -ENOSPC || error == -EDQUOT || error == -ENOMEM || error == -ECANCELED;

    return passed_on ? error : -EIO;
}

/* ---- posix_group.c ---- */

static inline struct bc_group_member *bc_posix_member(struct posix_object *object)
{
    return &BC_CONTAINER_OF(object, struct posix_grouped, object)->member;
}

/* When the object comes into the index and leaves it. */
void bc_posix_member_join(struct posix *posix, struct posix_object *object);
void bc_posix_member_leave(struct posix *posix, struct posix_object *object);
/* Begins the drop of a member's group, before the object itself is dropped; then drops the others.
 * False: it is no member. */
bool bc_posix_group_begin_drop(struct posix *posix, struct posix_object *object);
void bc_posix_group_drop_all(struct posix *posix, struct posix_object *object);
void bc_posix_group_drop(struct bc_backend *backend, uint64_t name, uint64_t time);
void bc_posix_group_told(struct bc_backend *backend, struct bc_group_drop *drop);
/* Whether it is to go at once, or not to come at all: its group was dropped meanwhile. */
bool bc_posix_group_is_dropped(const struct posix *posix, struct posix_object *object);
/* An object of this group did not fit at the start. -ENOMEM. */
BC_MUST_USE int bc_posix_group_lost(struct posix *posix, uint64_t name);
/* When the loop runs, drops and tells what was lost; or forgets it. */
void bc_posix_lost_start(struct posix *posix);
void bc_posix_lost_stop(struct posix *posix);

/* ---- posix_name.c ---- */

/* Calls claim->granted at once when it can be had, else when its turn comes. */
void bc_posix_claim(struct posix *posix, struct posix_claim *claim, struct bc_hash128 hash,
                    bool exclusive, posix_claim_fn granted);
void bc_posix_unclaim(struct posix *posix, struct posix_claim *claim);
bool bc_posix_name_busy(const struct posix *posix, struct bc_hash128 hash);
/* Unlinks the file of that name, unless it shows an object of the index by then. `object`, if any,
 * is held by this until it ended. False: no unlink is free. */
bool bc_posix_unlink(struct posix *posix, struct posix_object *object, struct bc_hash128 hash,
                     posix_unlink_fn done, void *done_arg, uint32_t done_index);
/* The same, but the file becomes this spare. */
bool bc_posix_unlink_to_spare(struct posix *posix, struct posix_object *object,
                              struct posix_spare *spare);
/* One of unlinks_in_flight is over: who waited for it goes on. */
void bc_posix_unlink_ended(struct posix *posix);

/* ---- posix_spare.c ---- */

/* A name for a file of so many bytes that is about to be renamed to it. NULL: enough of them. */
struct posix_spare *bc_posix_spare_new(struct posix *posix, uint64_t bytes);
void bc_posix_spare_free(struct posix_spare *spare); /* no file has its name */
void bc_posix_spare_ready(struct posix_spare *spare);
bool bc_posix_spare_has(const struct posix *posix, uint64_t bytes);
/* Gives a file of this length to a put, with its bytes. False: there is none. */
bool bc_posix_spare_take(struct posix *posix, uint64_t bytes, char *path_out);
/* Unlinks ready ones until `bytes` are on their way; returns how many are. */
uint64_t bc_posix_spares_drop(struct posix *posix, uint64_t bytes);

/* ---- posix_slot.c ---- */

/* A free slot in state OPENING for this object; closes idle ones for it. NULL: wait in
 * slot_waiters. */
struct posix_slot *bc_posix_slot_take(struct posix *posix, struct posix_object *object);
void bc_posix_slot_opened(struct posix_slot *slot, int fd); /* one user */
void bc_posix_slot_failed(struct posix_slot *slot);         /* free again */
/* Keeps a descriptor that was just written through, for readers. False: the caller closes it. */
bool bc_posix_slot_adopt(struct posix *posix, struct posix_object *object, int fd);
void bc_posix_slot_use(struct posix_slot *slot); /* one more user */
void bc_posix_slot_unuse(struct posix_slot *slot);
/* The object left the index: its shared descriptor is of no use to others. */
void bc_posix_slot_forget(struct posix *posix, struct posix_object *object);
void bc_posix_slots_close_idle(struct posix *posix);

/* ---- posix_put.c, posix_commit.c ---- */

/* A name in tmp/ that no file had before. */
void bc_posix_tmp_path(struct posix *posix, char *path_out);
uint32_t *bc_posix_table_take(struct posix *posix); /* NULL: none free */
void bc_posix_table_give(struct posix *posix, uint32_t *table);

int bc_posix_put_begin(struct bc_backend *backend, const struct bc_object_key *key, uint64_t size,
                       const struct bc_put_hints *hints, struct bc_put **put_out);
int bc_posix_put_lease(struct bc_put *put, uint64_t offset, uint32_t want_len,
                       struct bc_extent *extent_out);
void bc_posix_put_unlease(struct bc_put *put, const struct bc_extent *extent);
void bc_posix_put_chunk(struct bc_put *put, struct bc_put_op *op);
void bc_posix_put_commit(struct bc_put *put, struct bc_batch_op *op);
void bc_posix_put_abort(struct bc_put *put);
/* Gives the footer its version and checksums. */
void bc_posix_put_seal(struct posix *posix, struct posix_put *put);
/* The file is open, or will never be: chunks that waited for it go on, then the commit or
 * clean-up. */
void bc_posix_put_opened(struct posix *posix, struct posix_put *put);
void bc_posix_put_run_waiting(struct posix *posix, struct posix_put *put);
/* Closes, unlinks, gives everything back; then commit_op, if any, ends with `result`. */
void bc_posix_put_clean(struct posix *posix, struct posix_put *put, int result);
/* Puts of this hash that have not committed can no longer. */
void bc_posix_cancel_puts(struct posix *posix, struct bc_hash128 hash);

/* ---- posix_get.c, posix_open.c ---- */

/* A blank handle with its footer's memory. There is always one for an open within handles_max. */
struct posix_get *bc_posix_get_alloc(struct posix *posix, struct bc_hash128 hash,
                                     posix_opened_fn opened);
void bc_posix_get_open(struct bc_backend *backend, struct bc_open_op *op);
int bc_posix_get_chunk(struct bc_get *get, struct bc_get_op *op);
void bc_posix_get_release(struct bc_get *get, struct bc_get_op *op);
void bc_posix_get_close(struct bc_get *get);
/* Opens the indexed object of get->hash; `opened` is called, perhaps at once. */
void bc_posix_get_start(struct posix *posix, struct posix_get *get);
void bc_posix_get_end(struct posix *posix, struct posix_get *get); /* slot, pin, table */
void bc_posix_footer_read(struct posix *posix, struct posix_get *get);
/* Judges the footer in get->footer and get->table; `result` bytes of `want` were read. */
void bc_posix_footer_arrived(struct posix *posix, struct posix_get *get, int64_t result,
                             uint64_t want);
/* The chunks that waited for the footer. */
void bc_posix_run_parked(struct posix *posix, struct posix_get *get);
void bc_posix_run_slot_waiters(struct posix *posix);
void bc_posix_run_table_waiters(struct posix *posix);

/* ---- posix_batch.c ---- */

void bc_posix_query(struct bc_backend *backend, struct bc_batch_op *op);
void bc_posix_remove(struct bc_backend *backend, struct bc_batch_op *op);
void bc_posix_run_removals(struct posix *posix);
void bc_posix_iterate(struct bc_backend *backend, uint64_t *cursor, uint32_t count,
                      bc_iterate_fn visit, void *arg, struct bc_batch_op *op);
void bc_posix_flush(struct bc_backend *backend, struct bc_batch_op *op);
void bc_posix_batch_init(struct posix *posix);

/* ---- posix_recover.c ---- */

/* Fills the index from the files of this worker's partitions; blocking, before the loop runs. */
BC_MUST_USE int bc_posix_recover(struct posix *posix, struct bc_options_error *error_out);

/* ---- posix.c ---- */

/* Background work ended: a stop that waits for it may be over. */
void bc_posix_check_stop(struct posix *posix);

BC_EXTERN_C_END

#endif
