// The engine in front of one whose memory is not the host's: that calls reach it with memory of its own alone, and that
// the caller's arrays come back as if the call had run on them.
#include "host/engines/staged_engine.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <numeric>

#include "host/core/host_memory.h"
#include "host/engines/argument_views.h"
#include "tests/support/compare.h"
#include "tests/support/errors.h"

namespace lexiscope::testing {
namespace {

using ::testing::Each;

// The reference engine on memory of its own: a call with any other memory fails the test.
class DeviceEngine final : public Engine {
 public:
  std::string_view name() const noexcept override { return "reference"; }
  std::string description() const override { return "a device"; }
  int threads() const noexcept override { return 1; }
  bool memory_is_host() const noexcept override { return false; }
  Tensor allocate(DType dtype, std::span<const std::size_t> shape) override {
    const Tensor tensor = allocate_host_tensor(dtype, shape);
    const auto first = address(tensor.view().data);
    owned_[first] = first + tensor.view().elements() * size_of(dtype);
    ++allocations_;
    return tensor;
  }
  using Engine::allocate;

  std::size_t allocations() const { return allocations_; }
  /// The addresses of the last call's first view.
  std::uintptr_t last_address() const { return last_address_; }

 private:
  static std::uintptr_t address(const void* data) { return reinterpret_cast<std::uintptr_t>(data); }

  void expect_own(const void* data, std::size_t bytes) {
    const auto after = owned_.upper_bound(address(data));
    const bool own = after != owned_.begin() && address(data) + bytes <= std::prev(after)->second;
    EXPECT_TRUE(own) << bytes << " bytes at " << data << " are not the engine's";
  }
  void expect_own(const Tensor& tensor) {
    expect_own(tensor.view().data, tensor.view().elements() * size_of(tensor.view().dtype));
  }
  template <typename Args>
  Engine& checked(const Args& args) {
    last_address_ = 0;
    for_each_view(const_cast<Args&>(args), [&](const auto& view) {
      if (view.empty()) return;
      if (last_address_ == 0) last_address_ = address(view.data);
      expect_own(view.data, 1);
    });
    return *reference_;
  }

  void do_copy_to_engine(ConstTensorView host, TensorView engine) override { reference_->copy_to_engine(host, engine); }
  void do_copy_to_host(ConstTensorView engine, TensorView host) override { reference_->copy_to_host(engine, host); }
  std::unique_ptr<PackedMatrix> do_pack(MatrixView<const float> weight, DType precision) override {
    return reference_->pack(weight, precision);
  }
  void do_attention(const AttentionArgs& args) override { checked(args).attention(args); }
  void do_attention_map(const AttentionMapArgs& args) override { checked(args).attention_map(args); }
  void do_rotary_embedding(const RotaryEmbeddingArgs& args) override { checked(args).rotary_embedding(args); }
  void do_rms_norm(const RmsNormArgs& args) override { checked(args).rms_norm(args); }
  void do_layer_norm(const LayerNormArgs& args) override { checked(args).layer_norm(args); }
  void do_linear(const LinearArgs& args) override { checked(args).linear(args); }
  void do_gelu_mlp(const GeluMlpArgs& args) override { checked(args).gelu_mlp(args); }
  void do_swiglu_mlp(const SwigluMlpArgs& args) override { checked(args).swiglu_mlp(args); }
  void do_certainty(const CertaintyArgs& args) override { checked(args).certainty(args); }
  void do_drift(const DriftArgs& args) override { checked(args).drift(args); }
  void do_convert(const ConvertArgs& args) override { checked(args).convert(args); }
  void do_covariance(const CovarianceArgs& args) override { checked(args).covariance(args); }
  void do_eigendecomposition(const EigendecompositionArgs& args) override { checked(args).eigendecomposition(args); }
  void do_projection(const ProjectionArgs& args) override { checked(args).projection(args); }
  void do_neighbors(const NeighborsArgs& args) override { checked(args).neighbors(args); }
  SparseMatrix do_affinities(const AffinitiesArgs& args) override { return own(checked(args).affinities(args)); }
  SparseMatrix do_global_affinities(const GlobalAffinitiesArgs& args) override {
    return own(checked(args).global_affinities(args));
  }
  std::unique_ptr<TsnePlan> do_plan_tsne(const TsnePlanArgs& args) override {
    expect_own(*args.affinities);
    return reference_->plan_tsne(args);
  }
  void do_tsne_gradient(const TsneGradientArgs& args) override { checked(args).tsne_gradient(args); }
  void do_tsne_step(const TsneStepArgs& args) override { checked(args).tsne_step(args); }
  double do_tsne_kl(const TsneKlArgs& args) override {
    expect_own(*args.affinities);
    return checked(args).tsne_kl(args);
  }
  CosineStatistics do_cosine_statistics(const CosineStatisticsArgs& args) override {
    return checked(args).cosine_statistics(args);
  }

