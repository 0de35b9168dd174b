// Safetensors files for tests, put together from their header and data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/files.h"

namespace lexiscope::testing {

inline std::string safetensors(const std::string& header, const std::string& data) {
  return little_endian(header.size(), 8) + header + data;
}

/// The bytes of these values, as files hold them.
template <typename Element>
std::string bytes_of(const std::vector<Element>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(Element)};
}

/// One F32 matrix of this name.
inline std::string one_tensor(const std::string& name, std::size_t rows, std::size_t columns,
                              const std::vector<float>& values) {
  const std::string data = bytes_of(values);
  std::string header = "{\"" + name + "\": {\"dtype\": \"F32\", \"shape\": [" + std::to_string(rows) + ", " +
                       std::to_string(columns) + "], \"data_offsets\": [0, " + std::to_string(data.size()) + "]}}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  return safetensors(header, data);
}

}  // namespace lexiscope::testing
