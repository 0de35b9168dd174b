// Rows of x against panels of packed weights: the product under linear and gelu_mlp. The rows of a tile are broadcast
// word by word, its lanes are output columns, so that x needs no packing (but rounding, for weights in bf16) and y
// comes out row-major. Every element of y is a sum over blocks of the contraction, each a chain of multiply-adds in its
// order, whatever the tile or thread: shorter chains than one through all blocks, and so less rounding.
#if defined(LEXISCOPE_KERNELS_CPU_PANEL_PRODUCT_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LEXISCOPE_KERNELS_CPU_PANEL_PRODUCT_INL_H
#undef LEXISCOPE_KERNELS_CPU_PANEL_PRODUCT_INL_H
#else
#define LEXISCOPE_KERNELS_CPU_PANEL_PRODUCT_INL_H
#endif

#include <hwy/highway.h>

#include "kernels/cpu/context.h"
#include "kernels/cpu/gelu-inl.h"
#include "kernels/cpu/packed_weights.h"
#include "kernels/cpu/partial_vector-inl.h"
#include "kernels/cpu/product_config.h"
#include "kernels/cpu/tile_product-inl.h"
#include "kernels/cpu/word_product-inl.h"
#include "lexiscope/ops/linear.h"

#if HWY_TARGET == HWY_AVX3_DL  // for Bf16Native
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512bf16")
#else
HWY_BEFORE_NAMESPACE();
#endif
namespace lexiscope::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr std::size_t kLanes = hn::MaxLanes(F32());
// Sums of a tile stay in registers: 8 x 3 of the 32 there are with AVX-512, 4 x 3 of the 16 before it.
inline constexpr std::size_t kTileVectors = 3, kTileRows = kLanes == 16 ? 8 : 4;
inline constexpr std::size_t kStrip = kTileVectors * kLanes;  // a panel is one or several strips
static_assert(kPanelColumns % kStrip == 0);
inline constexpr std::size_t kStepsAhead = 24;  // of the weights prefetched into the first-level cache
inline constexpr std::size_t kLine = 64 / sizeof(float);

// Memory to bring into the second-level cache while a tile is computed: two lines a step.
struct Prefetch {
  const float* from;
  std::size_t step;  // floats; 0 keeps to one place, for nothing to do
};

// sums[i][j] (+)= sum over k of x[i][k] * weights[k][j], i < kRows, j < kStrip, over words k.
template <typename Product, std::size_t kRows>
HWY_NOINLINE void multiply_tile(MatrixView<const float> x, const float* HWY_RESTRICT weights, Prefetch prefetch,
                                bool accumulate, float* HWY_RESTRICT sums, std::size_t sums_stride) {
  const F32 f32;
  hn::Vec<F32> sum[kRows][kTileVectors];
  for (std::size_t i = 0; i < kRows; ++i)
    for (std::size_t v = 0; v < kTileVectors; ++v) sum[i][v] = hn::Zero(f32);
  const float* HWY_RESTRICT row = x.data;
  for (std::size_t k = 0; k < x.columns; ++k, weights += kPanelColumns, prefetch.from += prefetch.step) {
    hn::Vec<F32> weight[kTileVectors];
    for (std::size_t v = 0; v < kTileVectors; ++v) {
      weight[v] = hn::Load(f32, weights + v * kLanes);
      if constexpr (kStrip >= kLine) __builtin_prefetch(weights + kStepsAhead * kPanelColumns + v * kLanes, 0, 3);
    }
    __builtin_prefetch(prefetch.from, 0, 2);
    __builtin_prefetch(prefetch.from + kLine, 0, 2);
    for (std::size_t i = 0; i < kRows; ++i) {
      const auto element = hn::Set(f32, row[i * x.stride + k]);
      for (std::size_t v = 0; v < kTileVectors; ++v) sum[i][v] = Product::multiply_add(element, weight[v], sum[i][v]);
    }
  }
  for (std::size_t i = 0; i < kRows; ++i)
    for (std::size_t v = 0; v < kTileVectors; ++v) {
      float* const to = sums + i * sums_stride + v * kLanes;
      hn::Store(accumulate ? hn::Add(hn::Load(f32, to), sum[i][v]) : sum[i][v], f32, to);
    }
}

