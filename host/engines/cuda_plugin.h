// What the library and its CUDA plug-in say to each other. An engine is a C++ object, so both must come from one build
// of one interface: the first two members say which, and what follows them is for those that agree.
#pragma once

#include <memory>
#include <string>

#include "lexiscope/engine.h"

namespace lexiscope {

struct CudaPlugin {
  const char* version;           ///< LEXISCOPE_VERSION
  const char* interface_hash;    ///< LEXISCOPE_INTERFACE: a hash of the headers that both were built with
  std::string (*unavailable)();  ///< why no engine can be made here; empty where one can
  std::unique_ptr<Engine> (*make)(int threads, ProductLibrary products);
};

/// The plug-in's one symbol, of type CudaPluginEntry.
inline constexpr const char* kCudaPluginEntry = "lexiscope_cuda_plugin";
using CudaPluginEntry = const CudaPlugin* (*)();

inline constexpr const char* kCudaPluginFile = "liblexiscope_cuda.so";

}  // namespace lexiscope
