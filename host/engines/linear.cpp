// Packing weights and the linear layer on the engines: the checks that all share, and the calls into the kernels.
#include "kernels/cpu/linear.h"

#include <atomic>

#include "host/core/views.h"
#include "host/engines/engines.h"
#include "host/engines/packed_matrix.h"
#include "kernels/reference/linear.h"

namespace lexiscope {
namespace {

std::atomic<std::size_t> bytes_of_parts = 0;  // of all matrices

std::size_t bytes_of(const Tensor& vector) { return vector.view().shape[0] * size_of(vector.view().dtype); }

}  // namespace

ReferencePackedMatrix::ReferencePackedMatrix(MatrixView<const float> weight, DType precision, std::string_view engine)
    : PackedMatrix(weight.rows, weight.columns, engine), in_bf16_(precision == DType::bf16) {
  values_.reserve(weight.rows * weight.columns);
  for (std::size_t j = 0; j < weight.rows; ++j)
    values_.insert(values_.end(), weight.row(j), weight.row(j) + weight.columns);
  if (in_bf16_)
    for (double& value : values_) value = reference::round_to_bf16(value);
}

CpuPackedMatrix::CpuPackedMatrix(MatrixView<const float> weight, DType precision, std::string_view engine, int threads)
    : PackedMatrix(weight.rows, weight.columns, engine),
      weights_{.out = weight.rows, .in = weight.columns, .steps_in_word = precision == DType::bf16 ? 2u : 1u} {
  const std::size_t size[] = {weights_.size()};
  storage_ = allocate_host_tensor(DType::f32, size);
  float* packed = storage_.vector<float>().data;
  cpu::pack_weights(weight, weights_, packed, threads);
  weights_.data = packed;
}

CpuPackedMatrix::~CpuPackedMatrix() {
  if (weights_with_parts_.parts) bytes_of_parts -= bytes_of(parts_);
}

const cpu::PackedWeights& CpuPackedMatrix::weights(std::size_t rows, const cpu::Context& context) const {
  if (cpu::choose_units(rows, weights_, context) == cpu::Units::vectors) return weights_;
  std::call_once(asked_for_parts_, [&] { keep_parts(context.threads); });
  return weights_with_parts_;
}

void CpuPackedMatrix::keep_parts(int threads) const {
  weights_with_parts_ = weights_;
  const std::size_t size[] = {cpu::size_of_parts(weights_)};
  if (bytes_of_parts + size[0] * size_of(DType::bf16) > kMostBytesOfParts) return;
  parts_ = allocate_host_tensor(DType::bf16, size);
  bytes_of_parts += bytes_of(parts_);
  auto* const parts = static_cast<std::uint16_t*>(parts_.view().data);
  cpu::split_weights(weights_, parts, threads);
  weights_with_parts_.parts = parts;
}

std::unique_ptr<PackedMatrix> Engine::pack(MatrixView<const float> weight, DType precision) {
  require(weight.rows > 0 && weight.columns > 0, "pack: weight is [{}, {}], needs at least [1, 1]", weight.rows,
          weight.columns);
  require_matrix("pack: weight", weight);
  if (precision != DType::f32 && precision != DType::bf16)
    fail(ErrorCode::kUnsupported, "pack: weights in {} are not supported, f32 and bf16 are", name_of(precision));
  return do_pack(weight, precision);
}

std::unique_ptr<PackedMatrix> ReferenceEngine::do_pack(MatrixView<const float> weight, DType precision) {
  return std::make_unique<ReferencePackedMatrix>(weight, precision, name());
}

std::unique_ptr<PackedMatrix> CpuEngine::do_pack(MatrixView<const float> weight, DType precision) {
  return std::make_unique<CpuPackedMatrix>(weight, precision, name(), threads_);
}

void Engine::linear(const LinearArgs& args) {
  require_weight(args.weight, name(), args.x.columns, "linear: weight");
  const auto [rows, out] = std::pair{args.x.rows, args.weight->rows()};
  require_matrix("linear: x", args.x);
  require_vector_if_any("linear: bias", args.bias, out);
  require_matrix_if_any("linear: residual", args.residual, rows, out);
  require_matrix("linear: y", args.y, rows, out);
  require_apart("linear", args.y, "y", args.x, "x");
  require_apart("linear", args.y, "y", as_row(args.bias), "bias");
  require_apart_or_same("linear", args.y, "y", args.residual, "residual");
  if (rows > 0) do_linear(args);
}

void ReferenceEngine::do_linear(const LinearArgs& args) {
  reference::linear(args, static_cast<const ReferencePackedMatrix&>(*args.weight).view());
}

const cpu::PackedWeights& CpuEngine::weights_of(const PackedMatrix* matrix, std::size_t rows) {
  return static_cast<const CpuPackedMatrix&>(*matrix).weights(rows, context());
}

void CpuEngine::do_linear(const LinearArgs& args) {
  const cpu::PackedWeights& weights = weights_of(args.weight, args.x.rows);
  cpu::linear(args, weights, context(cpu::linear_workspace(args, weights, context())));
}

}  // namespace lexiscope
