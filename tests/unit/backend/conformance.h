/* SPDX-License-Identifier: Apache-2.0 */
/* conformance.h - the promises of backend/backend.h as tests that run over every backend; each file
 * exports its table. The backend's name comes from the command line. */
#ifndef BC_TEST_BACKEND_CONFORMANCE_H
#define BC_TEST_BACKEND_CONFORMANCE_H

#include "bed.h"

BC_EXTERN_C_BEGIN

extern const char *conformance_backend;
/* Whether objects outlive the process. */
bool conformance_persistent(void);
/* Options for the backend under test with `workers` workers. */
struct bed_options conformance_options(uint32_t workers);

extern const struct CMUnitTest conformance_objects[];
extern const size_t conformance_objects_count;
extern const struct CMUnitTest conformance_versions[];
extern const size_t conformance_versions_count;
extern const struct CMUnitTest conformance_capacity[];
extern const size_t conformance_capacity_count;
extern const struct CMUnitTest conformance_groups[];
extern const size_t conformance_groups_count;
extern const struct CMUnitTest conformance_random[];
extern const size_t conformance_random_count;

BC_EXTERN_C_END

#endif
