# SPDX-License-Identifier: Apache-2.0
#
# Toolchain file of preset dpu-cross: the cross compilers of Debian and Ubuntu for 64-bit ARM, with the arm64 packages
# of the libraries unpacked in a folder of their own, build/arm64/root (BC_ARM64_ROOT), so that the machine's own
# packages stay as they are. scripts/setup.sh --cross makes all of it.
#
# No -march: the programs run on the Cortex-A72 of BlueField-2 and on the Cortex-A78 of BlueField-3. What these have
# beyond ARMv8.0 is found at run time: CRC32 instructions by ISA-L, LSE atomics by the compiler's outline atomics.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

set(BC_ARM64_ROOT "${CMAKE_CURRENT_LIST_DIR}/../build/arm64/root" CACHE PATH "Root of the unpacked arm64 packages")
get_filename_component(CMAKE_SYSROOT "${BC_ARM64_ROOT}" ABSOLUTE)
if(NOT EXISTS "${CMAKE_SYSROOT}/usr/lib/aarch64-linux-gnu/libc.so")
    message(FATAL_ERROR "There are no arm64 libraries in ${CMAKE_SYSROOT}; scripts/setup.sh --cross puts them there.")
endif()
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES BC_ARM64_ROOT)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

# Without this, pkg-config would tell of the machine's own libraries.
set(ENV{PKG_CONFIG_SYSROOT_DIR} "${CMAKE_SYSROOT}")
set(ENV{PKG_CONFIG_LIBDIR} "${CMAKE_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${CMAKE_SYSROOT}/usr/share/pkgconfig")
set(ENV{PKG_CONFIG_PATH} "")

# The unit tests run under qemu-user, on a processor with the extensions of BlueField-3's.
set(BC_QEMU_CPU neoverse-n1 CACHE STRING "The processor that qemu-aarch64 stands in for")
find_program(BC_QEMU_USER NAMES qemu-aarch64 qemu-aarch64-static)
mark_as_advanced(BC_QEMU_USER)
if(BC_QEMU_USER)
    set(CMAKE_CROSSCOMPILING_EMULATOR "${BC_QEMU_USER};-cpu;${BC_QEMU_CPU};-L;${CMAKE_SYSROOT}")
endif()
