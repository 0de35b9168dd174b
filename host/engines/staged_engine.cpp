#include "host/engines/staged_engine.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include "host/core/host_memory.h"
#include "host/engines/argument_views.h"

namespace lexiscope {
namespace {

constexpr std::size_t kAlignment = 64;  // of Engine::allocate

struct ByteRange {
  std::byte *first, *last;
  bool written;
};

template <typename Void>
std::optional<ByteRange> range_of(const BasicTensorView<Void>& view) {
  if (view.empty() || view.elements() == 0) return std::nullopt;
  std::size_t last = 1;
  for (std::size_t axis = 0; axis < view.rank; ++axis) last += (view.shape[axis] - 1) * view.strides[axis];
  auto* const first = static_cast<std::byte*>(const_cast<void*>(static_cast<const void*>(view.data)));
  return ByteRange{first, first + last * size_of(view.dtype), !std::is_const_v<Void>};
}

// In bytes, so that element types without a DType of their own do as well.
template <typename Element>
std::optional<ByteRange> range_of(const MatrixView<Element>& view) {
  if (view.empty() || view.rows == 0 || view.columns == 0) return std::nullopt;
  using Void = std::conditional_t<std::is_const_v<Element>, const void, void>;
  return range_of(BasicTensorView<Void>{.data = view.data,
                                        .dtype = DType::u8,
                                        .rank = 2,
                                        .shape = {view.rows, view.columns * sizeof(Element)},
                                        .strides = {view.stride * sizeof(Element), 1}});
}

template <typename Element>
std::optional<ByteRange> range_of(const VectorView<Element>& view) {
  return range_of(MatrixView<Element>{view.data, 1, view.size, view.size});
}

// Host memory of one call's views, and its copy on the engine.
class Staging {
 public:
  explicit Staging(Engine& engine) : engine_(engine) {}

  template <typename View>
  void add(const View& view) {
    if (const auto range = range_of(view)) ranges_.push_back(*range);
  }

  /// After the last add(): joins what meets, and copies it to the engine.
  void copy_in() {
    std::ranges::sort(ranges_, {}, &ByteRange::first);
    for (const ByteRange& range : ranges_) {
      if (pieces_.empty() || range.first >= pieces_.back().host.last) {
        pieces_.push_back({.host = range, .memory = {}});
        continue;
      }
      ByteRange& joined = pieces_.back().host;
      joined.last = std::max(joined.last, range.last);
      joined.written = joined.written || range.written;
    }
    for (Piece& piece : pieces_) {
      piece.memory = engine_.allocate(DType::u8, {piece.offset() + piece.bytes()});
      engine_.copy_to_engine(piece.on_host(), piece.on_engine());
    }
  }

  /// Points a view that was added at the engine's copy.
  template <typename View>
  void move(View& view) const {
    const auto range = range_of(view);
    if (!range) return;
    const auto after = std::ranges::upper_bound(pieces_, range->first, {}, [](const Piece& p) { return p.host.first; });
    const Piece& piece = *std::prev(after);
    auto* const moved = static_cast<std::byte*>(piece.on_engine().data) + (range->first - piece.host.first);
    view.data = reinterpret_cast<decltype(view.data)>(moved);
  }

  void copy_out() {
    for (Piece& piece : pieces_)
      if (piece.host.written) engine_.copy_to_host(piece.on_engine(), piece.on_host());
  }

 private:
  struct Piece {
    ByteRange host;
    Tensor memory;

    std::size_t bytes() const { return static_cast<std::size_t>(host.last - host.first); }
    std::size_t offset() const { return reinterpret_cast<std::uintptr_t>(host.first) % kAlignment; }
    TensorView on_host() const { return dense_view<void>(host.first, DType::u8, std::array{bytes()}); }
    TensorView on_engine() const {
      auto* const first = static_cast<std::byte*>(memory.view().data) + offset();
      return dense_view<void>(first, DType::u8, std::array{bytes()});
    }
  };

