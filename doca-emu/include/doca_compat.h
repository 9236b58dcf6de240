/* SPDX-License-Identifier: Apache-2.0 */
/* doca_compat.h - attribute macros of the public headers, and which of them are seen.
 * DOCA_STABLE and DOCA_EXPERIMENTAL mark every public function. As with the SDK, an experimental
 * function warns as deprecated unless DOCA_ALLOW_EXPERIMENTAL_API is defined. Symbols are visible
 * outside of the library only in a shared build (DOCA_EMU_SHARED); the static build keeps them
 * inside of whatever it is linked into. */
#ifndef DOCA_COMPAT_H_
#define DOCA_COMPAT_H_

#ifdef DOCA_EMU_SHARED
#define DOCA_EMU_VISIBLE __attribute__((visibility("default")))
#else
#define DOCA_EMU_VISIBLE
#endif

/* Headers have the shape of release 3.0, or that of 2.7 when DOCA_EMU_API_2_7 is defined: then what
 * came later is hidden, but from the library itself and its tests (DOCA_EMU_ALL_API). */
#if !defined(DOCA_EMU_API_2_7) || defined(DOCA_EMU_ALL_API)
#define DOCA_EMU_SHOW_NEW 1
#else
#define DOCA_EMU_SHOW_NEW 0
#endif

#define DOCA_STABLE DOCA_EMU_VISIBLE

#ifdef DOCA_ALLOW_EXPERIMENTAL_API
#define DOCA_EXPERIMENTAL DOCA_EMU_VISIBLE
#else
#define DOCA_EXPERIMENTAL                                                                     \
    __attribute__((deprecated("experimental: define DOCA_ALLOW_EXPERIMENTAL_API to use it"))) \
    DOCA_EMU_VISIBLE
#endif

/* Experimental in 2.7, stable since. */
#ifdef DOCA_EMU_API_2_7
#define DOCA_EMU_STABLE_SINCE_2_8 DOCA_EXPERIMENTAL
#else
#define DOCA_EMU_STABLE_SINCE_2_8 DOCA_STABLE
#endif

#ifdef DOCA_ALLOW_DEPRECATED_API
#define DOCA_DEPRECATED DOCA_EMU_VISIBLE
#else
#define DOCA_DEPRECATED __attribute__((deprecated("deprecated API"))) DOCA_EMU_VISIBLE
#endif

#endif /* DOCA_COMPAT_H_ */
