// The plug-in's entry.
#include "host/core/require.h"
#include "host/engines/cuda/availability.h"
#include "host/engines/cuda/cuda_engine.h"
#include "host/engines/cuda_plugin.h"

namespace lexiscope::cuda {
namespace {

std::string unavailable() { return find_device().reason; }

std::unique_ptr<Engine> make(int threads, ProductLibrary products) {
  const DeviceSearch found = find_device();
  if (found.index < 0) fail(ErrorCode::kDevice, "the cuda engine is not available here: {}", found.reason);
  return std::make_unique<CudaEngine>(
      CudaEngineOptions{.device = found.index, .threads = threads, .products = products});
}

constexpr CudaPlugin kPlugin{LEXISCOPE_VERSION, LEXISCOPE_INTERFACE, unavailable, make};

}  // namespace
}  // namespace lexiscope::cuda

extern "C" __attribute__((visibility("default"))) const lexiscope::CudaPlugin* lexiscope_cuda_plugin() {
  return &lexiscope::cuda::kPlugin;
}
