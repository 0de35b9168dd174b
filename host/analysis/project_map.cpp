// Gradient descent in calls of a few iterations. Their boundaries depend on the problem alone, never on when a
// checkpoint or a stop came, so that a resumed run takes the very same steps.
#include "host/analysis/project_map.h"

#include <algorithm>
#include <array>
#include <future>
#include <optional>
#include <utility>

#include "host/analysis/engine_arrays.h"
#include "host/analysis/stage_clock.h"
#include "host/core/control.h"

namespace lexiscope {
namespace {

constexpr std::size_t kSmallMap = 5'000;  // below it a divergence costs less than a few iterations
constexpr std::size_t kKlInterval = 50;   // iterations between them: openTSNE's log has the same
constexpr std::size_t kMostIterations = 10;
// Of iterations together: some tens of milliseconds with a grid. A call to a device costs several copies beside them.
constexpr std::size_t kPointsPerCall = 250'000, kPointsPerDeviceCall = 2'500'000;

Tensor ones(std::size_t rows, std::size_t columns) {
  Tensor tensor = allocate_host_tensor(DType::f32, std::array{rows, columns});
  std::fill_n(tensor.matrix<float>().data, rows * columns, 1.0f);
  return tensor;
}

class Descent {
 public:
  Descent(Engine& engine, const SparseMatrix& affinities, Tensor initial, const ProjectOptions& options,
          const Control* control, RunWriter& run, nlohmann::json state)
      : engine_(engine),
        affinities_(affinities),
        options_(options),
        control_(control),
        run_(run),
        state_(std::move(state)),
        clock_(state_, "tsne"),
        points_(affinities.rows()),
        plan_(engine.plan_tsne(
            {.affinities = &affinities, .dimensions = options.dimensions, .repulsion = options.repulsion})),
        positions_(std::move(initial)),
        update_(engine.allocate(DType::f32, {points_, options.dimensions})),
        gains_(on_engine(engine, ones(points_, options.dimensions))) {}

  void load_checkpoint() {
    for (const auto& [name, tensor] : arrays())
      copy_to_engine<float>(engine_, run_.read_checkpoint_array(name), tensor);
    const auto& saved = state_.at("map");
    iteration_ = saved_iteration_ = resumed_from_ = saved.at("iteration");
    for (const auto& record : saved.at("kl")) kl_.push_back({record.at(0), record.at(1)});
  }

  std::size_t iteration() const { return iteration_; }

  ProjectMap finish() {
    try {
      while (advance()) {
      }
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kCancelled) write(take_checkpoint());
      throw;
    }
    return {.positions = positions_, .kl = std::move(kl_), .resumed_from = resumed_from_};
  }

 private:
  /// One call to the engine and what is due before it; false at the end.
  bool advance() {
    const bool recorded = !kl_.empty() && kl_.back().iteration == iteration_;
    if (!recorded && records_kl(iteration_, points_, options_.iterations)) record_kl();
    if (iteration_ == options_.iterations) return false;
    check_stop(control_);
    std::optional<Checkpoint> due;
    if (options_.checkpoint_every > 0 && iteration_ - saved_iteration_ >= options_.checkpoint_every) {
      due = take_checkpoint();
      if (engine_.memory_is_host()) write(*std::exchange(due, {}));  // the next step changes these very arrays
    }
    std::future<void> writing;
    if (due) writing = std::async(std::launch::async, [&] { write(*due); });  // while a device goes on
    step();
    if (writing.valid()) writing.get();
    wait();
    report(control_, static_cast<double>(iteration_) / static_cast<double>(options_.iterations));
    return true;
  }

