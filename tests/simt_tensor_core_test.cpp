// mma, ldmatrix and cp.async against plain loops over whole matrices.
#include <cmath>
#include <random>

#include "kernels/cuda/instructions.h"
#include "tests/support/run_kernel.h"

namespace lexiscope::test {
namespace {

enum class Type { kBf16, kF16, kTf32 };

float rounded(Type type, float x) {
  switch (type) {
    case Type::kBf16:
      return __bfloat162float(__float2bfloat16(x));
    case Type::kF16:
      return __half2float(__float2half(x));
    default: {
      return __uint_as_float(__float_as_uint(x) & 0xffffe000u);
    }
  }
}

std::uint32_t pack(Type type, float low, float high) {
  return type == Type::kBf16 ? cuda::pack_bf16x2(low, high) : cuda::pack_f16x2(low, high);
}

// One warp, fragments filled from the figures of the PTX ISA: a [16, depth] and b [depth, 8] row-major in global
// memory.
__global__ void multiply(Type type, const float* a, const float* b, float* d) {
  const unsigned lane = threadIdx.x, g = lane / 4, q = lane % 4;
  float accumulator[4];
  for (unsigned i = 0; i < 4; ++i) accumulator[i] = d[(g + 8 * (i / 2)) * 8 + 2 * q + i % 2];
  std::uint32_t fragment[4];
  if (type == Type::kTf32) {
    for (unsigned i = 0; i < 4; ++i) fragment[i] = __float_as_uint(a[(g + 8 * (i % 2)) * 8 + q + 4 * (i / 2)]);
    cuda::mma_m16n8k8_tf32(accumulator, fragment, __float_as_uint(b[q * 8 + g]), __float_as_uint(b[(q + 4) * 8 + g]));
  } else {
    for (unsigned i = 0; i < 4; ++i) {
      const float* row = a + (g + 8 * (i % 2)) * 16 + 2 * q + 8 * (i / 2);
      fragment[i] = pack(type, row[0], row[1]);
    }
    const std::uint32_t b0 = pack(type, b[2 * q * 8 + g], b[(2 * q + 1) * 8 + g]);
    const std::uint32_t b1 = pack(type, b[(2 * q + 8) * 8 + g], b[(2 * q + 9) * 8 + g]);
    if (type == Type::kBf16)
      cuda::mma_m16n8k16_bf16(accumulator, fragment, b0, b1);
    else
      cuda::mma_m16n8k16_f16(accumulator, fragment, b0, b1);
  }
  for (unsigned i = 0; i < 4; ++i) d[(g + 8 * (i / 2)) * 8 + 2 * q + i % 2] = accumulator[i];
}

class TensorCore : public ::testing::TestWithParam<Type> {
 protected:
  unsigned depth() const { return GetParam() == Type::kTf32 ? 8 : 16; }
  std::vector<float> random(std::size_t size, float scale = 1) {
    std::normal_distribution<float> normal;
    std::vector<float> values(size);
    for (float& value : values) value = rounded(GetParam(), scale * normal(generator_));
    return values;
  }
  std::vector<float> product(const std::vector<float>& a, const std::vector<float>& b, const std::vector<float>& c) {
    DeviceVector<float> device_a(a), device_b(b), d(c);
    run_kernel(multiply, {}, GetParam(), device_a.data(), device_b.data(), d.data());
    return d.values();
  }

 private:
  std::mt19937 generator_{7};
};
INSTANTIATE_TEST_SUITE_P(Types, TensorCore, ::testing::Values(Type::kBf16, Type::kF16, Type::kTf32));

// Small whole numbers: every sum is exact, so a wrong place in a fragment shows as a wrong number.
TEST_P(TensorCore, PutsEveryElementInItsPlace) {
  std::vector<float> a(16 * depth()), b(depth() * 8), c(16 * 8);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i * 7 % 31);
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i * 5 % 29);
  for (std::size_t i = 0; i < c.size(); ++i) c[i] = static_cast<float>(i);
  const std::vector<float> d = product(a, b, c);
  for (unsigned row = 0; row < 16; ++row)
    for (unsigned column = 0; column < 8; ++column) {
      float sum = c[row * 8 + column];
      for (unsigned k = 0; k < depth(); ++k) sum += a[row * depth() + k] * b[k * 8 + column];
      EXPECT_EQ(d[row * 8 + column], sum) << row << ", " << column;
    }
}

