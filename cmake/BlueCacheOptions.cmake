# SPDX-License-Identifier: Apache-2.0
#
# Options of the build, and the language settings that every target shares.

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
if(NOT DEFINED CMAKE_CXX_STANDARD) # newer NIXL headers need C++20: -DCMAKE_CXX_STANDARD=20
    set(CMAKE_CXX_STANDARD 17)
endif()
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Debug, Release, RelWithDebInfo" FORCE)
endif()

option(BUILD_EXAMPLES "Build the C and C++ examples" ON)
option(BUILD_TOOLS "Build the bluecache command and its friends" ON)
option(BUILD_BENCH "Build the benchmarks" ON)
option(BC_WERROR "Treat compiler warnings as errors" ON)
option(BC_DEBUG "Compile the debug-only assertions (BC_DASSERT) in" OFF)
set(BC_SANITIZE "" CACHE STRING "Sanitizer: empty, 'address' (ASan and UBSan) or 'thread'")
set_property(CACHE BC_SANITIZE PROPERTY STRINGS "" address thread)

# Paths that the user may give with -D or through the environment; -D wins.
foreach(_name IN ITEMS DOCA_DIR NIXL_ROOT)
    if(NOT DEFINED ${_name} AND DEFINED ENV{${_name}})
        set(_default "$ENV{${_name}}")
    else()
        set(_default "")
    endif()
    if(_name STREQUAL "DOCA_DIR")
        set(_help "Root of the DOCA SDK, for example /opt/mellanox/doca; empty builds the emulation")
    else()
        set(_help "Root of NIXL (source tree or installation) whose headers the plugin is built with")
    endif()
    set(${_name} "${_default}" CACHE PATH "${_help}")
endforeach()

set(BC_DOCA_EMU_API "3.0" CACHE STRING "Release of DOCA whose shape the emulation's headers have: 3.0 or 2.7")
set_property(CACHE BC_DOCA_EMU_API PROPERTY STRINGS 3.0 2.7)
