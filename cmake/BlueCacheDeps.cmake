# SPDX-License-Identifier: Apache-2.0
#
# Third-party libraries, each as an imported target PkgConfig::NAME:
#   URING YAML ISAL XXHASH (required), SYSTEMD (if BC_HAVE_SYSTEMD), CMOCKA (if BUILD_TESTING)
# and Threads::Threads. scripts/setup.sh installs the packages that hold them.

find_package(PkgConfig REQUIRED)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

function(bc_find_required target module package)
    pkg_check_modules(${target} QUIET IMPORTED_TARGET GLOBAL ${module})
    if(NOT ${target}_FOUND)
        message(FATAL_ERROR "${module} was not found. Install ${package} "
                            "(scripts/setup.sh installs everything that the build needs).")
    endif()
    string(REGEX REPLACE "[<>=].*" "" name "${module}")
    message(STATUS "Found ${name} ${${target}_VERSION}")
endfunction()

# 2.2 brought io_uring_submit_and_wait_timeout(); Ubuntu 22.04 has 2.1, Debian 12 and Ubuntu 24.04 have enough.
bc_find_required(URING "liburing>=2.2" "liburing-dev 2.2 or newer")
bc_find_required(YAML yaml-0.1 libyaml-dev)
bc_find_required(ISAL libisal libisal-dev)
bc_find_required(XXHASH libxxhash libxxhash-dev)

pkg_check_modules(SYSTEMD QUIET IMPORTED_TARGET GLOBAL libsystemd)
set(BC_HAVE_SYSTEMD ${SYSTEMD_FOUND})
if(NOT BC_HAVE_SYSTEMD)
    message(STATUS "libsystemd was not found: the agent is built without systemd notification")
endif()

# Asked for by name, the tests are a must; otherwise they are built where cmocka is at hand, so that a
# DPU needs no test package to build the agent.
pkg_check_modules(CMOCKA QUIET IMPORTED_TARGET GLOBAL cmocka)
if(CMOCKA_FOUND)
    option(BUILD_TESTING "Build the tests" ON)
elseif(BUILD_TESTING)
    message(FATAL_ERROR "BUILD_TESTING is on and cmocka was not found. Install libcmocka-dev, or give "
                        "-DBUILD_TESTING=OFF.")
else()
    message(STATUS "cmocka was not found: the unit tests are not built")
endif()
