# The CUDA engine: whether its plug-in is built, for which devices, and its target.
set(LEXISCOPE_CUDA AUTO CACHE STRING "Build the CUDA plug-in: ON, OFF, or AUTO for where nvcc is found")
set_property(CACHE LEXISCOPE_CUDA PROPERTY STRINGS AUTO ON OFF)
set(LEXISCOPE_CUDA_ARCHITECTURES 80 86 89 90 100 120 CACHE STRING
  "Compute capabilities to build kernels for, ascending; the last one as PTX too")

# What the library and a plug-in must agree on: the headers that describe an engine.
file(GLOB_RECURSE headers CONFIGURE_DEPENDS include/lexiscope/*.h)
list(APPEND headers ${PROJECT_SOURCE_DIR}/host/engines/cuda_plugin.h)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${headers})
set(hashes "")
foreach(header ${headers})
  file(SHA256 ${header} hash)
  string(APPEND hashes ${hash})
endforeach()
string(SHA256 LEXISCOPE_INTERFACE "${hashes}")
string(SUBSTRING ${LEXISCOPE_INTERFACE} 0 12 LEXISCOPE_INTERFACE)

set(LEXISCOPE_WITH_CUDA OFF)
if(LEXISCOPE_CUDA STREQUAL AUTO OR LEXISCOPE_CUDA)
  find_program(LEXISCOPE_NVCC nvcc HINTS ENV CUDA_PATH ENV CUDA_HOME PATH_SUFFIXES bin PATHS /usr/local/cuda/bin)
  if(LEXISCOPE_NVCC)
    set(LEXISCOPE_WITH_CUDA ON)
  elseif(NOT LEXISCOPE_CUDA STREQUAL AUTO)
    message(FATAL_ERROR "LEXISCOPE_CUDA is ${LEXISCOPE_CUDA}, and there is no nvcc: install CUDA's toolkit or set CUDA_PATH")
  else()
    message(STATUS "No nvcc: the CUDA plug-in is not built")
  endif()
endif()

if(LEXISCOPE_WITH_CUDA)
  set(CMAKE_CUDA_COMPILER ${LEXISCOPE_NVCC})
  if(CCACHE AND PROJECT_IS_TOP_LEVEL)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
  endif()
  # Binary code for each, and PTX of the last for devices that are newer.
  list(GET LEXISCOPE_CUDA_ARCHITECTURES -1 newest)
  list(TRANSFORM LEXISCOPE_CUDA_ARCHITECTURES APPEND "-real" OUTPUT_VARIABLE CMAKE_CUDA_ARCHITECTURES)
  list(APPEND CMAKE_CUDA_ARCHITECTURES "${newest}-virtual")
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc has it
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  find_package(CUDAToolkit REQUIRED)
endif()

# liblexiscope_cuda.so: the kernels, the engine around them and what of host/core these need. The CUDA runtime is linked
# into it, libcuda never: so it loads where there is no driver, and says so. cuBLAS, cuBLASLt, cuFFT and cuSOLVER are
# libraries beside it; an installed plug-in looks for them in the toolkit that it was built with too.
function(lexiscope_add_cuda_plugin)
  file(GLOB sources CONFIGURE_DEPENDS kernels/cuda/*.cu host/engines/cuda/*.cpp)
  # And what of the host's side they need: checks, without the threads that their loops have in the library.
  add_library(lexiscope_cuda MODULE ${sources} host/core/tensor.cpp host/core/finite.cpp host/engines/tsne_checks.cpp)
  set_source_files_properties(host/core/finite.cpp PROPERTIES COMPILE_OPTIONS -Wno-unknown-pragmas)
  # For the engine's sources alone: nvcc takes a definition apart at its commas.
  list(JOIN LEXISCOPE_CUDA_ARCHITECTURES "," architectures)
  target_compile_definitions(lexiscope_cuda PRIVATE $<$<COMPILE_LANGUAGE:CXX>:LEXISCOPE_VERSION="${PROJECT_VERSION}">
    $<$<COMPILE_LANGUAGE:CXX>:LEXISCOPE_INTERFACE="${LEXISCOPE_INTERFACE}">)
  set_source_files_properties(host/engines/cuda/availability.cpp PROPERTIES
    COMPILE_DEFINITIONS LEXISCOPE_CUDA_ARCHITECTURES=${architectures})
  target_include_directories(lexiscope_cuda PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
  target_compile_options(lexiscope_cuda PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;-lineinfo;-Xcompiler=-Wall,-Wextra>
    # nvcc warns of the views' conversion to const, which a const view's class has under a constraint that it fails.
    $<$<COMPILE_LANGUAGE:CUDA>:--diag-suppress=554>
    $<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${LEXISCOPE_WERROR}>>:-Werror=all-warnings>
    $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wshadow>
    $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${LEXISCOPE_WERROR}>>:-Werror>)
  target_link_libraries(lexiscope_cuda PRIVATE fmt::fmt CUDA::cudart_static CUDA::cublas CUDA::cublasLt CUDA::cufft CUDA::cusolver)
  # What is inside stays inside: the program has classes of the same names.
  target_link_options(lexiscope_cuda PRIVATE -Wl,--exclude-libs,ALL -Wl,--no-undefined)
  set_target_properties(lexiscope_cuda PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON BUILD_WITH_INSTALL_RPATH ON
    CUDA_RUNTIME_LIBRARY None CXX_VISIBILITY_PRESET hidden
    CUDA_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
    LINKER_LANGUAGE CXX)
  install(TARGETS lexiscope_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endfunction()
