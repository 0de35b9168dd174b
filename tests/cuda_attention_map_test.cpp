// The map's kernels however a head is cut: rows in runs of several blocks, cells that tiles cut, ranks that take
// several passes, every type. Weights are held to the reference; what is made of them, to these weights.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>
#include <vector>

#include "kernels/cuda/attention_map.h"
#include "kernels/cuda/attention_map_plan.h"
#include "lexiscope/engine.h"
#include "tests/support/compare.h"
#include "tests/support/device_heads.h"
#include "tests/support/product_bounds.h"

namespace lexiscope::testing {
namespace {

using cuda::Range;
using cuda::RowTiles;
using test::DeviceVector;

// ---- how rows are cut ----

TEST(CudaAttentionMapPlan, CoversEveryRowOnceInTilesThatFit) {
  for (const unsigned rows : {1u, 2u, 63u, 64u, 65u, 129u, 500u})
    for (const unsigned cells : {0u, 1u, 2u, 3u, 7u, 63u, 64u, 65u, 128u, 499u, 500u}) {
      if (cells > rows) continue;
      const RowTiles tiles(0, rows, cells, 64);
      unsigned next = 0;
      for (unsigned tile = 0; tile < tiles.count(); ++tile) {
        const Range range = tiles.rows_of(tile);
        EXPECT_EQ(range.begin, next) << rows << " rows, " << cells << " cells";
        EXPECT_LE(range.size(), 64u);
        next = range.end;
      }
      EXPECT_EQ(next, rows) << cells << " cells";
    }
}

TEST(CudaAttentionMapPlan, HoldsCellsWhollyOrLiesInOne) {
  for (const unsigned rows : {1u, 64u, 129u, 500u})
    for (const unsigned cells : {1u, 2u, 3u, 8u, 64u, 128u, 499u}) {
      if (cells > rows) continue;
      const RowTiles tiles(0, rows, cells, 64);
      for (unsigned cell = 0; cell < cells; ++cell) {
        const Range of_cell = tiles.tiles_of(cell), whole = cuda::range_of_cell(cell, cells, rows);
        EXPECT_EQ(of_cell.size() > 1, tiles.cuts_cells());
        for (unsigned i = whole.begin; i < whole.end; ++i) EXPECT_EQ(std::size_t{i} * cells / rows, cell);
        for (unsigned tile = of_cell.begin; tile < of_cell.end; ++tile) {
          EXPECT_LE(tiles.cells_of(tile).begin, cell);
          EXPECT_GT(tiles.cells_of(tile).end, cell);
        }
        EXPECT_LE(tiles.rows_of(of_cell.begin).begin, whole.begin);
        EXPECT_GE(tiles.rows_of(of_cell.end - 1).end, whole.end);
      }
    }
}

TEST(CudaAttentionMapPlan, KnowsTheSpanOfATile) {
  for (const unsigned tiles : {1u, 5u, 8u, 97u})
    for (unsigned spans = 1; spans <= tiles; ++spans)
      for (unsigned tile = 0; tile < tiles; ++tile) {
        const Range span = cuda::tiles_of_span(cuda::span_of_tile(tile, spans, tiles), spans, tiles);
        EXPECT_LE(span.begin, tile);
        EXPECT_GT(span.end, tile);
      }
}

// ---- the kernels ----

struct Case {
  std::size_t queries, keys, d, cells, top;
  unsigned spans;
  AttentionMask mask = AttentionMask::none;
};

struct Maps {
  DeviceVector<float> received, by_distance, pooled_mean, pooled_maximum, top_weight, rectangle;
  DeviceVector<std::int32_t> top_index;

  Maps(std::size_t heads, const Case& c)
      : received(std::vector<float>(heads * c.keys, NAN)),
        by_distance(std::vector<float>(heads * std::max(c.queries, c.keys), NAN)),
        pooled_mean(std::vector<float>(heads * c.cells * c.cells, NAN)),
        pooled_maximum(pooled_mean.values()),
        top_weight(std::vector<float>(heads * c.queries * c.top, NAN)),
        rectangle(std::vector<float>(heads * c.queries * c.keys, NAN)),
        top_index(std::vector<std::int32_t>(heads * c.queries * c.top, -2)) {}

