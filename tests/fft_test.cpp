// The batched FFT against a direct DFT, and the convolution on a grid against a direct sum, at all kinds of lengths.
#include "kernels/cpu/fft.h"

#include <gtest/gtest.h>

#include <complex>
#include <numbers>
#include <set>

#include "host/core/host_memory.h"
#include "kernels/cpu/grid_convolution.h"
#include "tests/support/compare.h"
#include "tests/support/engines.h"

namespace lexiscope::cpu {
namespace {

using testing::kUnitF32;

class Fft : public ::testing::TestWithParam<std::string> {};

std::vector<float> aligned_random(HostWorkspace& memory, std::size_t count, unsigned seed, float** data) {
  *data = reinterpret_cast<float*>(memory.reserve(count * sizeof(float)).data());
  auto values = testing::random_normal(count, seed);
  std::copy(values.begin(), values.end(), *data);
  return values;
}

// Passes: radix at most 5, each adding at most 8 roundings relative to the root of the sum of squares; log4(n) + 4 of
// them. The direct DFT in double is exact beside that.
TEST_P(Fft, AgreesWithTheDirectTransform) {
  testing::make_test_engine(GetParam());  // narrows the process to the target
  const std::size_t lanes = fft_lanes();
  std::set<int> lengths;
  for (int length = 1; length <= 800; length += 7) lengths.insert(fft_length(length));
  for (const int length : lengths) {
    const auto n = static_cast<std::size_t>(length), size = n * lanes;
    HostWorkspace twiddles, memory[4];
    const FftPlan plan = make_fft_plan(
        length, reinterpret_cast<float*>(twiddles.reserve(fft_twiddle_count(length) * sizeof(float)).data()));
    float* arrays[4];
    const auto re = aligned_random(memory[0], size, 1, &arrays[0]), im = aligned_random(memory[1], size, 2, &arrays[1]);
    aligned_random(memory[2], size, 3, &arrays[2]);
    aligned_random(memory[3], size, 4, &arrays[3]);
    const bool moved = fft(plan, arrays[0], arrays[1], arrays[2], arrays[3]);
    const float* out_re = arrays[moved ? 2 : 0];
    const float* out_im = arrays[moved ? 3 : 1];
    const std::size_t lane = static_cast<std::size_t>(length) / 16 % lanes;
    double squares = 0;
    for (std::size_t j = 0; j < n; ++j)
      squares += std::pow(re[j * lanes + lane], 2) + std::pow(im[j * lanes + lane], 2);
    const double bound = 8 * kUnitF32 * (plan.passes + 1) * std::sqrt(squares);
    for (std::size_t k = 0; k < n; k += 1 + k / 8) {
      std::complex<double> want = 0;
      for (std::size_t j = 0; j < n; ++j)
        want += std::complex<double>(re[j * lanes + lane], im[j * lanes + lane]) *
                std::polar(1.0, -2 * std::numbers::pi * static_cast<double>(j * k % n) / length);
      ASSERT_NEAR(out_re[k * lanes + lane], want.real(), bound) << "length " << length << ", k " << k;
      ASSERT_NEAR(out_im[k * lanes + lane], want.imag(), bound) << "length " << length << ", k " << k;
    }
  }
}

TEST(FftLength, IsTheSmallestOfSixteenTimesTwosThreesAndFives) {
  EXPECT_EQ(fft_length(1), 16);
  EXPECT_EQ(fft_length(16), 16);
  EXPECT_EQ(fft_length(17), 32);
  EXPECT_EQ(fft_length(97), 128);  // 112 is 16 times 7
  EXPECT_EQ(fft_length(700), 720);
}

double kernel(double x, double y, double z) { return 1 / (1 + x * x + 2 * y * y + 3 * z * z); }

// Values of about 1 times kernels of at most 1: three transforms there and back, each as above, relative to the root of
// the sum of the squares of the values times the sum of the kernel.
void check_convolution(const GridShape& shape) {
  const Context context{.threads = 2, .workspace = {}};
  WorkspaceCutter counter(nullptr);
  cut_grid_convolution(counter, shape, 2);
  HostWorkspace memory;
  const auto bytes = memory.reserve(counter.used());
  std::fill(bytes.begin(), bytes.end(), std::byte{0xff});  // NaN: what is not written must not be read
  WorkspaceCutter cutter(bytes.data());
  GridConvolution g = cut_grid_convolution(cutter, shape, 2);
  set_grid_kernel(
      g, kernel, [](double) { return 1.0; }, context);

  std::fill_n(g.grid, g.grid_floats(), 0.0f);
  const auto at = [&](int x, int y, int z) {
    return static_cast<std::size_t>(z) * g.plane() * (shape.dimensions == 3) + static_cast<std::size_t>(y) * g.stride +
           static_cast<std::size_t>(x);
  };
  struct Charge {
    int x, y, z;
    float value;
  };
  std::vector<Charge> charges;
  std::mt19937 random(9);
  const auto node = [&](std::size_t axis) {
    return static_cast<int>(random() % static_cast<unsigned>(shape.nodes[axis]));
  };
  for (int k = 0; k < 20; ++k) {
    const Charge charge{node(0), node(1), node(2), static_cast<float>(random() % 1000) / 500 - 1};
    charges.push_back(charge);
    g.grid[at(charge.x, charge.y, charge.z)] += charge.value;
  }
  convolve_grid(g, context);
  for (int k = 0; k < 200; ++k) {
    const int x = node(0), y = node(1), z = node(2);
    double want = 0;
    for (const Charge& charge : charges) want += charge.value * kernel(charge.x - x, charge.y - y, charge.z - z);
    const double sizes = std::sqrt(20.0) * 16;  // of the values, and of the kernel's sum
    ASSERT_NEAR(g.grid[at(x, y, z)], want, 6 * 8 * 8 * kUnitF32 * sizes) << x << " " << y << " " << z;
  }
}

TEST_P(Fft, ConvolvesGridsWithoutWrapping) {
  testing::make_test_engine(GetParam());
  for (const auto& [x, y] : {std::pair{8, 8}, {24, 8}, {40, 72}, {128, 24}, {90, 200}})
    check_convolution({.dimensions = 2, .nodes = {fft_length(2 * x) / 2, fft_length(2 * y) / 2, 1}});
  for (const auto& [x, y, z] : {std::array{8, 8, 8}, {24, 40, 8}, {8, 24, 72}})
    check_convolution(
        {.dimensions = 3, .nodes = {fft_length(2 * x) / 2, fft_length(2 * y) / 2, fft_length(2 * z) / 2}});
}

INSTANTIATE_TEST_SUITE_P(Engines, Fft, ::testing::ValuesIn(testing::cpu_engines()));

}  // namespace
}  // namespace lexiscope::cpu
