// The table of operations, and the comparison that all of them share.
#include "host/analysis/validate.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "host/analysis/validation_run.h"
#include "host/core/require.h"

namespace lexiscope {
namespace {

struct Entry {
  const char* operation;
  void (*run)(ValidationRun&);
};

constexpr std::array kOperations{Entry{"attention", validate_attention},
                                 Entry{"attention_map", validate_attention_map},
                                 Entry{"rotary_embedding", validate_rotary_embedding},
                                 Entry{"rms_norm", validate_rms_norm},
                                 Entry{"layer_norm", validate_layer_norm},
                                 Entry{"linear", validate_linear},
                                 Entry{"gelu_mlp", validate_gelu_mlp},
                                 Entry{"swiglu_mlp", validate_swiglu_mlp},
                                 Entry{"certainty", validate_certainty},
                                 Entry{"drift", validate_drift},
                                 Entry{"convert", validate_convert},
                                 Entry{"covariance", validate_covariance},
                                 Entry{"eigendecomposition", validate_eigendecomposition},
                                 Entry{"projection", validate_projection},
                                 Entry{"cosine_statistics", validate_cosine_statistics},
                                 Entry{"neighbors", validate_neighbors},
                                 Entry{"affinities", validate_affinities},
                                 Entry{"global_affinities", validate_global_affinities},
                                 Entry{"tsne_gradient", validate_tsne_gradient},
                                 Entry{"tsne_step", validate_tsne_step},
                                 Entry{"tsne_kl", validate_tsne_kl}};

}  // namespace

void ErrorShare::add(double got, double want, double bound) {
  if (got == want) return;
  const double share = std::abs(got - want) / bound;
  worst_ = share >= 0 ? std::max(worst_, share) : std::numeric_limits<double>::infinity();
}

std::vector<std::string> validated_operations() {
  std::vector<std::string> names;
  for (const Entry& entry : kOperations) names.emplace_back(entry.operation);
  return names;
}

Validation validate(const std::string& operation, Engine& engine, std::uint64_t seed, const Control* control) {
  const auto* entry = std::find_if(kOperations.begin(), kOperations.end(),
                                   [&](const Entry& known) { return known.operation == operation; });
  require(entry != kOperations.end(), "there is no operation \"{}\"; there are {}", operation,
          fmt::join(validated_operations(), ", "));
  const auto reference = make_engine("reference");
  ValidationRun run(engine, *reference, seed, control);
  Validation found;
  try {
    entry->run(run);
    found = run.found();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) throw;
    found = run.found();
    found.error = error.what();
    found.at = run.current_case();
  }
  found.operation = operation;
  return found;
}

}  // namespace lexiscope