  void ask(AttentionMapArgs& args, std::size_t heads, const Case& c) {
    const auto view = [&](auto& values, std::size_t rows, std::size_t columns) {
      const std::size_t extents[] = {heads, rows, columns};
      return dense_view<void>(values.data(), dtype_of<std::decay_t<decltype(*values.data())>>(), extents);
    };
    const std::size_t distances = std::max(c.queries, c.keys);
    args.received = {received.data(), heads, c.keys, c.keys};
    args.by_distance = {by_distance.data(), heads, distances, distances};
    args.pooled_mean = view(pooled_mean, c.cells, c.cells);
    args.pooled_maximum = view(pooled_maximum, c.cells, c.cells);
    args.top_index = view(top_index, c.queries, c.top);
    args.top_weight = view(top_weight, c.queries, c.top);
    args.rectangle = view(rectangle, c.queries, c.keys);
  }
};

class CudaAttentionMap : public ::testing::TestWithParam<std::tuple<DType, Case>> {
 protected:
  static constexpr std::size_t kHeads = 2;

  CudaAttentionMap()
      : dtype_(std::get<0>(GetParam())),
        c_(std::get<1>(GetParam())),
        query_(kHeads * c_.queries * c_.d),
        key_(c_.keys * c_.d) {
    query_ = in_type(random_normal(query_.size(), 1));
    key_ = in_type(random_normal(key_.size(), 2));
  }

  // Values that the type holds exactly.
  std::vector<float> in_type(std::vector<float> values) const {
    for (float& x : values)
      x = dtype_ == DType::f32 ? x : dtype_ == DType::bf16 ? from_bf16(to_bf16(x)) : __half2float(__float2half(x));
    return values;
  }

  // A score's absolute terms at most, scaled.
  double largest_spread() const {
    double largest = 0;
    for (std::size_t row = 0; row < kHeads * c_.queries; ++row)
      for (std::size_t j = 0; j < c_.keys; ++j) {
        double sum = 0;
        for (std::size_t k = 0; k < c_.d; ++k) sum += std::abs(double{query_[row * c_.d + k]} * key_[j * c_.d + k]);
        largest = std::max(largest, sum);
      }
    return largest * kScale;
  }

  void expect_reference_weights(const std::vector<float>& log_sum_exp, const std::vector<float>& got) const;
  void expect_sums(const Maps& got) const;
  void expect_ranks(const Maps& got) const;

