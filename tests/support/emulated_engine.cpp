#include "tests/support/emulated_engine.h"

#include "host/engines/cuda/cuda_engine.h"

namespace lexiscope::testing {

std::unique_ptr<Engine> make_emulated_engine(ProductLibrary products) {
  return std::make_unique<cuda::CudaEngine>(cuda::CudaEngineOptions{
      .name = "cuda-emulated", .products = products, .block_sizes = cuda::BlockSizes::exact, .row_chunk_bytes = 4096});
}

}  // namespace lexiscope::testing
