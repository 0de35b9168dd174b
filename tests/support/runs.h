// A run directory's arrays, to compare runs.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "host/io/run_directory.h"

namespace lexiscope::testing {

/// Every array's bytes, by name.
inline std::map<std::string, std::string> arrays_of(const std::filesystem::path& run) {
  const RunReader reader(run);
  std::map<std::string, std::string> found;
  for (const auto& [name, description] : reader.manifest().at("arrays").items()) {
    const NpyArray array = reader.array(name);
    found[name].assign(reinterpret_cast<const char*>(array.data.data()), array.data.size());
  }
  return found;
}

}  // namespace lexiscope::testing