// The bound is that of simt/tensor_core.cpp: steps * (n + 3) * 2^-24 * S, and half of 2^-24 more for terms in 2^-48.
TEST_P(TensorCore, AddsWithinItsBound) {
  const unsigned step = GetParam() == Type::kTf32 ? 4 : 8;
  const double bound = (depth() / step * (step + 3) + 0.5) * 0x1p-24;
  double worst = 0;
  for (int repeat = 0; repeat < 50; ++repeat) {
    const auto a = random(16 * depth()), b = random(depth() * 8), c = random(16 * 8, repeat % 2 == 0 ? 1.0f : 100.0f);
    const std::vector<float> d = product(a, b, c);
    for (unsigned row = 0; row < 16; ++row)
      for (unsigned column = 0; column < 8; ++column) {
        double sum = c[row * 8 + column], size = std::abs(sum);
        for (unsigned k = 0; k < depth(); ++k) {
          const double term = static_cast<double>(a[row * depth() + k]) * b[k * 8 + column];
          sum += term;
          size += std::abs(term);
        }
        worst = std::max(worst, std::abs(d[row * 8 + column] - sum) / (bound * size));
      }
  }
  EXPECT_LE(worst, 1);
  EXPECT_GT(worst, 0.01);
}

// What the sum of one step cannot hold is cut off, not rounded: 8 products of 3/4 of the unit kept vanish beside 1, and
// a result just below a whole unit does not reach it.
TEST_P(TensorCore, CutsOffTowardsZero) {
  std::vector<float> a(16 * depth(), 0x1.8p-13f), b(depth() * 8, 0x1p-12f), c(16 * 8, 1.0f);
  EXPECT_THAT(product(a, b, c), ::testing::Each(1.0f));
  for (float& element : a) element = -element;
  EXPECT_THAT(product(a, b, c), ::testing::Each(1.0f));
  for (float& element : c) element = -1.0f;
  EXPECT_THAT(product(a, b, c), ::testing::Each(-1.0f));
}

TEST_P(TensorCore, KeepsInfinityNanAndZero) {
  std::vector<float> a(16 * depth()), b(depth() * 8, 1.0f), c(16 * 8);
  a[0 * depth() + 1] = INFINITY;
  a[1 * depth() + 2] = NAN;
  a[2 * depth() + 3] = -INFINITY;
  a[2 * depth() + 4] = INFINITY;
  const std::vector<float> d = product(a, b, c);
  EXPECT_EQ(d[0], INFINITY);
  EXPECT_TRUE(std::isnan(d[1 * 8 + 7]));
  EXPECT_TRUE(std::isnan(d[2 * 8 + 7]));
  EXPECT_EQ(d[3 * 8], 0.0f);
}

struct Halves {
  std::uint16_t values[32 * 8];
};

__global__ void load_matrices(std::uint32_t* out, bool transposed) {
  auto& shared = shared_memory<Halves>();
  for (unsigned i = threadIdx.x; i < 256; i += 32) shared.values[i] = static_cast<std::uint16_t>(i);
  __syncwarp();
  std::uint32_t r[4];
  const auto row = cuda::shared_address(shared.values + threadIdx.x * 8);
  if (transposed)
    cuda::ldmatrix_x4_trans(r, row);
  else
    cuda::ldmatrix_x4(r, row);
  for (unsigned i = 0; i < 4; ++i) out[threadIdx.x * 4 + i] = r[i];
}

