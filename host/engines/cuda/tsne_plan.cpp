#include "host/engines/cuda/tsne_plan.h"

#include <memory>
#include <utility>
#include <vector>

#include "host/core/finite.h"
#include "host/core/require.h"
#include "host/engines/tsne_checks.h"
#include "kernels/cuda/tsne_map.h"

namespace lexiscope::cuda {
namespace {

template <typename Element>
std::span<std::byte> bytes_of(std::vector<Element>& values) {
  return std::as_writable_bytes(std::span(values));
}

Tensor host_copy(const Tensor& tensor, Stream& stream) {
  TensorView view = tensor.view();
  const auto bytes = std::make_shared<std::vector<std::byte>>(view.elements() * size_of(view.dtype));
  stream.copy_to_host(*bytes, view.data);
  view.data = bytes->data();
  return {bytes, view};
}

std::vector<float> host_copy(const MatrixView<const float>& matrix, Stream& stream) {
  std::vector<float> values((matrix.rows - 1) * matrix.stride + matrix.columns);
  stream.copy_to_host(bytes_of(values), matrix.data);
  return values;
}

// The sum of what `bytes` asks for, each aligned to 256.
class Offsets {
 public:
  std::size_t add(std::size_t bytes) {
    const std::size_t at = used_;
    used_ += (bytes + 255) / 256 * 256;
    return at;
  }
  std::size_t used() const { return used_; }

