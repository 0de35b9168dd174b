// An engine's memory: allocation, and copies between it and the host's.
#include <algorithm>
#include <cstring>

#include "host/core/require.h"
#include "host/engines/engines.h"

namespace lexiscope {
namespace {

bool is_dense(const ConstTensorView& view) {
  std::size_t stride = 1;
  for (std::size_t axis = view.rank; axis-- > 0; stride *= view.shape[axis])
    if (view.shape[axis] > 1 && view.strides[axis] != stride) return false;
  return true;
}

void require_alike(std::string_view operation, const ConstTensorView& from, const ConstTensorView& to) {
  require(from.dtype == to.dtype, "{}: the views hold {} and {}, need to hold the same", operation, name_of(from.dtype),
          name_of(to.dtype));
  require(from.rank == to.rank && std::equal(from.shape.begin(), from.shape.begin() + from.rank, to.shape.begin()),
          "{}: the views differ in shape, {} elements and {}", operation, from.elements(), to.elements());
  require(is_dense(from) && is_dense(to), "{}: a view is not dense", operation);
  require((!from.empty() && !to.empty()) || from.elements() == 0, "{}: {} elements with no memory", operation,
          from.elements());
}

void copy_dense(const ConstTensorView& from, const TensorView& to) {
  std::memcpy(to.data, from.data, from.elements() * size_of(from.dtype));
}

}  // namespace

void Engine::copy_to_engine(ConstTensorView host, TensorView engine) {
  require_alike("copy_to_engine", host, engine);
  if (host.elements() > 0) do_copy_to_engine(host, engine);
}

void Engine::copy_to_host(ConstTensorView engine, TensorView host) {
  require_alike("copy_to_host", engine, host);
  if (host.elements() > 0) do_copy_to_host(engine, host);
}

Tensor HostEngine::allocate(DType dtype, std::span<const std::size_t> shape) {
  return allocate_host_tensor(dtype, shape);
}

void HostEngine::do_copy_to_engine(ConstTensorView host, TensorView engine) { copy_dense(host, engine); }

void HostEngine::do_copy_to_host(ConstTensorView engine, TensorView host) { copy_dense(engine, host); }

}  // namespace lexiscope
