/* SPDX-License-Identifier: Apache-2.0 */
/* conformance.c - runs the conformance suite over one backend.
 *
 * usage: backend_conformance dram|posix */
#include "conformance.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

const char *conformance_backend;

bool conformance_persistent(void)
{
    return strcmp(conformance_backend, "dram") != 0;
}

struct bed_options conformance_options(uint32_t workers)
{
    return (struct bed_options){.backend = conformance_backend, .workers = workers};
}

int main(int argc, char **argv)
{
    int failed = 0;

    if (argc != 2 || bc_backend_find(argv[1]) == NULL) {
        (void)fprintf(stderr, "usage: %s BACKEND (one of %s)\n", argv[0], bc_backend_names());
        return 2;
    }
    conformance_backend = argv[1];
    bc_log_set_level(BC_LOG_ERROR);
    failed += _cmocka_run_group_tests("objects", conformance_objects, conformance_objects_count,
                                      NULL, NULL);
    failed += _cmocka_run_group_tests("versions", conformance_versions, conformance_versions_count,
                                      NULL, NULL);
    failed += _cmocka_run_group_tests("capacity", conformance_capacity, conformance_capacity_count,
                                      NULL, NULL);
    failed +=
        _cmocka_run_group_tests("groups", conformance_groups, conformance_groups_count, NULL, NULL);
    failed +=
        _cmocka_run_group_tests("random", conformance_random, conformance_random_count, NULL, NULL);
    return failed == 0 ? 0 : 1;
}
