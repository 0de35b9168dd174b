// The engine's device and memory. What it computes is in operations.cpp.
#include "host/engines/cuda/cuda_engine.h"

#include <cublasLt.h>
#include <cufft.h>
#include <cusolver_common.h>

#include "host/core/require.h"
#include "host/engines/cuda/linear_algebra.h"
#include "host/engines/cuda/packed_matrix.h"
#include "host/engines/cuda/row_stream.h"
#include "kernels/cuda/cublas_lt_product.h"

namespace lexiscope::cuda {
namespace {

std::size_t bytes_of(const ConstTensorView& view) { return view.elements() * size_of(view.dtype); }

std::size_t bytes_of(DType dtype, std::span<const std::size_t> shape) {
  std::size_t bytes = size_of(dtype);
  for (const std::size_t extent : shape)
    if (__builtin_mul_overflow(bytes, extent, &bytes))
      fail(ErrorCode::kOutOfMemory, "out of device memory: a tensor's size overflows");
  return bytes;
}

// Libraries count their versions as major 10000 (or 1000) + minor 100 + patch.
std::string version_text(int version, int major_unit) {
  return fmt::format("{}.{}.{}", version / major_unit, version % major_unit / 100, version % 100);
}

// Results may differ in their last bits from one version to the next, so a run names them.
std::string library_versions() {
  int transforms = 0, solver = 0;
  cufftGetVersion(&transforms);
  cusolverGetVersion(&solver);
  return fmt::format("cuBLAS {}, cuFFT {}, cuSOLVER {}", version_text(static_cast<int>(cublasLtGetVersion()), 10000),
                     version_text(transforms, 1000), version_text(solver, 1000));
}

std::string_view products_text(ProductLibrary products) {
  switch (products) {
    case ProductLibrary::automatic:
      return ", large products by cuBLASLt";
    case ProductLibrary::own:
      return ", products by own kernels";
    case ProductLibrary::cublas_lt:
      return ", products by cuBLASLt";
  }
  return "";
}

}  // namespace

CudaEngine::CudaEngine(const CudaEngineOptions& options)
    : options_(options),
      device_(std::make_shared<Device>(options.device)),
      pool_(std::make_shared<MemoryPool>(device_, options.block_sizes)),
      stream_(std::make_shared<Stream>(device_)) {}

CudaEngine::~CudaEngine() = default;

std::string CudaEngine::description() const {
  const cudaDeviceProp& device = device_->properties();
  return fmt::format("{}, compute capability {}.{}, {} multiprocessors, {:.0f} GB, {}{}", device.name, device.major,
                     device.minor, device.multiProcessorCount, static_cast<double>(device.totalGlobalMem) / 1e9,
                     library_versions(), products_text(options_.products));
}

Tensor CudaEngine::allocate(DType dtype, std::span<const std::size_t> shape) {
  require(shape.size() <= kMaxRank, "tensor: rank {} is more than {}", shape.size(), kMaxRank);
  const std::size_t bytes = bytes_of(dtype, shape);
  std::shared_ptr<void> storage = pool_->allocate(bytes);
  stream_->fill_with_zeros(storage.get(), bytes);
  const TensorView view = dense_view(storage.get(), dtype, shape);
  return {std::move(storage), view};
}

void CudaEngine::do_copy_to_engine(ConstTensorView host, TensorView engine) {
  device_->enter();
  stream_->copy_to_device(engine.data, {static_cast<const std::byte*>(host.data), bytes_of(host)});
}

void CudaEngine::do_copy_to_host(ConstTensorView engine, TensorView host) {
  device_->enter();
  stream_->copy_to_host({static_cast<std::byte*>(host.data), bytes_of(host)}, engine.data);
}

std::unique_ptr<PackedMatrix> CudaEngine::do_pack(MatrixView<const float> weight, DType precision) {
  device_->enter();
  return std::make_unique<CudaPackedMatrix>(weight, precision, name(), *pool_, *stream_);
}

}  // namespace lexiscope::cuda
