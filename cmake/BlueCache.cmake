# SPDX-License-Identifier: Apache-2.0
#
# bc_flags, and the helpers with which rooms describe themselves:
#   bc_add_room(DIR)
#   bc_add_library(NAME SOURCES file... [DEPS target...] [PRIVATE_DEPS target...] [INCLUDES dir...])
#   bc_add_executable(NAME SOURCES file... [DEPS target...])
#   bc_add_unit_test(NAME SOURCES file... [LIBS target...] [ARGS arg...] [TIMEOUT seconds] [LABELS label...])

# --- bc_flags: warnings, hardening, sanitizers --------------------------------------------------
add_library(bc_flags INTERFACE)
target_compile_options(bc_flags INTERFACE
    -Wall -Wextra -Wshadow -Wpointer-arith -Wformat-security -Wundef -Wvla
    -fno-common -fvisibility=hidden -fstack-protector-strong -fno-strict-aliasing
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>
    $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
    $<$<COMPILE_LANGUAGE:C>:-Wold-style-definition>
    $<$<COMPILE_LANGUAGE:CXX>:-fvisibility-inlines-hidden>)
target_compile_definitions(bc_flags INTERFACE $<$<COMPILE_LANGUAGE:C>:_GNU_SOURCE>)
if(BC_WERROR)
    target_compile_options(bc_flags INTERFACE -Werror)
endif()
if(BC_DEBUG)
    target_compile_definitions(bc_flags INTERFACE BC_DEBUG=1)
endif()
target_link_options(bc_flags INTERFACE -Wl,-z,relro,-z,now)

if(BC_SANITIZE STREQUAL "address")
    set(_bc_sanitize -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
elseif(BC_SANITIZE STREQUAL "thread")
    set(_bc_sanitize -fsanitize=thread -fno-omit-frame-pointer)
elseif(BC_SANITIZE STREQUAL "")
    set(_bc_sanitize "")
    # Needs optimisation, and would hide calls from the sanitizers.
    if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
        target_compile_options(bc_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
    endif()
else()
    message(FATAL_ERROR "BC_SANITIZE is '${BC_SANITIZE}'; it can be empty, 'address' or 'thread'.")
endif()
target_compile_options(bc_flags INTERFACE ${_bc_sanitize})
target_link_options(bc_flags INTERFACE ${_bc_sanitize})

# ThreadSanitizer of older compilers cannot live with the address randomisation of new kernels;
# setarch -R takes it away where the container lets it.
set(BC_TEST_LAUNCHER "")
if(BC_SANITIZE STREQUAL "thread")
    find_program(BC_SETARCH setarch)
    mark_as_advanced(BC_SETARCH)
    if(BC_SETARCH)
        execute_process(COMMAND "${BC_SETARCH}" -R true RESULT_VARIABLE _rc OUTPUT_QUIET ERROR_QUIET)
        if(_rc EQUAL 0)
            set(BC_TEST_LAUNCHER "${BC_SETARCH}" -R)
        endif()
    endif()
endif()

# Cross-compiled programs run under the emulator of the toolchain file.
if(CMAKE_CROSSCOMPILING_EMULATOR)
    set(BC_TEST_LAUNCHER ${CMAKE_CROSSCOMPILING_EMULATOR})
endif()

# Sanitizers make programs several times slower, ThreadSanitizer most, and an emulator does; limits on a test's time
# follow.
set(BC_TEST_TIMEOUT_FACTOR 1)
if(BC_SANITIZE OR CMAKE_CROSSCOMPILING_EMULATOR)
    set(BC_TEST_TIMEOUT_FACTOR 4)
endif()

# Options of the sanitizers' run time for every test, whoever registers it.
set(BC_TEST_ENVIRONMENT
    "ASAN_OPTIONS=abort_on_error=1:detect_leaks=1:strict_string_checks=1"
    "UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1"
    "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1")

# --- helpers ------------------------------------------------------------------------------------
# A room that has no CMakeLists.txt is not part of this checkout and is passed over.
function(bc_add_room dir)
    if(EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${dir}/CMakeLists.txt")
        add_subdirectory("${dir}")
    endif()
endfunction()

function(_bc_check_arguments name)
    if(ARG_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "${name}: unknown arguments: ${ARG_UNPARSED_ARGUMENTS}")
    endif()
    if(NOT ARG_SOURCES)
        message(FATAL_ERROR "${name}: SOURCES is missing")
    endif()
endfunction()

# A static, position-independent library. Without INCLUDES a room's headers are seen as "room/x.h",
# so its parent folder becomes the public include directory.
function(bc_add_library name)
    cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS;INCLUDES")
    _bc_check_arguments(${name})
    if(NOT ARG_INCLUDES)
        get_filename_component(ARG_INCLUDES "${CMAKE_CURRENT_SOURCE_DIR}" DIRECTORY)
    endif()
    add_library(${name} STATIC ${ARG_SOURCES})
    target_include_directories(${name} PUBLIC ${ARG_INCLUDES})
    target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE bc_flags ${ARG_PRIVATE_DEPS})
endfunction()

function(bc_add_executable name)
    cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SOURCES;DEPS")
    _bc_check_arguments(${name})
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE ${ARG_DEPS} bc_flags)
endfunction()

# A cmocka program, registered with CTest under its own name and the label "unit".
function(bc_add_unit_test name)
    cmake_parse_arguments(PARSE_ARGV 1 ARG "" "TIMEOUT" "SOURCES;LIBS;ARGS;LABELS")
    _bc_check_arguments(${name})
    if(NOT ARG_TIMEOUT)
        set(ARG_TIMEOUT 60)
    endif()
    math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * ${BC_TEST_TIMEOUT_FACTOR}")
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE ${ARG_LIBS} PkgConfig::CMOCKA bc_flags)
    add_test(NAME ${name} COMMAND ${BC_TEST_LAUNCHER} $<TARGET_FILE:${name}> ${ARG_ARGS})
    set_tests_properties(${name} PROPERTIES
        TIMEOUT ${ARG_TIMEOUT}
        LABELS "unit;${ARG_LABELS}"
        ENVIRONMENT "${BC_TEST_ENVIRONMENT}")
endfunction()
