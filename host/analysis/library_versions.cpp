// Asks each library for its version in its own way.
#include "host/analysis/library_versions.h"

#include <fmt/format.h>
#include <hwy/highway.h>
#include <lapacke.h>
#include <openblas_config.h>

#include <nlohmann/json.hpp>

extern "C" char* openblas_get_config();  // cblas.h declares it, but not beside lapacke.h's complex types

namespace lexiscope {
namespace {

std::string lapack_version() {
  lapack_int major = 0, minor = 0, patch = 0;
  LAPACKE_ilaver(&major, &minor, &patch);
  return fmt::format("{}.{}.{}", major, minor, patch);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> library_versions() {
  return {{"Highway", fmt::format("{}.{}.{}", HWY_MAJOR, HWY_MINOR, HWY_PATCH)},
          {"OpenBLAS", openblas_get_config()},
          {"LAPACK", lapack_version()},
          {"OpenMP", std::to_string(_OPENMP)},
          {"fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)},
          {"nlohmann-json", fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR,
                                        NLOHMANN_JSON_VERSION_PATCH)}};
}

}  // namespace lexiscope
