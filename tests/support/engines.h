// The engines a test runs on: every engine here, the cpu engine once for each SIMD target of this processor.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "lexiscope/engine.h"

namespace lexiscope::testing {

/// Names for make_test_engine: "reference", "cpu_avx512", "cpu_avx2", "cpu_scalar", ... (letters, digits and _ only, so
/// that they can be parts of test names). With LEXISCOPE_TEST_WIDEST_TARGET in the environment the cpu engine stands
/// there once: enough where the question is what threads do.
inline std::vector<std::string> test_engines() {
  std::vector<std::string> names;
  for (const std::string& engine : available_engines()) {
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

/// All of test_engines() but the reference, for tests that compare with it.
inline std::vector<std::string> engines_under_test() {
  auto names = test_engines();
  std::erase(names, "reference");
  return names;
}

/// Makes the engine, and for a cpu engine narrows the process to its SIMD target (for other engines to the widest).
inline std::unique_ptr<Engine> make_test_engine(const std::string& name, int threads = 0) {
  const bool cpu = name.starts_with("cpu_");
  std::string target = cpu ? name.substr(4) : simd_targets().front();
  if (const auto underscore = target.find('_'); underscore != std::string::npos) target[underscore] = '-';
  set_simd_target(target);
  return make_engine(cpu ? "cpu" : name, {.threads = threads});
}

}  // namespace lexiscope::testing