TEST(Ldmatrix, GivesEachLaneItsTwoElements) {
  for (const bool transposed : {false, true}) {
    DeviceVector<std::uint32_t> out(32 * 4);
    run_kernel(load_matrices, {.shared_bytes = sizeof(Halves)}, out.data(), transposed);
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned matrix = 0; matrix < 4; ++matrix) {
        const auto element = [&](unsigned row, unsigned column) {
          return transposed ? matrix * 64 + column * 8 + row : matrix * 64 + row * 8 + column;
        };
        const unsigned g = lane / 4, q = lane % 4;
        EXPECT_EQ(out[lane * 4 + matrix], element(g, 2 * q) | element(g, 2 * q + 1) << 16);
      }
  }
}

struct Copies {
  float values[2][64];
};

// Two groups under way; a lane's second copy is of zeros where it lies outside.
__global__ void copy_in_two_groups(const float* in, float* out, unsigned rows) {
  auto& shared = shared_memory<Copies>();
  const unsigned i = 4 * threadIdx.x;
  cuda::cp_async_16(cuda::shared_address(shared.values[0] + i), in + i);
  cuda::cp_async_commit();
  cuda::cp_async_16_or_zero(cuda::shared_address(shared.values[1] + i), in + 64 + i, threadIdx.x < rows);
  cuda::cp_async_commit();
  cuda::cp_async_wait<1>();
  __syncthreads();
  out[threadIdx.x] = shared.values[0][63 - i];
  cuda::cp_async_wait<0>();
  __syncthreads();
  for (unsigned k = 0; k < 4; ++k) out[16 + i + k] = shared.values[1][i + k];
}

TEST(AsynchronousCopy, ArrivesGroupByGroup) {
  std::vector<float> values(64 + 20);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  for (const simt::ScheduleOptions& schedule : schedules()) {
    const ScopedSchedule scoped(schedule);
    DeviceVector<float> in(values), out(16 + 64);
    run_kernel(copy_in_two_groups, {.threads = 16, .shared_bytes = sizeof(Copies)}, in.data(), out.data(), 5u);
    for (unsigned i = 0; i < 16; ++i) EXPECT_EQ(out[i], 63 - 4 * i);
    for (unsigned i = 0; i < 64; ++i) EXPECT_EQ(out[16 + i], i < 20 ? 64.0f + i : 0.0f);
  }
}

TEST(Exp2Approx, FlushesSubnormalNumbersAndIsCloseElsewhere) {
  EXPECT_EQ(cuda::exp2_approx(-127.0f), 0.0f);
  EXPECT_EQ(cuda::exp2_approx(1e-39f), 1.0f);
  EXPECT_EQ(cuda::exp2_approx(-INFINITY), 0.0f);
  EXPECT_EQ(cuda::exp2_approx(128.0f), INFINITY);
  EXPECT_TRUE(std::isnan(cuda::exp2_approx(NAN)));
  for (float x = -125; x < 127; x += 0.37f) {
    const double exact = std::exp2(static_cast<double>(x));
    EXPECT_LE(std::abs(cuda::exp2_approx(x) - exact), exact * 0x1p-23);  // 1 ulp is at most 2^-23 of the number
  }
}

TEST(Pack, RoundsToNearestWithTheFirstInTheLowerHalf) {
  EXPECT_EQ(cuda::pack_bf16x2(1.0f, -2.0f), 0xc0003f80u);
  EXPECT_EQ(cuda::pack_bf16x2(1.0f + 0x1p-8f, 1.0f + 0x1.8p-7f), 0x3f823f80u);  // ties to even
  EXPECT_EQ(cuda::pack_f16x2(1.0f, -2.0f), 0xc0003c00u);
  EXPECT_EQ(cuda::pack_f16x2(1.0f + 0x1p-11f, 65520.0f), 0x7c003c00u);
}

}  // namespace
}  // namespace lexiscope::test
