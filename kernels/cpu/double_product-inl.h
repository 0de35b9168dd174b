// Products in double of matrices that arrive in f32: packing into slivers, and the register tile that multiplies two
// of them. Covariance, projection and cosine_statistics are three uses of it. Included once for each SIMD target.
#if defined(LEXISCOPE_KERNELS_CPU_DOUBLE_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LEXISCOPE_KERNELS_CPU_DOUBLE_PRODUCT_INL_H_
#undef LEXISCOPE_KERNELS_CPU_DOUBLE_PRODUCT_INL_H_
#else
#define LEXISCOPE_KERNELS_CPU_DOUBLE_PRODUCT_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>

#include "kernels/cpu/double_product.h"
#include "lexiscope/tensor.h"

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F64 = hn::ScalableTag<double>;
using F32Half = hn::Rebind<float, F64>;  // as many floats as doubles fill a vector

// The register tile: left values are broadcast, right values fill vectors. 8 x 3 sums and what feeds them fit the 32
// registers of AVX-512, 4 x 3 the 16 of AVX2. Both widths divide kSliverMultiple.
constexpr std::size_t kLanes = hn::MaxLanes(F64());
constexpr std::size_t kLeftWidth = HWY_TARGET <= HWY_AVX3 ? 8 : 4;
constexpr std::size_t kRightVectors = 3;
constexpr std::size_t kRightWidth = kRightVectors * kLanes;
static_assert(kSliverMultiple % kLeftWidth == 0 && kSliverMultiple % kRightWidth == 0 && kLeftWidth % kLanes == 0);

// Packs columns [first, first + count) of `rows`, less their mean where there is one, as slivers of kWidth columns:
// packed[sliver][row][column]. Columns that fill up the last sliver are zero. Sliver after sliver, so that stores are
// consecutive: rows first, they would all fall into the same few sets of the cache.
template <std::size_t kWidth>
HWY_INLINE void pack_columns(MatrixView<const float> rows, const double* mean, std::size_t first, std::size_t count,
                             double* HWY_RESTRICT packed) {
  const F64 f64;
  const F32Half f32;
  for (const std::size_t end = first + count; first < end; first += kWidth) {
    const std::size_t columns = std::min(kWidth, end - first), whole = columns - columns % kLanes;
    for (std::size_t k = 0; k < rows.rows; ++k, packed += kWidth) {
      const float* x = rows.row(k) + first;
      for (std::size_t i = 0; i < whole; i += kLanes) {
        const auto value = hn::PromoteTo(f64, hn::LoadU(f32, x + i));
        hn::Store(mean ? hn::Sub(value, hn::LoadU(f64, mean + first + i)) : value, f64, packed + i);
      }
      for (std::size_t i = whole; i < columns; ++i) packed[i] = x[i] - (mean ? mean[first + i] : 0.0);
      for (std::size_t i = columns; i < kWidth; ++i) packed[i] = 0;
    }
  }
}

// Packs the transpose of `rows`, so that a product runs along the columns: packed[sliver][column][row], slivers of
// kWidth rows. Rows that fill up the last sliver are zero.
template <std::size_t kWidth, typename Element>
HWY_INLINE void pack_rows(MatrixView<const Element> rows, const double* mean, double* HWY_RESTRICT packed) {
  for (std::size_t first = 0; first < rows.rows; first += kWidth, packed += kWidth * rows.columns) {
    const std::size_t count = std::min(kWidth, rows.rows - first);
    for (std::size_t r = 0; r < count; ++r) {
      const Element* x = rows.row(first + r);
      for (std::size_t a = 0; a < rows.columns; ++a)
        packed[a * kWidth + r] = static_cast<double>(x[a]) - (mean ? mean[a] : 0.0);
    }
    for (std::size_t r = count; r < kWidth; ++r)
      for (std::size_t a = 0; a < rows.columns; ++a) packed[a * kWidth + r] = 0;
  }
}

// tile[r][c] += sum over k of left[k][r] * right[k][c], for all kLeftWidth rows and the first kVectors vectors of
// columns. The sum over k starts from 0 and is added last, so that long sums are summed in pieces.
template <std::size_t kVectors>
HWY_INLINE void multiply_vectors(const double* HWY_RESTRICT left, const double* HWY_RESTRICT right, std::size_t depth,
                                 double* HWY_RESTRICT tile, std::size_t stride) {
  const F64 f64;
  hn::Vec<F64> sums[kLeftWidth][kVectors];
  HWY_UNROLL(8)
  for (std::size_t r = 0; r < kLeftWidth; ++r)
    HWY_UNROLL(3) for (std::size_t v = 0; v < kVectors; ++v) sums[r][v] = hn::Zero(f64);
  for (std::size_t k = 0; k < depth; ++k) {
    hn::Vec<F64> columns[kVectors];
    HWY_UNROLL(3)
    for (std::size_t v = 0; v < kVectors; ++v) columns[v] = hn::Load(f64, right + k * kRightWidth + v * kLanes);
    HWY_UNROLL(8) for (std::size_t r = 0; r < kLeftWidth; ++r) {
      const auto row = hn::Set(f64, left[k * kLeftWidth + r]);
      HWY_UNROLL(3) for (std::size_t v = 0; v < kVectors; ++v) sums[r][v] = hn::MulAdd(row, columns[v], sums[r][v]);
    }
  }
  HWY_UNROLL(8) for (std::size_t r = 0; r < kLeftWidth; ++r) HWY_UNROLL(3) for (std::size_t v = 0; v < kVectors; ++v) {
    double* place = tile + r * stride + v * kLanes;
    hn::StoreU(hn::Add(hn::LoadU(f64, place), sums[r][v]), f64, place);
  }
}

// The same for slivers of which the right one holds only `columns` columns: vectors without any are left out.
HWY_INLINE void multiply_slivers(const double* left, const double* right, std::size_t depth, std::size_t columns,
                                 double* tile, std::size_t stride) {
  if (columns > 2 * kLanes)
    multiply_vectors<3>(left, right, depth, tile, stride);
  else if (columns > kLanes)
    multiply_vectors<2>(left, right, depth, tile, stride);
  else
    multiply_vectors<1>(left, right, depth, tile, stride);
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LEXISCOPE_KERNELS_CPU_DOUBLE_PRODUCT_INL_H_
