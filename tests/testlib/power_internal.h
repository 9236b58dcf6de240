/* SPDX-License-Identifier: Apache-2.0 */
/* power_internal.h - inside of power_files.h: what is remembered of names and files.
 *
 * Invariants: a name's first value is what is safe, its last what it shows once all that is under
 * way has ended; a file's data is what is safe, its writes are those that are not, in the order in
 * which they were begun. `number` counts changes and writes together: their order.
 * Thread: under the lock, or while nothing is under way. Memory: heap, freed by bc_power_forget. */
#ifndef BC_TESTLIB_POWER_INTERNAL_H
#define BC_TESTLIB_POWER_INTERNAL_H

#include <pthread.h>

#include "testlib/faults.h"
#include "testlib/power_files.h"

BC_EXTERN_C_BEGIN

#define POWER_VALUES_MAX      64u
#define POWER_DESCRIPTORS_MAX 4096u

struct power_write {
    struct bc_list_node node;
    uint64_t number;
    uint64_t offset;
    uint64_t len;
    uint8_t *data;
    bool done;
};

struct power_file {
    struct power_file *next;
    uint8_t *data;
    uint64_t len;
    struct bc_list writes;
    const struct power_name *home; /* whose object it became, outside of tmp/ */
    bool moved;                    /* of several */
    uint8_t *image;                /* with all writes; while a cut is drawn */
    uint64_t image_len;
};

struct power_value {
    struct power_file *file; /* NULL: none */
    uint64_t number;
    bool done;
};

struct power_name {
    struct power_name *next;
    struct power_value values[POWER_VALUES_MAX];
    uint32_t count;
    char path[80];
};

struct power_worker {
    struct bc_files files;
    struct bc_power *power;
    struct bc_loop *loop;
    struct bc_files *real;
};

struct bc_power {
    pthread_mutex_t lock;
    struct power_worker workers[BC_POWER_WORKERS_MAX];
    int root_fd;
    struct power_name *names;
    struct power_file *files;
    struct power_file *open[POWER_DESCRIPTORS_MAX]; /* by descriptor */
    uint64_t number;
    uint64_t fail_in;
    bool failed;
    uint32_t under_way;
    struct bc_faults random;
    char story[160];
};

struct power_name *bc_power_name(struct bc_power *power, const char *path);
struct power_file *bc_power_file(struct bc_power *power);
uint64_t bc_power_change(struct bc_power *power, struct power_name *name, struct power_file *file,
                         bool done);
/* Bytes that are safe from now on. */
void bc_power_apply(struct power_file *file, uint64_t offset, const uint8_t *data, uint64_t len);
void bc_power_file_free(struct power_file *file);
/* All names and files. */
void bc_power_forget(struct bc_power *power);

BC_EXTERN_C_END

#endif
