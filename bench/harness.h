/* SPDX-License-Identifier: Apache-2.0 */
/* harness.h - what the benchmark programs share: the line protocol with run.py, clocks,
 * percentiles.
 *
 * A program takes its settings as name=value arguments, sets everything up outside of any timing,
 * and prints one line of JSON that says so. From then on it reads a command a line and answers each
 * with one line of JSON; end of file ends it. Whatever goes wrong is printed as {"error": ...} and
 * ends it with status 1.
 * Thread: the main thread. */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BC_HARNESS_LINE_MAX 512u
#define BC_HARNESS_KIB      (UINT64_C(1) << 10)
#define BC_HARNESS_MIB      (UINT64_C(1) << 20)
#define BC_HARNESS_NS_PER_S UINT64_C(1000000000)

/* Prints the error line and exits. */
void bc_harness_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* The value of name=value among the arguments, or `fallback`. */
const char *bc_harness_text(int argc, char **argv, const char *name, const char *fallback);
uint64_t bc_harness_number(int argc, char **argv, const char *name, uint64_t fallback);

/* False at the end of the input. The line comes without its newline. */
bool bc_harness_command(char line[BC_HARNESS_LINE_MAX]);
/* One line, flushed. */
void bc_harness_answer(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Which of the processors that this process may use, by number from 0; a negative number counts
 * from the end. */
void bc_harness_pin(int which);

uint64_t bc_harness_now_ns(void);
/* Processor time, user and system, of all threads of this process. */
uint64_t bc_harness_cpu_ns(void);
/* The same of another process; 0 when pid is 0 or the process cannot be looked at. */
uint64_t bc_harness_cpu_of_ns(pid_t pid);

/* Sorts the samples and returns the one below which `permille` of them lie. */
uint64_t bc_harness_percentile(uint64_t *samples, size_t count, unsigned permille);

#endif
