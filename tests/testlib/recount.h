/* SPDX-License-Identifier: Apache-2.0 */
/* recount.h - what there really is, counted apart from the code under test: bytes below a folder,
 * and a metric by its name.
 * Thread: any. Memory: none is kept. */
#ifndef BC_TESTLIB_RECOUNT_H
#define BC_TESTLIB_RECOUNT_H

#include <stdbool.h>

#include "base/metrics.h"

BC_EXTERN_C_BEGIN

/* Bytes of the files of a store of `posix`, each rounded up to 4 KiB, and how many of them are
 * objects and how many temporary. An empty root has none. Negative errno when a file vanishes
 * meanwhile. */
int64_t bc_recount_store(const char *root, uint32_t *objects_out, uint32_t *temporary_out);
/* Adds the metrics of this name to *sum. False: there is none. */
bool bc_recount_metric(const struct bc_metrics *metrics, const char *name, int64_t *sum);
/* Removes a folder and what is below it, as far as possible. */
void bc_tree_remove(const char *path);

BC_EXTERN_C_END

#endif
