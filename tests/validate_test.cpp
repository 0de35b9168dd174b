// What lexiscope validate runs, on the emulated engine: every operation is within its bounds.
#include "host/analysis/validate.h"

#include <gtest/gtest.h>

#include "tests/support/engines.h"

namespace lexiscope::testing {
namespace {

class Validate : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(Validate, FindsEveryOperationWithinItsBounds) {
  const auto& [engine, operation] = GetParam();
  const Validation found = validate(operation, *make_test_engine(engine), 0);
  EXPECT_TRUE(found.passed()) << found.worst << " of its bound at " << found.at << " " << found.error;
  EXPECT_GT(found.cases, 0u);
}

INSTANTIATE_TEST_SUITE_P(Emulated, Validate,
                         ::testing::Combine(::testing::ValuesIn(emulated_engines()),
                                            ::testing::ValuesIn(validated_operations())),
                         [](const auto& test) { return std::get<0>(test.param) + "_" + std::get<1>(test.param); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Validate);

}  // namespace
}  // namespace lexiscope::testing
