// The vector 2^x of the kernels, on every SIMD target of this processor, against the C library's in double.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/exp2_test.cpp"
#include <hwy/foreach_target.h>  // must precede highway.h
#include <hwy/highway.h>

#include "kernels/cpu/exp2-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lexiscope::cpu::HWY_NAMESPACE {

float exp2_of_one(float x) { return hn::GetLane(exp2(hn::Set(hn::ScalableTag<float>(), x))); }

}  // namespace lexiscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/support/compare.h"
#include "tests/support/engines.h"

namespace lexiscope::cpu {

HWY_EXPORT(exp2_of_one);

namespace {

class Exp2 : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { set_simd_target(GetParam()); }
  void TearDown() override { set_simd_target(simd_targets().front()); }
};

TEST_P(Exp2, IsWithinItsBound) {
  const auto exp2_on_target = HWY_DYNAMIC_DISPATCH(exp2_of_one);
  double worst = 0;
  for (float x = -126; x <= 127; x += 1.7e-4f)
    worst = std::max(worst, std::abs(exp2_on_target(x) / std::exp2(double(x)) - 1));
  EXPECT_LE(worst, 4 * testing::kUnitF32);
}

TEST_P(Exp2, IsExactWhereKernelsRelyOnIt) {
  const auto exp2_on_target = HWY_DYNAMIC_DISPATCH(exp2_of_one);
  EXPECT_EQ(exp2_on_target(0), 1);
  for (const float x : {-150.0f, -1e3f, -1e30f, std::numeric_limits<float>::lowest()})
    EXPECT_EQ(exp2_on_target(x), 0) << x;
  EXPECT_EQ(exp2_on_target(-std::numeric_limits<float>::infinity()), 0);
}

INSTANTIATE_TEST_SUITE_P(Targets, Exp2, ::testing::ValuesIn(simd_targets()), [](const auto& target) {
  std::string name = target.param;
  std::ranges::replace(name, '-', '_');
  return name;
});

}  // namespace
}  // namespace lexiscope::cpu
#endif
