// An .npy file of known shape written region by region, in any order: for arrays that arrive layer by layer and text by
// text.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "host/io/npy.h"
#include "host/io/output_file.h"

namespace lexiscope {

/// Follows NpyWriter's rules: to `path` + ".partial", renamed to `path` by finish(), removed without it; the data
/// begins at a multiple of 64 bytes.
class NpyRegions {
 public:
  /// Throws Error{kInputOutput} where the file cannot be made, Error{kInvalidArgument} for bf16 and for a shape of rank
  /// 0, of more than kMaxRank dimensions or overflowing.
  NpyRegions(const std::filesystem::path& path, DType dtype, std::vector<std::size_t> shape);

  /// Writes `piece`, in the host's memory, of the array's type and rank, so that its first element is the array's
  /// element `first`. Throws Error{kInvalidArgument} where it does not fit, Error{kInputOutput} as NpyWriter does.
  void write(std::span<const std::size_t> first, ConstTensorView piece);

  /// Reads the file back for its checksum, syncs, renames into place. Throws Error{kInputOutput}, or
  /// Error{kInvalidArgument} where the regions written hold another number of elements than the array.
  NpyWriter::Result finish();

 private:
  DType dtype_;
  std::vector<std::size_t> shape_;
  std::size_t elements_;
  std::size_t written_ = 0;  ///< elements
  std::size_t data_at_ = 0;  ///< the byte where the data begins
  OutputFile file_;
};

}  // namespace lexiscope