 private:
  std::size_t used_ = 0;
};

}  // namespace

CompressedRows compressed_rows(std::string_view operation, const SparseMatrix& matrix) {
  constexpr std::size_t kMostRows = std::size_t{1} << 30;
  if (matrix.rows() > kMostRows)
    fail(ErrorCode::kUnsupported, "{}: affinities has {} rows, the cuda engine takes at most {}", operation,
         matrix.rows(), kMostRows);
  return {.rows = matrix.rows(),
          .entries = matrix.entries(),
          .row_offsets = matrix.row_offsets.vector<std::int64_t>().data,
          .columns = matrix.columns.vector<std::int32_t>().data,
          .values = matrix.values.vector<float>().data};
}

void fail_affinities(std::string_view operation, const SparseMatrix& matrix, Stream& stream) {
  require_affinities_contents(operation, {.row_offsets = host_copy(matrix.row_offsets, stream),
                                          .columns = host_copy(matrix.columns, stream),
                                          .values = host_copy(matrix.values, stream)});
  fail(ErrorCode::kInvalidArgument, "{}: affinities changed while they were read", operation);
}

void fail_positions(std::string_view operation, const MatrixView<const float>& positions, Stream& stream) {
  const std::vector<float> copy = host_copy(positions, stream);
  require_positions(operation, {copy.data(), positions.rows, positions.columns, positions.stride}, 1);
  fail(ErrorCode::kInvalidArgument, "{}: positions changed while they were read", operation);
}

CudaTsnePlan::CudaTsnePlan(const TsnePlanArgs& args, std::string_view engine, Machine machine)
    : TsnePlan(args.affinities->rows(), args.dimensions, engine),
      machine_(std::move(machine)),
      wanted_(args.repulsion) {
  take(*args.affinities);
  cut_state();
}

void CudaTsnePlan::take(const SparseMatrix& affinities) {
  const CompressedRows matrix = compressed_rows("plan_tsne", affinities);
  const std::size_t offset_bytes = (matrix.rows + 1) * sizeof(std::int64_t);
  edges_ = machine_.pool->allocate(matrix.entries * sizeof(TsneEdge));
  offsets_ = machine_.pool->allocate(offset_bytes);
  affinities_ = {static_cast<const std::int64_t*>(offsets_.get()), static_cast<const TsneEdge*>(edges_.get())};
  const auto faulty = machine_.pool->allocate(sizeof(unsigned));
  machine_.stream->fill_with_zeros(faulty.get(), sizeof(unsigned));
  tsne_take_affinities(matrix, static_cast<TsneEdge*>(edges_.get()), static_cast<unsigned*>(faulty.get()), stream());
  machine_.device->check(
      cudaMemcpyAsync(offsets_.get(), matrix.row_offsets, offset_bytes, cudaMemcpyDeviceToDevice, stream()),
      "cudaMemcpyAsync");
  std::vector<unsigned> found(1);
  machine_.stream->copy_to_host(bytes_of(found), faulty.get());
  if (found.front() != 0) fail_affinities("plan_tsne", affinities, *machine_.stream);
}

void CudaTsnePlan::cut_state() {
  state_.points = static_cast<unsigned>(points());
  state_.dimensions = static_cast<unsigned>(dimensions());
  const std::size_t padded = points() * state_.pitch() * sizeof(float), dense = points() * dimensions() * sizeof(float);
  const std::size_t partials = state_.partials() * dimensions();
  Offsets offsets;
  const std::size_t position = offsets.add(padded), moved = offsets.add(padded), force = offsets.add(padded),
                    update = offsets.add(dense), gain = offsets.add(dense),
                    sums = offsets.add(partials * sizeof(double)), highs = offsets.add(partials * sizeof(int)),
                    lows = offsets.add(partials * sizeof(int)), status = offsets.add(sizeof(TsneStatus));
  state_memory_ = machine_.pool->allocate(offsets.used());
  auto* const memory = static_cast<std::byte*>(state_memory_.get());
  state_.position = reinterpret_cast<float*>(memory + position);
  state_.moved = reinterpret_cast<float*>(memory + moved);
  state_.force = reinterpret_cast<float*>(memory + force);
  state_.update = reinterpret_cast<float*>(memory + update);
  state_.gain = reinterpret_cast<float*>(memory + gain);
  state_.sums = reinterpret_cast<double*>(memory + sums);
  state_.highs = reinterpret_cast<int*>(memory + highs);
  state_.lows = reinterpret_cast<int*>(memory + lows);
  state_.status = reinterpret_cast<TsneStatus*>(memory + status);
}

void CudaTsnePlan::begin(const TsneParameters& parameters) {
  const TsneStatus fresh{.parameters = parameters};
  machine_.stream->copy_to_device(state_.status, std::as_bytes(std::span(&fresh, 1)));
}

TsneStatus CudaTsnePlan::read_status() {
  TsneStatus status;
  machine_.stream->copy_to_host(std::as_writable_bytes(std::span(&status, 1)), state_.status);
  return status;
}

void CudaTsnePlan::import(const float* positions, const float* update, const float* gains) {
  if (!repulsor_ && wanted_ == Repulsion::exact) prepare("", {.wanted = {.method = TsneMethod::exact}});
  tsne_import(state_, positions, update, gains, wanted_, present(), stream());
}

// Another repulsion where the map wants one that is not at hand. The one before goes first, with its memory, unless
// that serves the new one as well.
void CudaTsnePlan::prepare(std::string_view operation, const TsneStatus& status) {
  if (present() == status.wanted && repulsor_) return;
  if (status.wanted.method == TsneMethod::none) {
    const auto side = [&](std::size_t axis) { return double(status.high[axis]) - double(status.low[axis]); };
    fail(
        ErrorCode::kUnsupported,
        "{}: repulsion is grid, but the map's sides are {} x {} x {}: its grid would need more than {} nodes; exact or "
        "automatic repulsion can do it",
        operation, side(0), side(1), side(2), kMostGridNodes);
  }
  std::optional<Repulsor> before = std::exchange(repulsor_, std::nullopt);
  const bool fits = before && before->config.has_layout_of(status.wanted);
  if (!fits) before.reset();
  Repulsor made{.config = status.wanted};
  if (status.wanted.method == TsneMethod::exact) {
    made.exact = choose_tsne_exact_config(state_.points, state_.dimensions, machine_.device->properties());
    made.memory = machine_.pool->allocate(tsne_exact_workspace(state_.points, state_.dimensions, made.exact));
  } else {
    if (fits) {
      made.memory = std::move(before->memory);
      made.transforms = std::move(before->transforms);
    }
    prepare_grid(made);
  }
  repulsor_ = std::move(made);
}

void CudaTsnePlan::prepare_grid(Repulsor& repulsor) {
  std::size_t bytes = 0;
  cut_tsne_grid(repulsor.config, state_.points, state_.dimensions, nullptr, bytes);
  if (!repulsor.memory) repulsor.memory = machine_.pool->allocate(bytes);
  repulsor.grid = cut_tsne_grid(repulsor.config, state_.points, state_.dimensions, repulsor.memory.get(), bytes);
  if (!repulsor.transforms)
    repulsor.transforms = std::make_unique<Transforms>(machine_.device, *machine_.pool, *machine_.stream, repulsor.grid,
                                                       state_.dimensions);
  const std::vector<float> filters = tsne_grid_filters(repulsor.grid, state_.dimensions);
  machine_.stream->copy_to_device(repulsor.grid.filters, std::as_bytes(std::span(filters)));
  prepare_tsne_grid(repulsor.grid, state_.dimensions, repulsor.transforms->handles(), stream());
}

void CudaTsnePlan::repel() {
  if (repulsor_->transforms)
    tsne_grid_repulsion(state_, repulsor_->grid, repulsor_->transforms->handles(), stream());
  else
    tsne_exact_repulsion(state_, repulsor_->exact, repulsor_->memory.get(), stream());
}

void CudaTsnePlan::gradient(const TsneGradientArgs& args) {
  begin({.exaggeration = args.exaggeration});
  import(args.positions.data, nullptr, nullptr);
  const auto enqueue = [&] {
    repel();
    tsne_write_gradient(state_, affinities_, args.gradient.data, stream());
  };
  if (repulsor_) enqueue();
  TsneStatus status = read_status();
  if (status.faults) fail_positions("tsne_gradient", args.positions, *machine_.stream);
  if (!status.active) {  // the map wants another repulsion than the one at hand
    prepare("tsne_gradient", status);
    tsne_activate(state_, present(), stream());
    enqueue();
    if (args.normalization) status = read_status();
  }
  if (args.normalization) *args.normalization = status.normalization;
}

void CudaTsnePlan::enqueue_iteration() {
  repel();
  tsne_step_points(state_, affinities_, repulsor_->grid.cells.order, stream());
  tsne_finish_iteration(state_, wanted_, present(), stream());
}

// A repulsion's first iteration goes without a graph: what CUDA and cuFFT load when it is first used they load outside
// of a capture.
void CudaTsnePlan::run_iterations(std::size_t count) {
  if (count > 0 && !std::exchange(repulsor_->has_run, true)) {
    enqueue_iteration();
    --count;
  }
  if (count > 0 && !repulsor_->iteration) {
    repulsor_->iteration = std::make_unique<Graph>(machine_.device, *machine_.stream, [this] { enqueue_iteration(); });
    ++captures_;
  }
  for (; count > 0; --count) repulsor_->iteration->launch(*machine_.stream);
}

// Iterations run on the device until they are done, or until the map has outgrown its repulsion: then the rest of them
// waits for another.
void CudaTsnePlan::step(const TsneStepArgs& args) {
  begin({.exaggeration = args.exaggeration,
         .learning_rate = args.learning_rate,
         .momentum = args.momentum,
         .max_step_norm = args.max_step_norm,
         .min_gain = args.min_gain});
  import(args.positions.data, args.update.data, args.gains.data);
  TsneStatus status;
  for (bool first = true;; first = false) {
    if (repulsor_) run_iterations(args.iterations - status.iterations);
    status = read_status();
    if (first && status.faults) fail_step(args, status.faults);
    if (status.iterations >= args.iterations) break;
    prepare("tsne_step", status);
    tsne_activate(state_, present(), stream());
  }
  tsne_export(state_, args.positions.data, args.update.data, args.gains.data, stream());
}

void CudaTsnePlan::fail_step(const TsneStepArgs& args, unsigned faults) {
  if (faults & kTsnePositionsFault) fail_positions("tsne_step", args.positions, *machine_.stream);
  const bool update = (faults & kTsneUpdateFault) != 0;
  const MatrixView<const float> wrong = update ? args.update : args.gains;
  const std::vector<float> copy = host_copy(wrong, *machine_.stream);
  require_finite("tsne_step", update ? "update" : "gains", {copy.data(), wrong.rows, wrong.columns, wrong.stride}, 1);
  fail(ErrorCode::kInvalidArgument, "tsne_step: {} changed while it was read", update ? "update" : "gains");
}

}  // namespace lexiscope::cuda
