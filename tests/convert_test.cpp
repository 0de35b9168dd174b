// Conversion of every engine against the reference, bit for bit: each result has one right value.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include "lexiscope/engine.h"
#include "tests/support/compare.h"
#include "tests/support/engines.h"
#include "tests/support/errors.h"

namespace lexiscope::testing {
namespace {

using Bits = std::vector<std::uint16_t>;

template <typename Element>
constexpr DType kType = std::is_same_v<std::remove_const_t<Element>, float> ? DType::f32 : DType::bf16;

/// [rows, columns] of f32, or of bf16 where the elements are its bits.
template <typename Element>
auto view(Element* data, std::size_t rows, std::size_t columns, std::size_t stride) {
  using Void = std::conditional_t<std::is_const_v<Element>, const void, void>;
  return BasicTensorView<Void>{
      .data = data, .dtype = kType<Element>, .rank = 2, .shape = {rows, columns}, .strides = {stride, 1}};
}

template <typename To, typename From>
std::vector<To> converted(Engine& engine, const std::vector<From>& from, std::size_t columns) {
  std::vector<To> to(from.size());
  const std::size_t rows = from.size() / columns;
  engine.convert({.from = view(from.data(), rows, columns, columns), .to = view(to.data(), rows, columns, columns)});
  return to;
}

/// Every sign and exponent, with fractions about the ties: no NaN.
std::vector<float> hard_values(std::size_t count) {
  std::vector<float> values;
  for (std::uint32_t i = 0; values.size() < count; ++i) {
    constexpr std::uint32_t kFractions[] = {0,       1,       0x7fff,  0x8000,   0x8001,
                                            0x17fff, 0x18000, 0x18001, 0x7f7fff, 0x7f8000};
    const float value = std::bit_cast<float>((i * 0x9e3779b1u & 0xff800000u) | kFractions[i % std::size(kFractions)]);
    if (!std::isnan(value)) values.push_back(value);
  }
  return values;
}

class Convert : public ::testing::TestWithParam<std::tuple<std::string, std::size_t, std::size_t>> {};

TEST_P(Convert, AgreesWithTheReference) {
  const auto [name, rows, columns] = GetParam();
  const auto values = hard_values(rows * columns);
  const auto reference = make_engine("reference");
  const Bits narrow = converted<std::uint16_t>(*reference, values, columns);
  const auto wide = converted<float>(*reference, narrow, columns);
  const auto engine = make_test_engine(name);
  EXPECT_EQ(converted<std::uint16_t>(*engine, values, columns), narrow);
  EXPECT_EQ(converted<float>(*engine, narrow, columns), wide);
  EXPECT_EQ(converted<float>(*engine, values, columns), values);
}

INSTANTIATE_TEST_SUITE_P(OddShapes, Convert,
                         ::testing::Combine(::testing::ValuesIn(fast_engines()), ::testing::Values(1, 2, 33, 600),
                                            ::testing::Values(1, 2, 3, 17, 31, 33, 63, 65, 127, 129, 500)),
                         EngineNames());
INSTANTIATE_TEST_SUITE_P(Emulated, Convert,
                         ::testing::Combine(::testing::ValuesIn(emulated_engines()), ::testing::Values(1, 33),
                                            ::testing::Values(1, 3, 17, 64, 129, 500)),
                         EngineNames());

TEST(ConvertComparison, SeesTruncationInPlaceOfRounding) {
  const auto values = hard_values(1000);
  Bits truncated;
  for (const float value : values)
    truncated.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16));
  EXPECT_NE(converted<std::uint16_t>(*make_engine("reference"), values, 10), truncated);
}

class ConvertOnEngine : public ::testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(All, ConvertOnEngine, ::testing::ValuesIn(test_engines()), EngineNames());

// Next to 1 bf16 is 2^-7 apart. The largest f32 lies beyond the last tie below infinity; f32's least subnormal below
// the first tie above 0.
TEST_P(ConvertOnEngine, RoundsToNearestWithTiesToEven) {
  constexpr float kMax = std::numeric_limits<float>::max(), kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> values{1,           1 + 0x1p-8f, 1 + 0x1.8p-7f, 1 + 0x1.01p-8f, -1 - 0x1p-8f,
                                  0x1.fep127f, kMax,        -kMax,         kInfinity,      0,
                                  -0.0f,       0x1p-149f,   0x1p-134f,     0x1.8p-133f,    0x1p-133f};
  const Bits want{0x3f80, 0x3f80, 0x3f82, 0x3f81, 0xbf80, 0x7f7f, 0x7f80, 0xff80, 0x7f80, 0, 0x8000, 0, 0, 2, 1};
  EXPECT_EQ(converted<std::uint16_t>(*make_test_engine(GetParam()), values, 5), want);
}

TEST_P(ConvertOnEngine, TakesEveryBf16AndBack) {
  Bits every;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits)
    if ((bits & 0x7fff) <= 0x7f80) every.push_back(static_cast<std::uint16_t>(bits));
  const auto engine = make_test_engine(GetParam());
  const auto wide = converted<float>(*engine, every, every.size());
  for (std::size_t i = 0; i < every.size(); ++i)
    ASSERT_EQ(std::bit_cast<std::uint32_t>(wide[i]), std::uint32_t{every[i]} << 16);
  EXPECT_EQ(converted<std::uint16_t>(*engine, wide, wide.size()), every);
}

