/* SPDX-License-Identifier: Apache-2.0 */
/* doca_compat.h - attribute macros of the public headers.
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

#define DOCA_STABLE DOCA_EMU_VISIBLE

#ifdef DOCA_ALLOW_EXPERIMENTAL_API
#define DOCA_EXPERIMENTAL DOCA_EMU_VISIBLE
#else
#define DOCA_EXPERIMENTAL                                                                     \
    __attribute__((deprecated("experimental: define DOCA_ALLOW_EXPERIMENTAL_API to use it"))) \
    DOCA_EMU_VISIBLE
#endif

#ifdef DOCA_ALLOW_DEPRECATED_API
#define DOCA_DEPRECATED DOCA_EMU_VISIBLE
#else
#define DOCA_DEPRECATED __attribute__((deprecated("deprecated API"))) DOCA_EMU_VISIBLE
#endif

#endif /* DOCA_COMPAT_H_ */
