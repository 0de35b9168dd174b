// Products in f32 on tiles of bf16: by the manual's tiles on every processor, and by those of the processor that has
// them, with the same bits.
#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <cmath>
#include <tuple>
#include <vector>

#include "host/core/host_memory.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/tile_product-inl.h"
#include "tests/support/compare.h"
#include "tests/support/product_bounds.h"
#include "tests/support/software_tiles.h"

namespace lexiscope::testing {
namespace {

using namespace cpu;
namespace tile_product = cpu::HWY_NAMESPACE::tile_product;

// Memory for a thread's scratch.
class Scratch {
 public:
  TileScratch get() {
    WorkspaceCutter cutter(reinterpret_cast<std::byte*>(memory_.vector<float>().data));
    return TileScratch(cutter);
  }

 private:
  Tensor memory_ = allocate_host_tensor(DType::f32, std::vector{TileScratch::bytes() / sizeof(float)});
};

struct Problem {
  std::size_t rows, in, out;
  std::vector<float> x, weight;
  PackedWeights packed;
  Tensor storage, parts;

  Problem(std::size_t rows_, std::size_t in_, std::size_t out_)
      : rows(rows_), in(in_), out(out_), x(random_normal(rows * in, 1)), weight(random_normal(out * in, 2)) {
    packed = {.out = out, .in = in};
    storage = allocate_host_tensor(DType::f32, std::vector{packed.size()});
    float* const data = storage.vector<float>().data;
    pack_weights({weight.data(), out, in, in}, packed, data, 1);
    packed.data = data;
    parts = allocate_host_tensor(DType::bf16, std::vector{size_of_parts(packed)});
    split_weights(packed, static_cast<std::uint16_t*>(parts.view().data), 2);
  }

  // x times all columns, in tasks of `panels` pairs of tiles: [rows, out].
  template <typename Tiles>
  std::vector<float> run(const Tiles& tiles, bool keep_parts, std::size_t panels) const {
    PackedWeights weights = packed;
    if (keep_parts) weights.parts = static_cast<const std::uint16_t*>(parts.view().data);
    Scratch memory;
    TileScratch scratch = memory.get();
    std::vector<float> y(rows * out);
    for (std::size_t first = 0; first < tile_pairs(out); first += panels) {
      const Task task{0, rows, first, std::min(tile_pairs(out), first + panels)};
      tile_product::multiply_task(tiles, {x.data(), rows, in, in}, weights, task, scratch);
      const std::size_t column = first * kTilePair, stride = task.panels() * kTilePair;
      for (std::size_t t = 0; t < rows; ++t)
        std::copy_n(scratch.sums + t * stride, std::min(out - column, stride), y.data() + t * out + column);
    }
    return y;
  }
};

class TileProduct : public ::testing::TestWithParam<std::tuple<std::size_t, std::size_t, std::size_t>> {};

TEST_P(TileProduct, AgreesWithDouble) {
  const auto [rows, in, out] = GetParam();
  const Problem problem(rows, in, out);
  const std::vector<float> y = problem.run(SoftwareTiles(), true, 3);
  double worst = 0;
  for (std::size_t t = 0; t < rows; ++t)
    for (std::size_t j = 0; j < out; ++j) {
      double want = 0, magnitude = 0;
      for (std::size_t k = 0; k < in; ++k) {
        const double product = double{problem.x[t * in + k]} * problem.weight[j * in + k];
        want += product, magnitude += std::abs(product);
      }
      worst = std::max(worst, error_share(y[t * out + j], want, tile_roundings(in) * kUnitF32 * magnitude));
    }
  EXPECT_LE(worst, 1.0);
  EXPECT_EQ(problem.run(SoftwareTiles(), false, 5), y) << "parts made for the task";
  if (tiles_present()) {
    EXPECT_EQ(problem.run(HardwareTiles(), true, 1), y);
    EXPECT_EQ(problem.run(HardwareTiles(), false, 2), y);
  }
}

INSTANTIATE_TEST_SUITE_P(OddShapes, TileProduct,
                         ::testing::Combine(::testing::Values(1, 33, 128), ::testing::Values(1, 31, 33, 384, 500),
                                            ::testing::Values(1, 48, 97, 384)));
INSTANTIATE_TEST_SUITE_P(Deep, TileProduct,
                         ::testing::Combine(::testing::Values(33), ::testing::Values(1601), ::testing::Values(48)));

// The sum of the three parts is the number, and each is a bf16.
TEST(TileProduct, SplitsANumberExactly) {
  std::vector<float> x = random_normal(kTileDepth * 64, 3);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::ldexp(x[i], static_cast<int>(i % 200) - 100);
  x[0] = 0, x[1] = 1, x[2] = std::nextafter(2.0f, 0.0f), x[3] = -std::nextafter(1.0f, 2.0f), x[4] = 0x1.01p0f;
  Scratch memory;
  const TileScratch scratch = memory.get();
  tile_product::split_rows({x.data(), 64, kTileDepth, kTileDepth}, scratch.x);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t row = i / kTileDepth, k = i % kTileDepth;
    const std::uint16_t* tile =
        scratch.x.at(row / kTilePair, 0) + row / kTileSide % 2 * kTileBlock + row % kTileSide * kTileDepth;
    const std::size_t place = k % kTileSide * 2 + k / kTileSide;
    double sum = 0;
    float part[kParts];
    for (std::size_t p = 0; p < kParts; ++p) {
      part[p] = std::bit_cast<float>(std::uint32_t{tile[p * kTileElements + place]} << 16);
      sum += part[p];
    }
    EXPECT_EQ(sum, x[i]);
    EXPECT_LE(std::abs(part[1]), 0x1.0001p-8f * std::abs(x[i])) << x[i];
    EXPECT_LE(std::abs(part[2]), 0x1.0002p-16f * std::abs(x[i])) << x[i];
  }
}

}  // namespace
}  // namespace lexiscope::testing