// Quiet or signalling, with bits in the upper half or only in the lower, of either sign.
TEST_P(ConvertOnEngine, KeepsANaNANaN) {
  std::vector<float> values;
  for (const std::uint32_t bits : {0x7fc00000u, 0x7f800001u, 0x7f80ffffu, 0x7fffffffu, 0xff800001u, 0xffffffffu})
    values.push_back(std::bit_cast<float>(bits));
  const auto engine = make_test_engine(GetParam());
  const Bits narrow = converted<std::uint16_t>(*engine, values, values.size());
  for (const std::uint16_t bits : narrow) EXPECT_GT(bits & 0x7fff, 0x7f80);
  for (const float value : converted<float>(*engine, narrow, narrow.size())) EXPECT_TRUE(std::isnan(value));
  for (const float value : converted<float>(*engine, values, values.size())) EXPECT_TRUE(std::isnan(value));
}

TEST_P(ConvertOnEngine, ReadsAndWritesStridedRowsAndNothingBeside) {
  constexpr std::size_t kRows = 3, kColumns = 37;
  const auto engine = make_test_engine(GetParam());
  const auto values = random_normal(kRows * kColumns, 1);
  std::vector<float> source(kRows * 50, 77.0f), back(kRows * 45, 77.0f);
  for (std::size_t i = 0; i < kRows; ++i) std::copy_n(&values[i * kColumns], kColumns, &source[i * 50]);
  Bits narrow(kRows * 40, 7), want_narrow = narrow;
  auto want_back = back;
  const Bits dense = converted<std::uint16_t>(*engine, values, kColumns);
  const auto dense_back = converted<float>(*engine, dense, kColumns);
  for (std::size_t i = 0; i < kRows; ++i) {
    std::copy_n(&dense[i * kColumns], kColumns, &want_narrow[i * 40]);
    std::copy_n(&dense_back[i * kColumns], kColumns, &want_back[i * 45]);
  }
  const auto narrow_view = view(narrow.data(), kRows, kColumns, 40);
  engine->convert({.from = view(source.data(), kRows, kColumns, 50), .to = narrow_view});
  EXPECT_EQ(narrow, want_narrow);
  engine->convert({.from = narrow_view, .to = view(back.data(), kRows, kColumns, 45)});
  EXPECT_EQ(back, want_back);
}

TEST_P(ConvertOnEngine, NoRowsOrNoColumnsIsNothingToDo) {
  const auto engine = make_test_engine(GetParam());
  float* const none = nullptr;
  std::uint16_t* const none_narrow = nullptr;
  EXPECT_NO_THROW(engine->convert({.from = view(none, 0, 4, 4), .to = view(none_narrow, 0, 4, 4)}));
  EXPECT_NO_THROW(engine->convert({.from = view(none, 4, 0, 0), .to = view(none_narrow, 4, 0, 0)}));
}

TEST(ConvertDeterminism, GivesTheSameBitsForAnyNumberOfThreads) {
  const auto values = hard_values(600 * 129);
  for (const std::string& name : fast_engines()) {
    const auto one = converted<std::uint16_t>(*make_test_engine(name, 1), values, 129);
    for (const int threads : {2, 3})
      EXPECT_EQ(converted<std::uint16_t>(*make_test_engine(name, threads), values, 129), one);
  }
}

TEST(ConvertArguments, NameTheValueThatIsWrong) {
  std::vector<float> from(8);
  Bits to(16);
  const auto engine = make_engine("cpu");
  const ConvertArgs good{.from = view(from.data(), 2, 4, 4), .to = view(to.data(), 2, 4, 4)};
  const auto message = [&](auto&& spoil) {
    ConvertArgs args = good;
    spoil(args);
    return message_of([&] { engine->convert(args); });
  };
  EXPECT_EQ(message([](ConvertArgs&) {}), "no error");
  EXPECT_EQ(message([](ConvertArgs& args) { args.from.rank = 3; }), "convert: from has rank 3, needs 2");
  EXPECT_EQ(message([](ConvertArgs& args) { args.to.shape[1] = 3; }), "convert: to is [2, 3], needs [2, 4]");
  EXPECT_EQ(message([](ConvertArgs& args) { args.to.strides[1] = 2; }),
            "convert: to's last dimension has stride 2, needs to be dense");
  EXPECT_EQ(message([](ConvertArgs& args) { args.from.strides[0] = 3; }),
            "convert: from has a stride of 3, needs at least its 4 columns");
  EXPECT_EQ(message([](ConvertArgs& args) { args.from.data = nullptr; }), "convert: from is [2, 4] with no memory");
  EXPECT_THAT(message([&](ConvertArgs& args) { args.to.data = from.data() + 7; }),
              ::testing::StartsWith("convert: to, at "));
}

TEST(ConvertArguments, RefuseOtherTypes) {
  std::vector<float> from(4), to(4);
  ConvertArgs args{.from = view(from.data(), 1, 4, 4), .to = view(to.data(), 1, 4, 4)};
  args.to.dtype = DType::f16;
  try {
    make_engine("cpu")->convert(args);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_STREQ(error.what(), "convert: from f32 to f16; there are f32 to f32, f32 to bf16 and bf16 to f32");
  }
}

}  // namespace
}  // namespace lexiscope::testing
