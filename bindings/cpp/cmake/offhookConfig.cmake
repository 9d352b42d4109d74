# offhookConfig.cmake - find_package(offhook 0.1): the targets offhook::offhook (shared; C and C++ headers) and, where
# liboffhook.a is installed, offhook::static. Installed as LIBDIR/cmake/offhook/; all is found relative to that, so the
# tree may be moved as a whole.
get_filename_component(_offhook_libdir "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)

# LIBDIR may be lib, lib64 or lib/x86_64-linux-gnu below the prefix.
set(_offhook_include "")
foreach(_offhook_up .. ../..)
  get_filename_component(_offhook_try "${_offhook_libdir}/${_offhook_up}/include" ABSOLUTE)
  if(NOT _offhook_include AND EXISTS "${_offhook_try}/offhook.h")
    set(_offhook_include "${_offhook_try}")
  endif()
endforeach()

if(NOT _offhook_include)
  set(offhook_FOUND FALSE)
  set(offhook_NOT_FOUND_MESSAGE "offhook.h is in no include directory beside ${_offhook_libdir}")
elseif(NOT EXISTS "${_offhook_libdir}/liboffhook.so")
  set(offhook_FOUND FALSE)
  set(offhook_NOT_FOUND_MESSAGE "there is no liboffhook.so in ${_offhook_libdir}")
else()
  if(NOT TARGET offhook::offhook)
    add_library(offhook::offhook SHARED IMPORTED)
    set_target_properties(offhook::offhook PROPERTIES
      IMPORTED_LOCATION "${_offhook_libdir}/liboffhook.so"
      INTERFACE_INCLUDE_DIRECTORIES "${_offhook_include}")
  endif()
  if(NOT TARGET offhook::static AND EXISTS "${_offhook_libdir}/liboffhook.a")
    add_library(offhook::static STATIC IMPORTED)
    set_target_properties(offhook::static PROPERTIES
      IMPORTED_LOCATION "${_offhook_libdir}/liboffhook.a"
      INTERFACE_INCLUDE_DIRECTORIES "${_offhook_include}"
      INTERFACE_LINK_LIBRARIES "-pthread;gcc_s;util;rt;m;dl")
  endif()
endif()
unset(_offhook_libdir)
unset(_offhook_include)
unset(_offhook_try)
unset(_offhook_up)
