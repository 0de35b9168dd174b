// t-SNE's gradient and step on the engines: the checks that all share, the plans, and the calls into the kernels.
#include "kernels/cpu/tsne_gradient.h"

#include <cmath>
#include <optional>

#include "host/core/finite.h"
#include "host/core/views.h"
#include "host/engines/engines.h"
#include "host/engines/tsne_checks.h"
#include "kernels/cpu/tsne_attraction.h"
#include "kernels/reference/tsne_gradient.h"

namespace lexiscope {
namespace {

void require_plan(std::string_view operation, const TsnePlan* plan, std::string_view engine) {
  require(plan != nullptr, "{}: plan is null", operation);
  require(plan->engine() == engine, "{}: plan belongs to the engine \"{}\", this is \"{}\"", operation, plan->engine(),
          engine);
}

template <typename Element>
void require_map(std::string_view operation, std::string_view name, const MatrixView<Element>& view,
                 const TsnePlan& plan) {
  require(
      !view.empty() && view.rows == plan.points() && view.columns == plan.dimensions() && view.stride == view.columns,
      "{}: {} is [{}, {}] with a stride of {}, needs to be [{}, {}] and dense", operation, name, view.rows,
      view.columns, view.stride, plan.points(), plan.dimensions());
}

void require_positions_of(const TsneStepArgs& args, int threads) {
  require_positions("tsne_step", args.positions, threads);
  require_finite("tsne_step", "update", args.update, threads);
  require_finite("tsne_step", "gains", args.gains, threads);
}

class ReferenceTsnePlan final : public TsnePlan {
 public:
  ReferenceTsnePlan(const TsnePlanArgs& args, std::string_view engine)
      : TsnePlan(args.affinities->rows(), args.dimensions, engine), affinities_(*args.affinities) {}

  const SparseMatrix& affinities() const noexcept { return affinities_; }

 private:
  SparseMatrix affinities_;  // shares the arrays with the caller's
};

// Owns the memory of a t-SNE on the cpu engine, and gives the repulsion more where the map outgrows it.
class CpuTsnePlan final : public TsnePlan {
 public:
  CpuTsnePlan(const TsnePlanArgs& args, std::string_view engine)
      : TsnePlan(args.affinities->rows(), args.dimensions, engine), wanted_(args.repulsion) {
    cpu::WorkspaceCutter counter(nullptr);
    cut(counter, *args.affinities);
    cpu::WorkspaceCutter cutter(memory_.reserve(counter.used()).data());
    cut(cutter, *args.affinities);
  }

  double gradient(const TsneGradientArgs& args, const cpu::Context& context) {
    cpu::set_tsne_positions(state_, args.positions);
    const cpu::TsneExtents extents = cpu::find_tsne_extents(state_);
    return cpu::tsne_gradient(state_, affinities_, extents, repulsion_for("tsne_gradient", extents, context), args,
                              context);
  }

  void step(const TsneStepArgs& args, const cpu::Context& context) {
    cpu::set_tsne_positions(state_, args.positions);
    cpu::load_tsne_columns(state_, args.update, state_.update);
    cpu::load_tsne_columns(state_, args.gains, state_.gain);
    for (std::size_t iteration = 0; iteration < args.iterations; ++iteration) {
      const cpu::TsneExtents extents = cpu::find_tsne_extents(state_);
      cpu::tsne_step(state_, affinities_, extents, repulsion_for("tsne_step", extents, context), args, context);
    }
    cpu::store_tsne_columns(state_, state_.position, args.positions);
    cpu::store_tsne_columns(state_, state_.update, args.update);
    cpu::store_tsne_columns(state_, state_.gain, args.gains);
  }

 private:
  void cut(cpu::WorkspaceCutter& cutter, const SparseMatrix& affinities) {
    const auto offsets = affinities.row_offsets.vector<std::int64_t>();
    affinities_ =
        cpu::pad_affinities(cutter, {offsets.data, offsets.size}, affinities.columns.vector<std::int32_t>().data,
                            affinities.values.vector<float>().data);
    state_ = cpu::cut_tsne_state(cutter, points(), dimensions());
  }

