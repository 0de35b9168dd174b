// What lexiscope validate runs, on the emulated engine: every operation that it has is within its bounds, and what it
// does not have is left out because it says so.
#include "host/analysis/validate.h"

#include <gmock/gmock.h>

#include "tests/support/engines.h"

namespace lexiscope::testing {
namespace {

class Validate : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(Validate, FindsEveryOperationWithinItsBounds) {
  const auto& [engine, operation] = GetParam();
  const Validation found = validate(operation, *make_test_engine(engine), 0);
  if (has_operation(engine, operation)) {
    EXPECT_TRUE(found.passed()) << found.worst << " of its bound at " << found.at << " " << found.error;
    EXPECT_GT(found.cases, 0u);
  } else {
    EXPECT_TRUE(found.unsupported) << found.error;
    EXPECT_THAT(found.error, ::testing::HasSubstr("does not have this operation yet"));
  }
}

INSTANTIATE_TEST_SUITE_P(Emulated, Validate,
                         ::testing::Combine(::testing::ValuesIn(emulated_engines("layer_norm")),
                                            ::testing::ValuesIn(validated_operations())),
                         [](const auto& test) { return std::get<0>(test.param) + "_" + std::get<1>(test.param); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Validate);

}  // namespace
}  // namespace lexiscope::testing
