// The versions of what the library was built with, for `info` and for manifests.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace lexiscope {

/// Name and version: Highway, OpenBLAS (its configuration string), LAPACK, OpenMP, fmt, nlohmann-json.
std::vector<std::pair<std::string, std::string>> library_versions();

}  // namespace lexiscope
