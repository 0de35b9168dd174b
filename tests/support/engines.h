// The engines a test runs on: every engine here, the cpu engine once for each SIMD target of this processor, and the
// CUDA engine on the emulator.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "host/engines/staged_engine.h"
#include "lexiscope/engine.h"
#ifdef LEXISCOPE_EMULATED
#include "tests/support/emulated_engine.h"
#endif

namespace lexiscope::testing {

inline constexpr std::string_view kEmulated = "cuda_emulated", kEmulatedLibrary = "cuda_emulated_cublas_lt";

/// The emulated engine, where this build has it; otherwise none.
inline std::vector<std::string> emulated_engines() {
#ifdef LEXISCOPE_EMULATED
  return {std::string(kEmulated)};
#else
  return {};
#endif
}

/// The same once more with every product by cuBLASLt, for what multiplies weights: by itself the engine keeps to its
/// own kernels where products are as small as tests have them.
inline std::vector<std::string> emulated_product_engines() {
  auto names = emulated_engines();
  if (!names.empty()) names.emplace_back(kEmulatedLibrary);
  return names;
}

/// Names for make_test_engine: "cpu_avx512", "cpu_avx2", "cpu_scalar", ..., "cuda" (letters, digits and _ only, so that
/// they can be parts of test names): the engines of this machine, but for the reference. For grids of thousands of
/// cases; the emulated engine takes an instance of its own with fewer. With LEXISCOPE_TEST_WIDEST_TARGET in the
/// environment the cpu engine stands there once: enough where the question is what threads do.
inline std::vector<std::string> fast_engines() {
  std::vector<std::string> names;
  for (const std::string& engine : available_engines()) {
    if (engine == "reference") continue;
    if (engine != "cpu") {
      names.push_back(engine);
      continue;
    }
    auto targets = simd_targets();
    if (std::getenv("LEXISCOPE_TEST_WIDEST_TARGET")) targets.resize(1);
    for (std::string target : targets) {
      if (const auto dash = target.find('-'); dash != std::string::npos) target[dash] = '_';
      names.push_back("cpu_" + target);
    }
  }
  return names;
}

/// The same and the emulated engine: all that are compared with the reference.
inline std::vector<std::string> engines_under_test() {
  auto names = fast_engines();
  std::ranges::copy(emulated_engines(), std::back_inserter(names));
  return names;
}

/// The same and the reference.
inline std::vector<std::string> test_engines() {
  auto names = engines_under_test();
  names.emplace_back("reference");
  return names;
}

/// The cpu engine's names: one for each SIMD target.
inline std::vector<std::string> cpu_engines() {
  auto names = fast_engines();
  std::erase_if(names, [](const std::string& name) { return !name.starts_with("cpu_"); });
  return names;
}

/// The engine itself: arrays lie in its own memory, which may not be the host's. For a cpu engine the process is
/// narrowed to its SIMD target (for other engines to the widest).
inline std::unique_ptr<Engine> make_bare_test_engine(const std::string& name, int threads = 0) {
#ifdef LEXISCOPE_EMULATED
  if (name == kEmulated) return make_emulated_engine();
  if (name == kEmulatedLibrary) return make_emulated_engine(ProductLibrary::cublas_lt);
#endif
  const bool cpu = name.starts_with("cpu_");
  std::string target = cpu ? name.substr(4) : simd_targets().front();
  if (const auto underscore = target.find('_'); underscore != std::string::npos) target[underscore] = '-';
  set_simd_target(target);
  return make_engine(cpu ? "cpu" : name, {.threads = threads});
}

/// The engine as a test of one operation wants it: it takes host memory.
inline std::unique_ptr<Engine> make_test_engine(const std::string& name, int threads = 0) {
  auto engine = make_bare_test_engine(name, threads);
  if (engine->memory_is_host()) return engine;
  return std::make_unique<StagedEngine>(std::move(engine));
}

/// Names tests after the engine that they run on: their parameter, or the first part of it. Parts behind it are
/// counted.
struct EngineNames {
  std::string operator()(const ::testing::TestParamInfo<std::string>& info) const { return info.param; }
  template <typename... Rest>
  std::string operator()(const ::testing::TestParamInfo<std::tuple<std::string, Rest...>>& info) const {
    return std::get<0>(info.param) + "_" + std::to_string(info.index);
  }
};

}  // namespace lexiscope::testing