  void expect_own(const SparseMatrix& matrix) {
    for (const Tensor& part : {matrix.row_offsets, matrix.columns, matrix.values}) expect_own(part);
  }
  Tensor own(const Tensor& tensor) {
    const TensorView view = tensor.view();
    Tensor copy = allocate(view.dtype, std::span(view.shape.data(), view.rank));
    reference_->copy_to_engine(tensor, copy);
    return copy;
  }
  SparseMatrix own(const SparseMatrix& matrix) {
    return {.row_offsets = own(matrix.row_offsets), .columns = own(matrix.columns), .values = own(matrix.values)};
  }

  std::unique_ptr<Engine> reference_ = make_engine("reference");
  std::map<std::uintptr_t, std::uintptr_t> owned_;  // first byte, past the last; tests are too short to free any
  std::size_t allocations_ = 0;
  std::uintptr_t last_address_ = 0;
};

class StagedEngineTest : public ::testing::Test {
 protected:
  StagedEngineTest() {
    auto made = std::make_unique<DeviceEngine>();
    device_ = made.get();
    staged_ = std::make_unique<StagedEngine>(std::move(made));
  }

  DeviceEngine* device_;
  std::unique_ptr<Engine> staged_, reference_ = make_engine("reference");
};

TEST_F(StagedEngineTest, TakesHostMemoryUnderTheEnginesName) {
  EXPECT_TRUE(staged_->memory_is_host());
  EXPECT_EQ(staged_->name(), "reference");
  EXPECT_EQ(staged_->description(), "a device");
  const Tensor tensor = staged_->allocate(DType::f32, {2, 3});
  EXPECT_EQ(device_->allocations(), 0u);
  const float values[] = {1, 2, 3, 4, 5, 6};
  float back[6] = {};
  staged_->copy_to_engine(dense_view<const void>(values, DType::f32, std::array<std::size_t, 2>{2, 3}), tensor);
  staged_->copy_to_host(tensor, dense_view<void>(back, DType::f32, std::array<std::size_t, 2>{2, 3}));
  EXPECT_TRUE(std::ranges::equal(values, back));
}

TEST_F(StagedEngineTest, KeepsTheBytesBetweenRows) {
  auto x = random_normal(5 * 11, 1), y = random_normal(5 * 13, 2);
  const auto gain = random_normal(7, 3);
  auto want = y;
  const LayerNormArgs args{.x = {x.data(), 5, 7, 11}, .gain = {gain.data(), 7}, .y = {y.data() + 2, 5, 7, 13}};
  staged_->layer_norm(args);
  LayerNormArgs direct = args;
  direct.y.data = want.data() + 2;
  reference_->layer_norm(direct);
  EXPECT_EQ(y, want);
}

TEST_F(StagedEngineTest, KeepsAnOutputThatIsItsInput) {
  auto x = random_normal(4 * 6, 1);
  const auto residual = random_normal(4 * 6, 2), gain = random_normal(6, 3);
  auto want = x;
  const auto norm_in_place = [&](Engine& engine, std::vector<float>& rows) {
    engine.layer_norm({.x = {rows.data(), 4, 6, 6},
                       .residual = {residual.data(), 4, 6, 6},
                       .gain = {gain.data(), 6},
                       .y = {rows.data(), 4, 6, 6}});
  };
  norm_in_place(*staged_, x);
  norm_in_place(*reference_, want);
  EXPECT_EQ(x, want);
}

TEST_F(StagedEngineTest, KeepsAResidualThatIsTheOutput) {
  const auto x = random_normal(3 * 5, 1), weight = random_normal(4 * 5, 2);
  auto y = random_normal(3 * 9, 3);
  auto want = y;
  const auto accumulate = [&](Engine& engine, std::vector<float>& sums) {
    const auto packed = engine.pack({weight.data(), 4, 5, 5});
    const MatrixView<float> in_place{sums.data() + 1, 3, 4, 9};
    engine.linear({.x = {x.data(), 3, 5, 5}, .weight = packed.get(), .residual = in_place, .y = in_place});
  };
  accumulate(*staged_, y);
  accumulate(*reference_, want);
  EXPECT_EQ(y, want);
}

// Query, key and value side by side in one buffer, the output in a fourth range of it: as one product leaves them.
TEST_F(StagedEngineTest, KeepsColumnRangesOfOneBuffer) {
  constexpr std::size_t kTokens = 9, kHeads = 2, kSize = 3, kWidth = 4 * kHeads * kSize + 1;
  auto buffer = random_normal(kTokens * kWidth, 1);
  auto want = buffer;
  const auto attend = [&](Engine& engine, std::vector<float>& rows) {
    const auto heads = [&](std::size_t range) {
      return TensorView{.data = rows.data() + range * kHeads * kSize,
                        .dtype = DType::f32,
                        .rank = 3,
                        .shape = {kHeads, kTokens, kSize},
                        .strides = {kSize, kWidth, 1}};
    };
    engine.attention({.query = heads(0), .key = heads(1), .value = heads(2), .out = heads(3), .scale = 0.5f});
  };
  attend(*staged_, buffer);
  EXPECT_EQ(device_->allocations(), 1u);  // the ranges' extents meet: one piece
  attend(*reference_, want);
  EXPECT_EQ(buffer, want);
}

TEST_F(StagedEngineTest, KeepsAlignmentAsTheCallerHasIt) {
  alignas(64) float values[64] = {};
  for (std::size_t first = 0; first < 16; ++first) {
    staged_->convert({.from = dense_view<const void>(values + first, DType::f32, std::array<std::size_t, 2>{1, 5}),
                      .to = dense_view<void>(values + 32 + first, DType::f32, std::array<std::size_t, 2>{1, 5})});
    EXPECT_EQ(device_->last_address() % 64, first * sizeof(float));
  }
}

// Rows that an operation takes from the host's memory on every engine are not copied.
TEST_F(StagedEngineTest, PassesRowsOfTheHostThrough) {
  const auto x = random_normal(20 * 3, 1);
  const MatrixView<const float> rows{x.data(), 20, 3, 3};
  const auto moments = [&](Engine& engine) {
    std::vector<double> found(3 + 9);
    engine.covariance({.x = rows, .mean = {found.data(), 3}, .covariance = {found.data() + 3, 3, 3, 3}});
    return found;
  };
  EXPECT_EQ(moments(*staged_), moments(*reference_));
  EXPECT_EQ(device_->allocations(), 2u);  // mean and covariance
  const auto scores = [&](Engine& engine) {
    const std::vector<double> components{1, 2, 3};
    std::vector<float> found(20);
    engine.projection({.x = rows, .components = {components.data(), 1, 3, 3}, .scores = {found.data(), 20, 1, 1}});
    return found;
  };
  EXPECT_EQ(scores(*staged_), scores(*reference_));
  EXPECT_EQ(device_->allocations(), 4u);
  EXPECT_EQ(staged_->cosine_statistics({.x = rows}).mean_norm, reference_->cosine_statistics({.x = rows}).mean_norm);
  EXPECT_EQ(device_->allocations(), 4u);
}

TEST_F(StagedEngineTest, LeavesInputsAlone) {
  const auto before = random_normal(3 * 4, 1), after = random_normal(3 * 4, 2);
  const auto before_copy = before, after_copy = after;
  float norm[5] = {-1, -1, -1, -1, -1};
  staged_->drift({.before = {before.data(), 3, 4, 4}, .after = {after.data(), 3, 4, 4}, .norm = {norm + 1, 3}});
  EXPECT_EQ(before, before_copy);
  EXPECT_EQ(after, after_copy);
  EXPECT_EQ(norm[0], -1);
  EXPECT_GE(*std::min_element(norm + 1, norm + 4), 0);
  EXPECT_EQ(norm[4], -1);
}

TEST_F(StagedEngineTest, PassesErrorsOn) {
  const auto x = random_normal(6, 1), gain = random_normal(3, 2);
  std::vector<float> y(6);
  const std::string message = message_of([&] {
    staged_->layer_norm({.x = {x.data(), 2, 3, 3}, .gain = {gain.data(), 2}, .y = {y.data(), 2, 3, 3}});
  });
  EXPECT_EQ(message, "layer_norm: gain has 2 elements, needs 3");
}

// Arrays that an operation itself allocates, and plans that hold them.
TEST_F(StagedEngineTest, CarriesSparseMatricesBothWays) {
  constexpr std::size_t kPoints = 12, kNeighbors = 4;
  const auto points = random_normal(kPoints * 3, 1), map = random_normal(kPoints * 2, 2);
  struct Result {
    double kl = 0, normalization = 0;
    std::vector<float> gradient = std::vector<float>(kPoints * 2);
  };
  const auto run = [&](Engine& engine) {
    std::vector<std::int32_t> indices(kPoints * kNeighbors);
    std::vector<float> distances(kPoints * kNeighbors);
    engine.neighbors({.points = {points.data(), kPoints, 3, 3},
                      .indices = {indices.data(), kPoints, kNeighbors, kNeighbors},
                      .distances = {distances.data(), kPoints, kNeighbors, kNeighbors}});
    const SparseMatrix affinities = engine.affinities({.indices = {indices.data(), kPoints, kNeighbors, kNeighbors},
                                                       .distances = {distances.data(), kPoints, kNeighbors, kNeighbors},
                                                       .perplexity = 2});
    Result result;
    const MatrixView<const float> positions{map.data(), kPoints, 2, 2};
    result.kl = engine.tsne_kl({.affinities = &affinities, .positions = positions});
    const auto plan = engine.plan_tsne({.affinities = &affinities});
    engine.tsne_gradient({.plan = plan.get(),
                          .positions = positions,
                          .gradient = {result.gradient.data(), kPoints, 2, 2},
                          .normalization = &result.normalization});
    return result;
  };
  const Result got = run(*staged_), want = run(*reference_);
  EXPECT_EQ(got.kl, want.kl);
  EXPECT_EQ(got.normalization, want.normalization);
  EXPECT_EQ(got.gradient, want.gradient);
}

TEST_F(StagedEngineTest, EmptyViewsAndEmptyArraysNeedNoMemory) {
  float none = 0;
  staged_->layer_norm({.x = {&none, 0, 3, 3}, .gain = {&none, 3}, .y = {&none, 0, 3, 3}});
  EXPECT_EQ(device_->allocations(), 0u);
}

}  // namespace
}  // namespace lexiscope::testing
