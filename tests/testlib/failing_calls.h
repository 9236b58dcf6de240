/* SPDX-License-Identifier: Apache-2.0 */
/* failing_calls.h - the mark that a program sets before main, by a prctl that means nothing to the kernel, and
 * behind which failing_calls counts its system calls. */
#ifndef BC_TESTLIB_FAILING_CALLS_H
#define BC_TESTLIB_FAILING_CALLS_H

#define BC_TEST_BEGIN 0x42435442

#endif