  Engine& engine_;
  std::vector<ByteRange> ranges_;
  std::vector<Piece> pieces_;
};

// call(args) with its views on the engine.
template <typename Args, typename Call>
void stage(Engine& engine, Args args, Call&& call) {
  Staging staging(engine);
  for_each_view(args, [&](const auto& view) { staging.add(view); });
  staging.copy_in();
  for_each_view(args, [&](auto& view) { staging.move(view); });
  call(args);
  staging.copy_out();
}

void copy_bytes(const ConstTensorView& from, const TensorView& to) {
  std::memcpy(to.data, from.data, from.elements() * size_of(from.dtype));
}

std::span<const std::size_t> shape_of(const TensorView& view) { return {view.shape.data(), view.rank}; }

Tensor host_copy(Engine& engine, const Tensor& tensor) {
  Tensor host = allocate_host_tensor(tensor.view().dtype, shape_of(tensor.view()));
  engine.copy_to_host(tensor, host);
  return host;
}

Tensor engine_copy(Engine& engine, const Tensor& host) {
  Tensor tensor = engine.allocate(host.view().dtype, shape_of(host.view()));
  engine.copy_to_engine(host, tensor);
  return tensor;
}

}  // namespace

Tensor StagedEngine::allocate(DType dtype, std::span<const std::size_t> shape) {
  return allocate_host_tensor(dtype, shape);
}

void StagedEngine::do_copy_to_engine(ConstTensorView host, TensorView engine) { copy_bytes(host, engine); }
void StagedEngine::do_copy_to_host(ConstTensorView engine, TensorView host) { copy_bytes(engine, host); }

std::unique_ptr<PackedMatrix> StagedEngine::do_pack(MatrixView<const float> weight, DType precision) {
  return engine_->pack(weight, precision);
}

void StagedEngine::do_attention(const AttentionArgs& args) {
  stage(*engine_, args, [&](const AttentionArgs& staged) { engine_->attention(staged); });
}
void StagedEngine::do_attention_map(const AttentionMapArgs& args) {
  stage(*engine_, args, [&](const AttentionMapArgs& staged) { engine_->attention_map(staged); });
}
void StagedEngine::do_rotary_embedding(const RotaryEmbeddingArgs& args) {
  stage(*engine_, args, [&](const RotaryEmbeddingArgs& staged) { engine_->rotary_embedding(staged); });
}
void StagedEngine::do_rms_norm(const RmsNormArgs& args) {
  stage(*engine_, args, [&](const RmsNormArgs& staged) { engine_->rms_norm(staged); });
}
void StagedEngine::do_layer_norm(const LayerNormArgs& args) {
  stage(*engine_, args, [&](const LayerNormArgs& staged) { engine_->layer_norm(staged); });
}
void StagedEngine::do_linear(const LinearArgs& args) {
  stage(*engine_, args, [&](const LinearArgs& staged) { engine_->linear(staged); });
}
void StagedEngine::do_gelu_mlp(const GeluMlpArgs& args) {
  stage(*engine_, args, [&](const GeluMlpArgs& staged) { engine_->gelu_mlp(staged); });
}
void StagedEngine::do_swiglu_mlp(const SwigluMlpArgs& args) {
  stage(*engine_, args, [&](const SwigluMlpArgs& staged) { engine_->swiglu_mlp(staged); });
}
void StagedEngine::do_certainty(const CertaintyArgs& args) {
  stage(*engine_, args, [&](const CertaintyArgs& staged) { engine_->certainty(staged); });
}
void StagedEngine::do_drift(const DriftArgs& args) {
  stage(*engine_, args, [&](const DriftArgs& staged) { engine_->drift(staged); });
}
void StagedEngine::do_convert(const ConvertArgs& args) {
  stage(*engine_, args, [&](const ConvertArgs& staged) { engine_->convert(staged); });
}
void StagedEngine::do_covariance(const CovarianceArgs& args) {
  stage(*engine_, args, [&](const CovarianceArgs& staged) { engine_->covariance(staged); });
}
void StagedEngine::do_eigendecomposition(const EigendecompositionArgs& args) {
  stage(*engine_, args, [&](const EigendecompositionArgs& staged) { engine_->eigendecomposition(staged); });
}
void StagedEngine::do_projection(const ProjectionArgs& args) {
  stage(*engine_, args, [&](const ProjectionArgs& staged) { engine_->projection(staged); });
}
void StagedEngine::do_neighbors(const NeighborsArgs& args) {
  stage(*engine_, args, [&](const NeighborsArgs& staged) { engine_->neighbors(staged); });
}
void StagedEngine::do_tsne_gradient(const TsneGradientArgs& args) {
  stage(*engine_, args, [&](const TsneGradientArgs& staged) { engine_->tsne_gradient(staged); });
}
void StagedEngine::do_tsne_step(const TsneStepArgs& args) {
  stage(*engine_, args, [&](const TsneStepArgs& staged) { engine_->tsne_step(staged); });
}

CosineStatistics StagedEngine::do_cosine_statistics(const CosineStatisticsArgs& args) {
  CosineStatistics found;
  stage(*engine_, args, [&](const CosineStatisticsArgs& staged) { found = engine_->cosine_statistics(staged); });
  return found;
}

SparseMatrix StagedEngine::do_affinities(const AffinitiesArgs& args) {
  SparseMatrix found;
  stage(*engine_, args, [&](const AffinitiesArgs& staged) { found = engine_->affinities(staged); });
  return to_host(found);
}

SparseMatrix StagedEngine::do_global_affinities(const GlobalAffinitiesArgs& args) {
  SparseMatrix found;
  stage(*engine_, args, [&](const GlobalAffinitiesArgs& staged) { found = engine_->global_affinities(staged); });
  return to_host(found);
}

std::unique_ptr<TsnePlan> StagedEngine::do_plan_tsne(const TsnePlanArgs& args) {
  const SparseMatrix affinities = to_engine(*args.affinities);
  TsnePlanArgs staged = args;
  staged.affinities = &affinities;
  return engine_->plan_tsne(staged);
}

double StagedEngine::do_tsne_kl(const TsneKlArgs& args) {
  const SparseMatrix affinities = to_engine(*args.affinities);
  double found = 0;
  stage(*engine_, args, [&](TsneKlArgs& staged) {
    staged.affinities = &affinities;
    found = engine_->tsne_kl(staged);
  });
  return found;
}

SparseMatrix StagedEngine::to_host(const SparseMatrix& matrix) {
  return {.row_offsets = host_copy(*engine_, matrix.row_offsets),
          .columns = host_copy(*engine_, matrix.columns),
          .values = host_copy(*engine_, matrix.values)};
}

SparseMatrix StagedEngine::to_engine(const SparseMatrix& matrix) {
  return {.row_offsets = engine_copy(*engine_, matrix.row_offsets),
          .columns = engine_copy(*engine_, matrix.columns),
          .values = engine_copy(*engine_, matrix.values)};
}

}  // namespace lexiscope
