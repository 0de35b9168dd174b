// One operation's validation as it goes: the two engines, the random inputs, and the worst error so far.
#pragma once

#include <string>
#include <vector>

#include "host/analysis/random_normal.h"
#include "host/analysis/validate.h"
#include "host/core/control.h"

namespace lexiscope {

inline constexpr double kUnitF32 = 0x1p-24;  ///< unit roundoff of f32
inline constexpr double kUnitF64 = 0x1p-53;  ///< unit roundoff of f64

class ValidationRun {
 public:
  ValidationRun(Engine& engine_under_test, Engine& reference_engine, std::uint64_t seed, const Control* control)
      : engine(engine_under_test), reference(reference_engine), random_(seed), control_(control) {}

  Engine& engine;
  Engine& reference;

  std::vector<float> normal(std::size_t count, double mean = 0, double deviation = 1) {
    std::vector<float> values(count);
    for (float& value : values) value = static_cast<float>(mean + deviation * random_.next());
    return values;
  }

  /// What add() counts from here on belongs to this case.
  void start(std::string name) {
    check_stop(control_);
    case_ = std::move(name);
    ++found_.cases;
  }

  void add(double got, double want, double bound) {
    const double before = share_.worst();
    share_.add(got, want, bound);
    if (share_.worst() > before) found_.at = case_;
    found_.worst = share_.worst();
  }

  const std::string& current_case() const noexcept { return case_; }
  const Validation& found() const noexcept { return found_; }

 private:
  NormalGenerator random_;
  const Control* control_;
  std::string case_;
  ErrorShare share_;
  Validation found_;
};

// One function an operation. Their bounds are derived beside them.
void validate_attention(ValidationRun& run);
void validate_attention_map(ValidationRun& run);
void validate_rotary_embedding(ValidationRun& run);
void validate_rms_norm(ValidationRun& run);
void validate_layer_norm(ValidationRun& run);
void validate_linear(ValidationRun& run);
void validate_gelu_mlp(ValidationRun& run);
void validate_swiglu_mlp(ValidationRun& run);
void validate_certainty(ValidationRun& run);
void validate_drift(ValidationRun& run);
void validate_convert(ValidationRun& run);
void validate_covariance(ValidationRun& run);
void validate_eigendecomposition(ValidationRun& run);
void validate_projection(ValidationRun& run);
void validate_cosine_statistics(ValidationRun& run);
void validate_neighbors(ValidationRun& run);
void validate_affinities(ValidationRun& run);
void validate_global_affinities(ValidationRun& run);
void validate_tsne_gradient(ValidationRun& run);
void validate_tsne_step(ValidationRun& run);
void validate_tsne_kl(ValidationRun& run);

}  // namespace lexiscope
