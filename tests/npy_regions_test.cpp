// Arrays written region by region are the arrays that a stream would have written, whatever the order.
#include "host/io/npy_regions.h"

#include <gtest/gtest.h>

#include <numeric>

#include "host/io/region_arrays.h"
#include "tests/support/files.h"

namespace lexiscope::testing {
namespace {

using Shape = std::vector<std::size_t>;

ConstTensorView view_of(const std::vector<float>& values, const Shape& shape) {
  return dense_view<const void>(values.data(), DType::f32, shape);
}

std::vector<float> counted(std::size_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 1.0f);
  return values;
}

/// The part of a dense view that begins at `first`, with the view's strides.
ConstTensorView part_of(ConstTensorView whole, const Shape& first, const Shape& shape) {
  const auto* data = static_cast<const std::byte*>(whole.data);
  for (std::size_t axis = 0; axis < whole.rank; ++axis) {
    data += first[axis] * whole.strides[axis] * size_of(whole.dtype);
    whole.shape[axis] = shape[axis];
  }
  whole.data = data;
  return whole;
}

// Every region of a [3, 4, 5, 2] array cut along all axes, last first, from strided memory.
TEST(NpyRegions, MakeTheFileThatAStreamMakes) {
  const TemporaryFolder folder;
  const Shape shape{3, 4, 5, 2};
  const std::vector<float> values = counted(120);
  NpyWriter stream(folder / "stream.npy", DType::f32, {4, 5, 2});
  stream.append(std::span(values));
  const auto want = stream.finish();

  for (const Shape& cut : {Shape{3, 4, 5, 2}, Shape{1, 4, 5, 2}, Shape{1, 2, 5, 2}, Shape{2, 3, 5, 2},
                           Shape{1, 4, 3, 2}, Shape{2, 3, 4, 1}}) {
    std::filesystem::remove(folder / "regions.npy");
    NpyRegions regions(folder / "regions.npy", DType::f32, shape);
    std::vector<Shape> starts;
    for (std::size_t a = 0; a < 3; a += cut[0])
      for (std::size_t b = 0; b < 4; b += cut[1])
        for (std::size_t c = 0; c < 5; c += cut[2])
          for (std::size_t d = 0; d < 2; d += cut[3]) starts.push_back({a, b, c, d});
    for (auto first = starts.rbegin(); first != starts.rend(); ++first) {
      Shape size(4);
      for (std::size_t axis = 0; axis < 4; ++axis) size[axis] = std::min(cut[axis], shape[axis] - (*first)[axis]);
      regions.write(*first, part_of(view_of(values, shape), *first, size));
    }
    EXPECT_FALSE(std::filesystem::exists(folder / "regions.npy"));
    const auto got = regions.finish();
    EXPECT_EQ(got.shape, want.shape);
    EXPECT_EQ(got.checksum, want.checksum);
    EXPECT_EQ(read_bytes(folder / "regions.npy"), read_bytes(folder / "stream.npy"));
  }
}

TEST(NpyRegions, MayHoldNothing) {
  const TemporaryFolder folder;
  NpyRegions regions(folder / "x.npy", DType::f32, {0});
  regions.write(Shape{0}, view_of({}, {0}));
  EXPECT_EQ(regions.finish().shape, Shape{0});
  EXPECT_EQ(read_npy(folder / "x.npy").shape, Shape{0});
}

TEST(NpyRegions, NameWhatIsWrong) {
  const TemporaryFolder folder;
  const auto error = [&](auto&& action) { return folder.error(ErrorCode::kInvalidArgument, action); };
  EXPECT_EQ(error([&] { NpyRegions(folder / "x.npy", DType::bf16, {2}); }), "npy: the format has no bf16");
  EXPECT_EQ(error([&] { NpyRegions(folder / "x.npy", DType::f32, {}); }), "x.npy: rank 0, needs to be 1 to 4");
  EXPECT_EQ(error([&] {
              NpyRegions(folder / "x.npy", DType::f32, {SIZE_MAX, 2});
            }),
            "x.npy: shape (18446744073709551615, 2) overflows");
  {
    NpyRegions regions(folder / "x.npy", DType::f32, {2, 3});
    const std::vector<float> values = counted(6);
    EXPECT_EQ(error([&] {
                regions.write(Shape{1, 0}, view_of(values, {2, 3}));
              }),
              "x.npy: a region of shape (2, 3) at (1, 0) leaves the array of shape (2, 3)");
    EXPECT_EQ(error([&] { regions.write(Shape{0}, view_of(values, {3})); }),
              "x.npy: a region of shape (3,) at (0,) leaves the array of shape (2, 3)");
    const std::vector<std::int32_t> integers(6);
    EXPECT_EQ(error([&] {
                regions.write(Shape{0, 0}, dense_view<const void>(integers.data(), DType::i32, Shape{2, 3}));
              }),
              "x.npy: a region is i32, the array f32");
    regions.write(Shape{1, 0}, view_of(values, {1, 3}));
    EXPECT_EQ(error([&] { regions.finish(); }), "x.npy: 3 elements were written, shape (2, 3) has 6");
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(NpyRegions, OnAFullDiskSaySoAndClearAway) {
  const TemporaryFolder folder;
  const std::vector<float> values(1 << 18);
  {
    const FullDisk disk(1 << 20);
    NpyRegions regions(folder / "x.npy", DType::f32, {2, values.size()});
    EXPECT_EQ(folder.error(ErrorCode::kInputOutput,
                           [&] {
                             regions.write(Shape{1, 0}, view_of(values, {1, values.size()}));
                           }),
              "x.npy: writing failed after 128 bytes: File too large");
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(RegionArrays, AreDescribedByTheRun) {
  const TemporaryFolder folder;
  const std::vector<float> values = counted(6);
  {
    RunWriter run(folder / "run", {}, RunWriter::Existing::refuse);
    RegionArrays arrays(run, {{"x", DType::f32, {2, 3}, {{"layer", "token"}, "of x", "nats"}},
                              {"y", DType::f32, {3}, {{"token"}, "of y", ""}}});
    EXPECT_TRUE(arrays.has("y"));
    EXPECT_FALSE(arrays.has("z"));
    arrays.write("x", {1, 0}, view_of({4, 5, 6}, {1, 3}));
    arrays.write("y", {0}, view_of(values, {3}));
    arrays.write("x", {0, 0}, view_of(values, {1, 3}));
    arrays.finish();
    run.finish(nlohmann::json::object());
  }
  const RunReader run(folder / "run");
  EXPECT_EQ(run.manifest().at("arrays").at("x").at("axes"), nlohmann::json({"layer", "token"}));
  const NpyArray x = run.array("x");
  EXPECT_EQ(std::vector<float>(x.values<float>(2), x.values<float>(2) + 6), values);
}

}  // namespace
}  // namespace lexiscope::testing
