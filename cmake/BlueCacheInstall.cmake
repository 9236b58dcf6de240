# SPDX-License-Identifier: Apache-2.0
#
# Where things go on `cmake --install`. Rooms only build; the layout of an installation is decided here.

set(BC_PLUGIN_INSTALL_DIR "${CMAKE_INSTALL_LIBDIR}/nixl/plugins" CACHE STRING
    "Where NIXL's plugin is installed, relative to the prefix; give the path to NIXL_PLUGIN_DIR")

foreach(_program IN ITEMS dpu_dma_copy bluecache_cli)
    if(TARGET ${_program})
        install(TARGETS ${_program} RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
    endif()
endforeach()

if(TARGET bluecache_shared)
    install(TARGETS bluecache_shared LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
    install(DIRECTORY "${PROJECT_SOURCE_DIR}/host/include/bluecache" "${PROJECT_SOURCE_DIR}/common/bluecache"
            DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h")
endif()

# The wheel of python/ (built by scikit-build-core) takes this component and nothing else. A wheel holds no links, so
# the library goes in under one name; as a plain file it also keeps its run path, which leads to the SDK's libraries.
if(SKBUILD)
    install(FILES "$<TARGET_FILE:bluecache_shared>" DESTINATION bluecache RENAME libbluecache.so COMPONENT python)
endif()

if(TARGET plugin_DOCA_DMA_PROXY)
    install(TARGETS plugin_DOCA_DMA_PROXY LIBRARY DESTINATION "${BC_PLUGIN_INSTALL_DIR}")
endif()

install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
