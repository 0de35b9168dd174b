// A library with the plug-in's entry and no engine behind it.
#include <fmt/format.h>

#include "host/engines/cuda_plugin.h"
#include "lexiscope/error.h"

#ifndef FAKE_ENTRY
#define FAKE_ENTRY lexiscope_cuda_plugin
#endif
#ifndef FAKE_REASON
#define FAKE_REASON ""
#endif

namespace {

std::string unavailable() { return FAKE_REASON; }

std::unique_ptr<lexiscope::Engine> make(int threads, lexiscope::ProductLibrary) {
  throw lexiscope::Error(lexiscope::ErrorCode::kDevice,
                         fmt::format("the willing plug-in was asked for an engine with {} threads", threads));
}

constexpr lexiscope::CudaPlugin kPlugin{FAKE_VERSION, FAKE_INTERFACE, unavailable, make};

}  // namespace

extern "C" const lexiscope::CudaPlugin* FAKE_ENTRY() { return &kPlugin; }
