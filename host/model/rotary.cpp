#include "host/model/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "host/core/require.h"
#include "host/io/json_file.h"
#include "host/model/json_config.h"

namespace lexiscope {

namespace {

// Llama 3.1: long wavelengths are divided by `factor`, short ones kept, those between blended.
void scale_llama3(RotaryConfig& rotary, const JsonConfig& scaling) {
  const double factor = scaling.positive("factor"), low = scaling.positive("low_freq_factor"),
               high = scaling.positive("high_freq_factor"),
               context = static_cast<double>(scaling.count("original_max_position_embeddings"));
  if (high <= low)
    fail(ErrorCode::kInvalidFile, "{}: \"high_freq_factor\" is {}, needs more than \"low_freq_factor\", {}",
         scaling.where(), high, low);
  for (double& frequency : rotary.frequencies) {
    const double turns = context * frequency / (2 * std::numbers::pi);  // within the original context
    const double share = std::clamp((turns - low) / (high - low), 0.0, 1.0);
    frequency *= share + (1 - share) / factor;
  }
}

// Peng et al. 2023 (YaRN), section 3.2, with the ramp over dimensions that its code and transformers have.
void scale_yarn(RotaryConfig& rotary, const JsonConfig& scaling, double base, std::size_t context) {
  const double original = static_cast<double>(
      scaling.has("original_max_position_embeddings") ? scaling.count("original_max_position_embeddings") : context);
  const double factor = scaling.positive("factor");
  const auto dimension_of = [&](double turns) {
    return static_cast<double>(rotary.dimensions) * std::log(original / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(base));
  };
  double first = dimension_of(scaling.number_or("beta_fast", 32)),
         last = dimension_of(scaling.number_or("beta_slow", 1));
  if (scaling.flag_or("truncate", true)) {
    first = std::floor(first);
    last = std::ceil(last);
  }
  first = std::max(first, 0.0);
  last = std::min(last, static_cast<double>(rotary.dimensions) - 1);
  if (first == last) last += 0.001;
  for (std::size_t i = 0; i < rotary.frequencies.size(); ++i) {
    const double share = std::clamp((static_cast<double>(i) - first) / (last - first), 0.0, 1.0);  // interpolated
    rotary.frequencies[i] *= 1 - share + share / factor;
  }
  const auto magnitude = [&](double scale) { return factor <= 1 ? 1 : 0.1 * scale * std::log(factor) + 1; };
  if (scaling.has("attention_factor"))
    rotary.magnitude = scaling.positive("attention_factor");
  else if (scaling.has("mscale") && scaling.has("mscale_all_dim"))
    rotary.magnitude = magnitude(scaling.positive("mscale")) / magnitude(scaling.positive("mscale_all_dim"));
  else
    rotary.magnitude = magnitude(1);
}

}  // namespace

std::vector<double> rotary_frequencies(std::size_t dimensions, double base) {
  std::vector<double> frequencies(dimensions / 2);
  for (std::size_t i = 0; i < frequencies.size(); ++i)
    frequencies[i] = std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(dimensions));
  return frequencies;
}

void scale_rotary(RotaryConfig& rotary, const nlohmann::json& object, double base, std::size_t context,
                  const std::string& where) {
  const JsonConfig scaling(object, where);
  const std::string kind = scaling.has("rope_type") ? scaling.text("rope_type") : scaling.text_or("type", "default");
  if (kind == "default" || kind == "dynamic") return;
  if (kind == "linear") {
    const double factor = scaling.positive("factor");
    for (double& frequency : rotary.frequencies) frequency /= factor;
  } else if (kind == "llama3") {
    scale_llama3(rotary, scaling);
  } else if (kind == "yarn") {
    scale_yarn(rotary, scaling, base, context);
  } else {
    fail(ErrorCode::kUnsupported,
         "{}: the kind \"{}\" of scaling is not supported; default, linear, dynamic, llama3 and "
         "yarn are",
         where, kind);
  }
}

void RotaryAngles::extend(std::size_t positions) {
  const std::size_t pairs = config_.frequencies.size(), known = by_position_.cosine.size() / pairs;
  by_position_.cosine.reserve(positions * pairs);
  by_position_.sine.reserve(positions * pairs);
  for (std::size_t position = known; position < positions; ++position)
    for (const double frequency : config_.frequencies) {
      const double angle = static_cast<double>(position) * frequency;
      by_position_.cosine.push_back(static_cast<float>(config_.magnitude * std::cos(angle)));
      by_position_.sine.push_back(static_cast<float>(config_.magnitude * std::sin(angle)));
    }
}

const RotaryTables& RotaryAngles::rows(const std::vector<std::size_t>& positions) {
  const std::size_t pairs = config_.frequencies.size();
  if (!positions.empty()) extend(*std::max_element(positions.begin(), positions.end()) + 1);
  rows_.cosine.resize(positions.size() * pairs);
  rows_.sine.resize(positions.size() * pairs);
  for (std::size_t row = 0; row < positions.size(); ++row) {
    std::copy_n(by_position_.cosine.data() + positions[row] * pairs, pairs, rows_.cosine.data() + row * pairs);
    std::copy_n(by_position_.sine.data() + positions[row] * pairs, pairs, rows_.sine.data() + row * pairs);
  }
  return rows_;
}

}  // namespace lexiscope