  // The repulsion for a map of those extents: the one at hand, or another in the same memory.
  const cpu::TsneRepulsion& repulsion_for(std::string_view operation, const cpu::TsneExtents& extents,
                                          const cpu::Context& context) {
    std::array<double, 3> sides{};
    for (std::size_t c = 0; c < dimensions(); ++c) sides[c] = double(extents.high[c]) - double(extents.low[c]);
    const auto config = cpu::choose_tsne_config(points(), dimensions(), sides, wanted_);
    if (!config)
      fail(ErrorCode::kUnsupported,
           "{}: repulsion is grid, but the map's sides are {} x {} x {}: its grid would need more than {} nodes; exact "
           "or automatic repulsion can do it",
           operation, sides[0], sides[1], sides[2], cpu::kMostGridNodes);
    if (!repulsion_ || repulsion_->config != *config || threads_ != context.threads) {
      repulsion_.reset();  // what it points to is about to go
      const std::size_t bytes = cpu::tsne_repulsion_memory(*config, state_, context.threads);
      repulsion_ = cpu::prepare_tsne_repulsion(*config, state_, repulsion_memory_.reserve(bytes), context);
      threads_ = context.threads;
    }
    return *repulsion_;
  }

  Repulsion wanted_;
  HostWorkspace memory_, repulsion_memory_;
  cpu::TsneAffinities affinities_;
  cpu::TsneState state_;
  std::optional<cpu::TsneRepulsion> repulsion_;
  int threads_ = 0;  // that repulsion_ has scratch memory for
};

}  // namespace

std::unique_ptr<TsnePlan> Engine::plan_tsne(const TsnePlanArgs& args) {
  require_affinities_shape("plan_tsne", args.affinities);
  require(args.dimensions == 2 || args.dimensions == 3, "plan_tsne: dimensions is {}, needs to be 2 or 3",
          args.dimensions);
  return do_plan_tsne(args);
}

void Engine::tsne_gradient(const TsneGradientArgs& args) {
  require_plan("tsne_gradient", args.plan, name());
  require_map("tsne_gradient", "positions", args.positions, *args.plan);
  require_map("tsne_gradient", "gradient", args.gradient, *args.plan);
  require(!overlaps(args.positions, args.gradient), "tsne_gradient: gradient shares memory with positions");
  require(std::isfinite(args.exaggeration), "tsne_gradient: exaggeration is {}, needs to be finite", args.exaggeration);
  do_tsne_gradient(args);
}

void Engine::tsne_step(const TsneStepArgs& args) {
  require_plan("tsne_step", args.plan, name());
  require_map("tsne_step", "positions", args.positions, *args.plan);
  require_map("tsne_step", "update", args.update, *args.plan);
  require_map("tsne_step", "gains", args.gains, *args.plan);
  require(!overlaps(args.positions, args.update) && !overlaps(args.positions, args.gains) &&
              !overlaps(args.update, args.gains),
          "tsne_step: positions, update and gains share memory");
  require(std::isfinite(args.exaggeration), "tsne_step: exaggeration is {}, needs to be finite", args.exaggeration);
  require(std::isfinite(args.learning_rate) && args.learning_rate > 0,
          "tsne_step: learning_rate is {}, needs to be positive and finite", args.learning_rate);
  require(std::isfinite(args.momentum), "tsne_step: momentum is {}, needs to be finite", args.momentum);
  require(std::isfinite(args.max_step_norm) && args.max_step_norm > 0,
          "tsne_step: max_step_norm is {}, needs to be positive and finite", args.max_step_norm);
  require(std::isfinite(args.min_gain) && args.min_gain >= 0,
          "tsne_step: min_gain is {}, needs to be finite and not negative", args.min_gain);
  do_tsne_step(args);
}

std::unique_ptr<TsnePlan> ReferenceEngine::do_plan_tsne(const TsnePlanArgs& args) {
  require_affinities_contents("plan_tsne", *args.affinities);
  return std::make_unique<ReferenceTsnePlan>(args, name());
}

void ReferenceEngine::do_tsne_gradient(const TsneGradientArgs& args) {
  require_positions("tsne_gradient", args.positions, threads());
  const double z = reference::tsne_gradient(static_cast<ReferenceTsnePlan*>(args.plan)->affinities(), args);
  if (args.normalization) *args.normalization = z;
}

void ReferenceEngine::do_tsne_step(const TsneStepArgs& args) {
  require_positions_of(args, threads());
  reference::tsne_step(static_cast<ReferenceTsnePlan*>(args.plan)->affinities(), args);
}

std::unique_ptr<TsnePlan> CpuEngine::do_plan_tsne(const TsnePlanArgs& args) {
  require_affinities_contents("plan_tsne", *args.affinities);
  return std::make_unique<CpuTsnePlan>(args, name());
}

void CpuEngine::do_tsne_gradient(const TsneGradientArgs& args) {
  require_positions("tsne_gradient", args.positions, threads());
  const double z = static_cast<CpuTsnePlan*>(args.plan)->gradient(args, context());
  if (args.normalization) *args.normalization = z;
}

void CpuEngine::do_tsne_step(const TsneStepArgs& args) {
  require_positions_of(args, threads());
  static_cast<CpuTsnePlan*>(args.plan)->step(args, context());
}

}  // namespace lexiscope