  void step() {
    const bool early = iteration_ < kEarlyIterations;
    const std::size_t phase_end = early ? std::min(kEarlyIterations, options_.iterations) : options_.iterations;
    const std::size_t call = iterations_per_call(points_, engine_.memory_is_host());
    const std::size_t last = std::min(phase_end, (iteration_ / call + 1) * call);
    const double exaggeration = early ? options_.exaggeration : 1;
    const double automatic_rate = static_cast<double>(points_) / exaggeration;  // Belkina et al. 2019
    engine_.tsne_step(
        {.plan = plan_.get(),
         .positions = positions_.matrix<float>(),
         .update = update_.matrix<float>(),
         .gains = gains_.matrix<float>(),
         .iterations = last - iteration_,
         .exaggeration = static_cast<float>(exaggeration),
         .learning_rate = static_cast<float>(options_.learning_rate > 0 ? options_.learning_rate : automatic_rate)});
    iteration_ = last;
  }

  void record_kl() {
    const Control stop_only{.stop = control_ ? control_->stop : std::stop_token{}, .progress = {}};
    const double kl =
        engine_.tsne_kl({.affinities = &affinities_, .positions = positions_.matrix<float>(), .control = &stop_only});
    kl_.push_back({iteration_, kl});
  }

  /// For an engine that only enqueues: so that progress is what is done, and a stop is not far behind.
  void wait() {
    if (engine_.memory_is_host()) return;
    float first = 0;
    constexpr std::array<std::size_t, 1> kOne{1};
    engine_.copy_to_host(dense_view<const void>(positions_.view().data, DType::f32, kOne),
                         dense_view<void>(&first, DType::f32, kOne));
  }

  std::map<std::string, Tensor> arrays() const {
    return {{"tsne_positions", positions_}, {"tsne_update", update_}, {"tsne_gains", gains_}};
  }

  /// What a resumed run goes on from, in the host's memory.
  struct Checkpoint {
    std::size_t iteration;
    std::map<std::string, Tensor> arrays;
    nlohmann::json records;
  };

  Checkpoint take_checkpoint() {
    Checkpoint checkpoint{iteration_, arrays(), nlohmann::json::array()};
    for (auto& [name, tensor] : checkpoint.arrays) tensor = on_host(engine_, tensor);
    for (const KlRecord& record : kl_) checkpoint.records.push_back({record.iteration, record.kl});
    return checkpoint;
  }

  void write(const Checkpoint& checkpoint) {
    state_["map"] = {{"iteration", checkpoint.iteration}, {"kl", checkpoint.records}};
    state_["seconds"]["tsne"] = clock_.seconds();
    run_.save_checkpoint(state_, {checkpoint.arrays.begin(), checkpoint.arrays.end()});
    saved_iteration_ = checkpoint.iteration;
  }

  Engine& engine_;
  const SparseMatrix& affinities_;
  const ProjectOptions& options_;
  const Control* control_;
  RunWriter& run_;
  nlohmann::json state_;
  StageClock clock_;
  std::size_t points_;
  std::unique_ptr<TsnePlan> plan_;
  Tensor positions_, update_, gains_;
  std::vector<KlRecord> kl_;
  std::size_t iteration_ = 0, saved_iteration_ = 0, resumed_from_ = 0;
};

}  // namespace

bool records_kl(std::size_t iteration, std::size_t points, std::size_t iterations) {
  if (iteration == 0) return false;
  if (iteration == kEarlyIterations || iteration == iterations) return true;
  return points <= kSmallMap && iteration % kKlInterval == 0;
}

bool has_unfinished_map(const RunWriter& run) {
  return run.checkpoint().is_object() && run.checkpoint().contains("map");
}

std::size_t iterations_per_call(std::size_t points, bool on_the_host) {
  const std::size_t together = on_the_host ? kPointsPerCall : kPointsPerDeviceCall;
  return std::clamp<std::size_t>(together / std::max<std::size_t>(points, 1), 1, kMostIterations);
}

ProjectMap make_map(Engine& engine, const SparseMatrix& affinities, Tensor initial, const ProjectOptions& options,
                    const Control* control, RunWriter& run, nlohmann::json state) {
  Descent descent(engine, affinities, std::move(initial), options, control, run, std::move(state));
  if (has_unfinished_map(run)) descent.load_checkpoint();
  if (options.on_stage) options.on_stage({"tsne", descent.iteration(), options.iterations, "iterations"});
  return descent.finish();
}

}  // namespace lexiscope