// multiply_tile for x.rows <= kRows.
template <typename Product, std::size_t kRows = kTileRows>
HWY_INLINE void multiply_rows(MatrixView<const float> x, const float* weights, Prefetch prefetch, bool accumulate,
                              float* sums, std::size_t sums_stride) {
  if (x.rows == kRows)
    multiply_tile<Product, kRows>(x, weights, prefetch, accumulate, sums, sums_stride);
  else if constexpr (kRows > 1)
    multiply_rows<Product, kRows - 1>(x, weights, prefetch, accumulate, sums, sums_stride);
}

// sums[rows][48] (+)= x times one block of one panel, x being the words of the operand's columns of the block.
template <typename Product>
void multiply_words(MatrixView<const float> x, const PackedWeights& weights, std::size_t block, std::size_t panel,
                    bool accumulate, float* sums, std::size_t sums_stride) {
  const float* panel_weights = weights.at(block, panel);
  const float* next = panel + 1 < weights.panels() ? weights.at(block, panel + 1) : nullptr;
  std::size_t to_fetch = next ? x.columns * kPanelColumns : 0;
  for (std::size_t first = 0; first < x.rows; first += kTileRows) {
    const auto rows = x.rows_from(first, std::min(kTileRows, x.rows - first));
    for (std::size_t strip = 0; strip < kPanelColumns; strip += kStrip) {
      const Prefetch prefetch = to_fetch > 0 ? Prefetch{next, 2 * kLine} : Prefetch{panel_weights, 0};
      multiply_rows<Product>(rows, panel_weights + strip, prefetch, accumulate, sums + first * sums_stride + strip,
                             sums_stride);
      const std::size_t fetched = std::min(to_fetch, 2 * kLine * x.columns);
      next += fetched;
      to_fetch -= fetched;
    }
  }
}

// Words of two elements each; an odd last one stands beside 0.
inline void round_row(const float* HWY_RESTRICT x, std::size_t count, float* HWY_RESTRICT words) {
  for (std::size_t k = 0; k + 1 < count; k += 2) words[k / 2] = bf16_word(x[k], x[k + 1]);
  if (count % 2 != 0) words[count / 2] = bf16_word(x[count - 1], 0);
}