  static constexpr float kScale = 0.25f;
  DType dtype_;
  Case c_;
  std::vector<float> query_, key_;
};

// As attention_map_test derives it, in u = 2^-24; the reference rounds once.
void CudaAttentionMap::expect_reference_weights(const std::vector<float>& log_sum_exp,
                                                const std::vector<float>& got) const {
  std::vector<float> want(got.size());
  const std::size_t query_shape[] = {kHeads, c_.queries, c_.d}, key_shape[] = {1, c_.keys, c_.d},
                    shape[] = {kHeads, c_.queries, c_.keys};
  make_engine("reference")
      ->attention_map({.query = dense_view<const void>(query_.data(), DType::f32, query_shape),
                       .key = dense_view<const void>(key_.data(), DType::f32, key_shape),
                       .scale = kScale,
                       .mask = c_.mask,
                       .log_sum_exp = {log_sum_exp.data(), kHeads, c_.queries, c_.queries},
                       .rectangle = dense_view<void>(want.data(), DType::f32, shape)});
  const double spread = largest_spread();
  double worst = 0;
  for (std::size_t at = 0; at < got.size(); ++at) {
    const double share = (sum_roundings(c_.d, dtype_) + 4) * spread + 4 * std::abs(log_sum_exp[at / c_.keys]) + 16;
    worst = std::max(worst, error_share(got[at], want[at], kUnitF32 * share * want[at] + 0x1p-126));
  }
  EXPECT_LE(worst, 1);
}

// Of n weights as they are: n additions, a division and a rounding in f32.
void CudaAttentionMap::expect_sums(const Maps& got) const {
  const std::size_t distances = std::max(c_.queries, c_.keys), cells = c_.cells;
  double worst = 0;
  const auto compare = [&](float value, double want, std::size_t terms) {
    worst = std::max(worst, error_share(value, want, static_cast<double>(terms + 3) * kUnitF32 * want));
  };
  for (std::size_t head = 0; head < kHeads; ++head) {
    std::vector<double> received(c_.keys), by_distance(distances), pooled(cells * cells);
    std::vector<std::size_t> pairs(cells * cells);
    std::vector<float> maxima(cells * cells);
    for (std::size_t i = 0; i < c_.queries; ++i)
      for (std::size_t j = 0; j < c_.keys; ++j) {
        const float weight = got.rectangle[(head * c_.queries + i) * c_.keys + j];
        const std::size_t at = i + c_.keys, diagonal = j + c_.queries;
        const std::size_t cell = i * cells / c_.queries * cells + j * cells / c_.keys;
        received[j] += weight;
        by_distance[at > diagonal ? at - diagonal : diagonal - at] += weight;
        pooled[cell] += weight;
        maxima[cell] = std::max(maxima[cell], weight);
        ++pairs[cell];
      }
    for (std::size_t j = 0; j < c_.keys; ++j) compare(got.received[head * c_.keys + j], received[j], c_.queries);
    for (std::size_t n = 0; n < distances; ++n)
      compare(got.by_distance[head * distances + n], by_distance[n], 2 * c_.queries);
    for (std::size_t cell = 0; cell < cells * cells; ++cell) {
      compare(got.pooled_mean[head * cells * cells + cell], pooled[cell] / static_cast<double>(pairs[cell]),
              pairs[cell]);
      EXPECT_EQ(got.pooled_maximum[head * cells * cells + cell], maxima[cell]) << cell;
    }
  }
  EXPECT_LE(worst, 1);
}

// The weights are of the same bits in every pass, so that the order is exact.
void CudaAttentionMap::expect_ranks(const Maps& got) const {
  for (std::size_t row = 0; row < kHeads * c_.queries; ++row) {
    const float* weights = got.rectangle.values().data() + row * c_.keys;
    std::vector<std::size_t> order;
    for (std::size_t j = 0; j < c_.keys; ++j)
      if (c_.mask == AttentionMask::none || j + c_.queries <= row % c_.queries + c_.keys) order.push_back(j);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return weights[a] > weights[b]; });
    for (std::size_t n = 0; n < c_.top; ++n) {
      EXPECT_EQ(got.top_index[row * c_.top + n], n < order.size() ? static_cast<int>(order[n]) : -1);
      EXPECT_EQ(got.top_weight[row * c_.top + n], n < order.size() ? weights[order[n]] : 0);
    }
  }
}

TEST_P(CudaAttentionMap, IsTheSameHoweverItIsCut) {
  const DeviceHeads query(query_, kHeads, c_.queries, c_.d, dtype_), key(key_, 1, c_.keys, c_.d, dtype_);
  std::vector<float> host_log_sum_exp(kHeads * c_.queries);
  for (std::size_t row = 0; row < host_log_sum_exp.size(); ++row)  // any will do: it only scales the weights
    host_log_sum_exp[row] = 4 + 0.01f * static_cast<float>(row % 100);
  DeviceVector<float> log_sum_exp(host_log_sum_exp);
  Maps got(kHeads, c_);
  AttentionMapArgs args{.query = query.view(),
                        .key = key.view(),
                        .scale = kScale,
                        .mask = c_.mask,
                        .log_sum_exp = {log_sum_exp.data(), kHeads, c_.queries, c_.queries}};
  got.ask(args, kHeads, c_);
  auto config = cuda::choose_attention_map_config(args, cudaDeviceProp{});
  config.spans = c_.spans;
  DeviceVector<std::uint32_t> workspace(
      std::vector<std::uint32_t>(cuda::attention_map_workspace(args, config) / 4, ~0u));
  cuda::attention_map(args, config, workspace.data(), nullptr);
  synchronize();
  expect_reference_weights(host_log_sum_exp, got.rectangle.values());
  expect_sums(got);
  expect_ranks(got);
}

