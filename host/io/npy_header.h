// The header of an .npy file: its beginning as text, and the dictionary in it, a Python literal with three known keys.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lexiscope/tensor.h"

namespace lexiscope {

inline constexpr std::string_view kNpyMagic = "\x93NUMPY";

struct NpyHeader {
  std::string descr;
  bool fortran_order = false;
  std::vector<std::size_t> shape;
};

/// Parses {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } in any order of keys. Throws Error{kInvalidFile}
/// naming `path` and the byte where the text is malformed, or the key that is missing, unknown or there twice.
NpyHeader parse_npy_header(std::string_view text, const std::string& path);

/// "<f4" and the like; Error{kInvalidArgument} for bf16, which the format lacks.
std::string_view npy_descr(DType dtype);

/// All that lies before the data in a file of version 1.0: a multiple of 64 bytes, the same whatever the number of
/// rows.
std::string npy_file_header(DType dtype, std::size_t rows, std::span<const std::size_t> row_shape);

}  // namespace lexiscope
