// The dictionary in an .npy header: a Python literal with three known keys.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "lexiscope/tensor.h"

namespace lexiscope {

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

}  // namespace lexiscope