// Cells of 129 rows, or of 64 and 65, in two and three tiles; cells of one row; ranks in one, two and five passes. In
// the last case a block has the end of a cell and the beginning of the next.
INSTANTIATE_TEST_SUITE_P(Cuts, CudaAttentionMap,
                         ::testing::Combine(::testing::Values(DType::f32, DType::bf16, DType::f16),
                                            ::testing::Values(Case{129, 70, 8, 1, 5, 1}, Case{129, 70, 8, 1, 5, 2},
                                                              Case{129, 140, 17, 2, 140, 3},
                                                              Case{129, 129, 16, 2, 33, 4, AttentionMask::causal},
                                                              Case{100, 230, 24, 100, 1, 2, AttentionMask::causal},
                                                              Case{200, 90, 72, 3, 32, 4})));

TEST(CudaAttentionMapAlone, GivesARectangleWithoutLookingElsewhere) {
  const std::size_t tokens = 150, d = 8, rows = 3, columns = 70;
  const auto values = random_normal(tokens * d, 3);
  const DeviceHeads heads(values, 1, tokens, d, DType::f32);
  DeviceVector<float> log_sum_exp(std::vector<float>(tokens, 3)), whole(tokens * tokens), part(rows * columns);
  const std::size_t whole_shape[] = {1, tokens, tokens}, part_shape[] = {1, rows, columns};
  AttentionMapArgs args{.query = heads.view(),
                        .key = heads.view(),
                        .scale = 0.3f,
                        .mask = AttentionMask::causal,
                        .log_sum_exp = {log_sum_exp.data(), 1, tokens, tokens},
                        .rectangle = dense_view<void>(whole.data(), DType::f32, whole_shape)};
  cudaDeviceProp device{};
  device.multiProcessorCount = 4;
  EXPECT_EQ(cuda::attention_map_workspace(args, cuda::choose_attention_map_config(args, device)), 0u);
  cuda::attention_map(args, cuda::choose_attention_map_config(args, device), nullptr, nullptr);
  args.first_query = 77;
  args.first_key = 31;
  args.rectangle = dense_view<void>(part.data(), DType::f32, part_shape);
  EXPECT_EQ(cuda::choose_attention_map_config(args, device).spans, 1u);
  cuda::attention_map(args, cuda::choose_attention_map_config(args, device), nullptr, nullptr);
  synchronize();
  for (std::size_t at = 0; at < part.values().size(); ++at)
    EXPECT_EQ(part[at], whole[(77 + at / columns) * tokens + 31 + at % columns]);
}

TEST(CudaAttentionMapMemory, GrowsNoFasterThanTheTokens) {
  cudaDeviceProp device{};
  device.multiProcessorCount = 132;
  const auto bytes = [&](std::size_t tokens) {
    alignas(16) static float memory[4];
    const std::size_t shape[] = {12, tokens, 64}, pooled[] = {12, 64, 64};
    AttentionMapArgs args{.query = dense_view<const void>(memory, DType::f32, shape),
                          .key = dense_view<const void>(memory, DType::f32, shape),
                          .received = {memory, 12, tokens, tokens},
                          .by_distance = {memory, 12, tokens, tokens},
                          .pooled_mean = dense_view<void>(memory, DType::f32, pooled)};
    return cuda::attention_map_workspace(args, cuda::choose_attention_map_config(args, device));
  };
  EXPECT_LE(bytes(1 << 16), 2 * bytes(1 << 15));
  EXPECT_LE(bytes(1 << 15), std::size_t{12} * (1 << 15) * 64 * 4 * 2);  // queries and keys
}

}  // namespace
}  // namespace lexiscope::testing
