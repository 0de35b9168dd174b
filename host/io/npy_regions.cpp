// Regions of a row-major file: each is cut into the longest runs that lie together both in memory and in the file.
#include "host/io/npy_regions.h"

#include <array>

#include "host/core/require.h"
#include "host/io/array_layout.h"
#include "host/io/npy_header.h"

namespace lexiscope {
namespace {

std::size_t checked_elements(const std::filesystem::path& path, DType dtype, std::span<const std::size_t> shape) {
  require(!shape.empty() && shape.size() <= kMaxRank, "{}: rank {}, needs to be 1 to {}", path.string(), shape.size(),
          kMaxRank);
  const auto bytes = checked_product(shape, size_of(dtype));
  require(bytes.has_value(), "{}: shape {} overflows", path.string(), shape_text(shape));
  npy_descr(dtype);  // refuses what the format lacks
  return *bytes / size_of(dtype);
}

std::span<const std::size_t> shape_of(const ConstTensorView& view) { return {view.shape.data(), view.rank}; }

}  // namespace

NpyRegions::NpyRegions(const std::filesystem::path& path, DType dtype, std::vector<std::size_t> shape)
    : dtype_(dtype), shape_(std::move(shape)), elements_(checked_elements(path, dtype, shape_)), file_(path) {
  const std::string header = npy_file_header(dtype_, shape_.front(), std::span(shape_).subspan(1));
  data_at_ = header.size();
  file_.write_at(0, std::as_bytes(std::span(header)));
}

void NpyRegions::write(std::span<const std::size_t> first, ConstTensorView piece) {
  const std::string name = file_.path().string();
  require(piece.dtype == dtype_, "{}: a region is {}, the array {}", name, name_of(piece.dtype), name_of(dtype_));
  bool fits = piece.rank == shape_.size() && first.size() == shape_.size();
  for (std::size_t axis = 0; fits && axis < shape_.size(); ++axis)
    fits = first[axis] <= shape_[axis] && piece.shape[axis] <= shape_[axis] - first[axis];
  require(fits, "{}: a region of shape {} at {} leaves the array of shape {}", name, shape_text(shape_of(piece)),
          shape_text(first), shape_text(shape_));
  if (piece.elements() == 0) return;

  std::size_t inner = piece.rank - 1;  // axes from here on make up one run
  std::size_t run = piece.shape[inner];
  while (inner > 0 && piece.shape[inner] == shape_[inner] && piece.strides[inner - 1] == run)
    run *= piece.shape[--inner];

  const std::size_t size = size_of(dtype_);
  const auto* data = static_cast<const std::byte*>(piece.data);
  std::array<std::size_t, kMaxRank> at{};  // of the run, within the piece
  for (std::size_t runs = piece.elements() / run; runs > 0; --runs) {
    std::size_t in_file = 0, in_memory = 0;
    for (std::size_t axis = 0; axis < piece.rank; ++axis) {
      in_file = in_file * shape_[axis] + first[axis] + at[axis];
      in_memory += at[axis] * piece.strides[axis];
    }
    file_.write_at(data_at_ + in_file * size, {data + in_memory * size, run * size});
    for (std::size_t axis = inner; axis-- > 0;) {
      if (++at[axis] < piece.shape[axis]) break;
      at[axis] = 0;
    }
  }
  written_ += piece.elements();
}

NpyWriter::Result NpyRegions::finish() {
  require(written_ == elements_, "{}: {} elements were written, shape {} has {}", file_.path().string(), written_,
          shape_text(shape_), elements_);
  NpyWriter::Result result{.shape = shape_, .checksum = checksum_file(file_.partial_path())};
  file_.commit();
  return result;
}

}  // namespace lexiscope
