/* SPDX-License-Identifier: Apache-2.0 */
/* engine.h - the threads that stand for an engine of the device: one queue, first in, first out.
 * Thread: submit and destroy by the context's owner. */
#ifndef EMU_ENGINE_H
#define EMU_ENGINE_H

#include "ctx.h"

struct emu_engine;

/* Runs one task on an engine thread, up to and with emu_pe_complete(). */
typedef void (*emu_engine_run_fn)(struct doca_task *task);

/* An idle thread polls for spin_ns, then sleeps. NO_MEMORY when threads cannot be made. */
EMU_INTERNAL doca_error_t emu_engine_create(unsigned threads, uint64_t spin_ns,
                                            emu_engine_run_fn run, struct emu_engine **engine_out);
/* The queue must be empty. NULL does nothing. */
EMU_INTERNAL void emu_engine_destroy(struct emu_engine *engine);
EMU_INTERNAL void emu_engine_submit(struct emu_engine *engine, struct emu_task_list tasks);

#endif /* EMU_ENGINE_H */
