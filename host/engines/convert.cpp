// Conversion on the engines: the check that all share, and the calls into the kernels.
#include "kernels/cpu/convert.h"

#include "host/core/views.h"
#include "host/engines/engines.h"
#include "kernels/reference/convert.h"

namespace lexiscope {
namespace {

void require_rows(std::string_view name, const ConstTensorView& view) {
  require(view.rank == 2, "convert: {} has rank {}, needs 2", name, view.rank);
  const auto [rows, columns] = std::pair{view.shape[0], view.shape[1]};
  require(!view.empty() || rows == 0 || columns == 0, "convert: {} is [{}, {}] with no memory", name, rows, columns);
  require(columns <= 1 || view.strides[1] == 1, "convert: {}'s last dimension has stride {}, needs to be dense", name,
          view.strides[1]);
  require(rows <= 1 || view.strides[0] >= columns, "convert: {} has a stride of {}, needs at least its {} columns",
          name, view.strides[0], columns);
}

MatrixView<const std::byte> bytes_of(const ConstTensorView& view) {
  const std::size_t element = size_of(view.dtype);
  return {static_cast<const std::byte*>(view.data), view.shape[0], view.shape[1] * element, view.strides[0] * element};
}

bool is_supported(DType from, DType to) {
  if (from == DType::f32) return to == DType::f32 || to == DType::bf16;
  return from == DType::bf16 && to == DType::f32;
}

}  // namespace

void Engine::convert(const ConvertArgs& args) {
  const auto &from = args.from, to = ConstTensorView(args.to);
  require_rows("from", from);
  require_rows("to", to);
  require(from.shape[0] == to.shape[0] && from.shape[1] == to.shape[1], "convert: to is [{}, {}], needs [{}, {}]",
          to.shape[0], to.shape[1], from.shape[0], from.shape[1]);
  if (!is_supported(from.dtype, to.dtype))
    fail(ErrorCode::kUnsupported, "convert: from {} to {}; there are f32 to f32, f32 to bf16 and bf16 to f32",
         name_of(from.dtype), name_of(to.dtype));
  require(!overlaps(bytes_of(from), bytes_of(to)), "convert: to, at {}, overlaps from, at {}", fmt::ptr(to.data),
          fmt::ptr(from.data));
  if (from.elements() > 0) do_convert(args);
}

void ReferenceEngine::do_convert(const ConvertArgs& args) { reference::convert(args); }
void CpuEngine::do_convert(const ConvertArgs& args) { cpu::convert(args, context()); }

}  // namespace lexiscope
