# SPDX-License-Identifier: Apache-2.0
#
# bc_doca: what a target links to use DOCA. It stands for the vendor's SDK when DOCA_DIR is given, and for
# the project's own software emulation (doca-emu/) otherwise. Sources never ask which of the two it is; what
# has to differ is a variable here:
#   BC_DOCA_EMULATED        ON with the emulation
#   BC_DEFAULT_LISTEN_ADDR  where the agent listens unless told otherwise: the emulation is for one machine, a
#                           real DPU is reached from its host

add_library(bc_doca INTERFACE)
# Much of what every release of the SDK has is still marked experimental, and warns as deprecated without this.
target_compile_definitions(bc_doca INTERFACE DOCA_ALLOW_EXPERIMENTAL_API)

if(DOCA_DIR)
    if(NOT EXISTS "${DOCA_DIR}/include/doca_dma.h")
        message(FATAL_ERROR
            "DOCA_DIR is '${DOCA_DIR}', but ${DOCA_DIR}/include/doca_dma.h does not exist: the DOCA SDK is not "
            "installed there. Install NVIDIA's DOCA SDK (packages doca-sdk-common, doca-sdk-dma and doca-sdk-comch, "
            "usually under /opt/mellanox/doca) and give its root with -DDOCA_DIR=/opt/mellanox/doca; or leave DOCA_DIR "
            "empty, also in the environment, to build the software emulation of DOCA.")
    endif()
    set(BC_DOCA_EMULATED OFF)
    set(BC_DEFAULT_LISTEN_ADDR "0.0.0.0")
    file(GLOB _bc_doca_libdirs LIST_DIRECTORIES true
         "${DOCA_DIR}/lib" "${DOCA_DIR}/lib64" "${DOCA_DIR}/lib/*-linux-gnu")
    foreach(_lib IN ITEMS doca_common doca_dma doca_comch)
        unset(_found CACHE)
        find_library(_found NAMES ${_lib} PATHS ${_bc_doca_libdirs} NO_DEFAULT_PATH)
        if(NOT _found)
            message(FATAL_ERROR
                "DOCA_DIR is '${DOCA_DIR}', but lib${_lib}.so was found neither in its lib nor in its lib64 "
                "directory. Install the DOCA SDK's run-time and development packages for this architecture "
                "(${CMAKE_SYSTEM_PROCESSOR}).")
        endif()
        target_link_libraries(bc_doca INTERFACE "${_found}")
        message(STATUS "DOCA: ${_found}")
        unset(_found CACHE)
    endforeach()
    target_include_directories(bc_doca SYSTEM INTERFACE "${DOCA_DIR}/include")
    message(STATUS "DOCA: building against the SDK in ${DOCA_DIR}")
else()
    set(BC_DOCA_EMULATED ON)
    set(BC_DEFAULT_LISTEN_ADDR "127.0.0.1")
    message(STATUS "DOCA: no DOCA_DIR given, building the software emulation of DOCA (doca-emu); "
                   "this build moves no bytes over a real BlueField")
    bc_add_room(doca-emu)
    target_link_libraries(bc_doca INTERFACE doca_comch doca_dma doca_common)
endif()
