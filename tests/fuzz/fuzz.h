/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz.h - what libFuzzer calls and offers, and what the targets here share.
 * Every target takes its choices (which decoder, which sizes) from the first byte of an input and
 * treats the rest as what came from outside. A broken promise aborts, as does whatever a sanitizer
 * finds.
 * Thread: libFuzzer's one. */
#ifndef BC_FUZZ_FUZZ_H
#define BC_FUZZ_FUZZ_H

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

/* A target's own: one input; always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
/* A target's own, before the first input. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
/* A target's own, where a blind change would only ever meet a checksum. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max_len, unsigned int seed);
/* libFuzzer's: changes data in place and returns its new length. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t max_len);

/* Logs nothing from here on: a fuzzer meets every error message thousands of times a second. */
void fuzz_quiet(void);

/* A copy of exactly len bytes (freed by the caller), so that AddressSanitizer sees a read past its
 * end. */
uint8_t *fuzz_copy(const uint8_t *data, size_t len);

/* The same with a NUL behind it. */
char *fuzz_text(const uint8_t *data, size_t len);

/* Opens a file in memory that holds these bytes; its path lives until the next call. Closed by the
 * caller. */
int fuzz_file(const uint8_t *data, size_t len, const char **path_out);

BC_EXTERN_C_END

#endif