// The same from x in f32, at most kRowsPerBlock rows of the operand's columns of the block. In bf16 it is rounded for
// each panel again: a tenth of the work, and no buffer between panels.
inline void multiply_block(MatrixView<const float> x, const PackedWeights& weights, std::size_t block,
                           std::size_t panel, bool accumulate, float* sums, std::size_t sums_stride) {
  if (weights.steps_in_word == 1)
    return multiply_words<F32Product>(x, weights, block, panel, accumulate, sums, sums_stride);
  alignas(kAlignment) float words[kRowsPerBlock * kBlockDepth / 2];
  const MatrixView<float> rounded{words, x.rows, weights.words(block), kBlockDepth / 2};
  for (std::size_t row = 0; row < x.rows; ++row) round_row(x.row(row), x.columns, rounded.row(row));
#if HWY_TARGET == HWY_AVX3_DL
  static const bool has_bf16_products = __builtin_cpu_supports("avx512bf16");
  if (has_bf16_products)
    return multiply_words<Bf16Native>(rounded, weights, block, panel, accumulate, sums, sums_stride);
#endif
  multiply_words<Bf16Product>(rounded, weights, block, panel, accumulate, sums, sums_stride);
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {

// What happens to the sums on their way into y: y = activation(sums + bias) * factor + residual, on
// [y.rows, y.columns].
struct Finish {
  const float* bias;  // [y.columns], or null
  Activation activation;
  MatrixView<const float> factor;    // or empty; may be y
  MatrixView<const float> residual;  // or empty; may be y
  MatrixView<float> y;
};

template <Activation activation>
void finish_as(const float* sums, std::size_t sums_stride, const Finish& finish) {
  const F32 f32;
  for (std::size_t t = 0; t < finish.y.rows; ++t)
    for (std::size_t j = 0; j < finish.y.columns; j += kLanes) {
      const std::size_t count = finish.y.columns - j;
      auto value = hn::Load(f32, sums + t * sums_stride + j);
      if (finish.bias) value = hn::Add(value, load_first(f32, finish.bias + j, count));
      value = activate<activation>(f32, value);
      if (!finish.factor.empty()) value = hn::Mul(value, load_first(f32, finish.factor.row(t) + j, count));
      if (!finish.residual.empty()) value = hn::Add(value, load_first(f32, finish.residual.row(t) + j, count));
      store_first(value, f32, finish.y.row(t) + j, count);
    }
}

HWY_INLINE void finish_sums(const float* sums, std::size_t sums_stride, const Finish& finish) {
  switch (finish.activation) {
    case Activation::none:
      return finish_as<Activation::none>(sums, sums_stride, finish);
    case Activation::gelu_erf:
      return finish_as<Activation::gelu_erf>(sums, sums_stride, finish);
    case Activation::gelu_tanh:
      return finish_as<Activation::gelu_tanh>(sums, sums_stride, finish);
    case Activation::silu:
      return finish_as<Activation::silu>(sums, sums_stride, finish);
  }
}

template <typename Element>
HWY_INLINE MatrixView<Element> columns_from(MatrixView<Element> view, std::size_t first, std::size_t count) {
  return view.empty() ? view : MatrixView<Element>{view.data + first, view.rows, count, view.stride};
}

// One panel of y = activation(x W^T + bias) + residual for at most kRowsPerBlock rows; `finish` has the panel's
// columns.
inline void linear_panel(MatrixView<const float> x, const PackedWeights& weights, std::size_t panel,
                         const Finish& finish) {
  alignas(kAlignment) float sums[kRowsPerBlock * kPanelColumns];
  for (std::size_t block = 0; block < weights.blocks(); ++block)
    multiply_block(columns_from(x, block * kBlockDepth, weights.depth(block)), weights, block, panel, block > 0, sums,
                   kPanelColumns);
  finish_sums(sums, kPanelColumns, finish);
}

// What a linear layer does to the sums of some rows and columns: y = activation(sums + bias) * factor + residual, where
// factor [T, out] may be y, or empty for none.
inline Finish finish_of(const LinearArgs& args, MatrixView<const float> factor, std::size_t first_row, std::size_t rows,
                        std::size_t first_column, std::size_t columns) {
  const auto part_of = [=](auto view) {
    return view.empty() ? view : columns_from(view.rows_from(first_row, rows), first_column, columns);
  };
  return {.bias = args.bias.empty() ? nullptr : args.bias.data + first_column,
          .activation = args.activation,
          .factor = part_of(factor),
          .residual = part_of(args.residual),
          .y = part_of(args.y)};
}

// The rows and panels of one task of a linear layer. args.weight is not read.
inline void linear_task(const LinearArgs& args, const PackedWeights& weights, MatrixView<const float> factor,
                        Task task) {
  for (std::size_t panel = task.first_panel; panel < task.last_panel; ++panel)
    for (std::size_t t = task.first_row; t < task.last_row; t += kRowsPerBlock) {
      const std::size_t rows = std::min(kRowsPerBlock, task.last_row - t);
      linear_panel(args.x.rows_from(t, rows), weights, panel,
                   finish_of(args, factor, t, rows, panel * kPanelColumns, weights.columns(panel)));
    }
}

// linear_task on tiles.
inline void linear_tile_task(const LinearArgs& args, const PackedWeights& weights, MatrixView<const float> factor,
                             Task task, TileScratch& scratch) {
  const HardwareTiles tiles;
  tile_product::multiply_task(tiles, args.x.rows_from(task.first_row, task.rows()), weights, task, scratch);
  const std::size_t column = task.first_panel * kTilePair, stride = task.panels() * kTilePair;
  finish_sums(scratch.sums, stride,
              finish_of(args, factor, task.first_row, task.rows(), column, std::min(weights.out - column, stride)));
}

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
