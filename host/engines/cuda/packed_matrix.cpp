#include "host/engines/cuda/packed_matrix.h"

#include <cuda_bf16.h>

#include <algorithm>

namespace lexiscope::cuda {
namespace {

void convert_elements(const float* from, std::size_t count, float* to) { std::copy_n(from, count, to); }
void convert_elements(const float* from, std::size_t count, __nv_bfloat16* to) {
  std::transform(from, from + count, to, [](float value) { return __float2bfloat16_rn(value); });
}

/// Elements [first, first + piece.size() / sizeof(Element)) of the rows of `stride` elements that `weight` becomes.
template <typename Element>
void pack_piece(MatrixView<const float> weight, std::size_t stride, std::size_t first, std::span<std::byte> piece) {
  auto* to = reinterpret_cast<Element*>(piece.data());
  std::size_t left = piece.size() / sizeof(Element);
  for (std::size_t row = first / stride, column = first % stride; left > 0; ++row, column = 0) {
    const std::size_t here = std::min(left, stride - column);
    const std::size_t values = std::min(here, weight.columns - std::min(weight.columns, column));
    convert_elements(weight.row(row) + column, values, to);
    std::fill_n(to + values, here - values, Element(0.0f));
    to += here;
    left -= here;
  }
}

}  // namespace

CudaPackedMatrix::CudaPackedMatrix(MatrixView<const float> weight, DType precision, std::string_view engine,
                                   MemoryPool& pool, Stream& stream)
    : PackedMatrix(weight.rows, weight.columns, engine),
      weights_{.dtype = precision,
               .rows = weight.rows,
               .columns = weight.columns,
               .stride = packed_stride(weight.columns, precision)} {
  const std::size_t element = size_of(precision), bytes = weight.rows * weights_.stride * element;
  storage_ = pool.allocate(bytes);
  weights_.data = storage_.get();
  stream.copy_to_device(storage_.get(), bytes, [&](std::size_t first, std::span<std::byte> piece) {
    if (precision == DType::bf16)
      pack_piece<__nv_bfloat16>(weight, weights_.stride, first / element, piece);
    else
      pack_piece<float>(weight, weights_.stride, first / element, piece);
  });
}

}  // namespace lexiscope::cuda
