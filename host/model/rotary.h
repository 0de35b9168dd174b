// The angles of rotary positions: frequencies with every scaling of them that models use, and tables for a batch's
// rows.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "host/model/description.h"

namespace lexiscope {

/// base^(-2 i / dimensions) for i < dimensions / 2. Su et al. 2021, section 3.2.2.
std::vector<double> rotary_frequencies(std::size_t dimensions, double base);

/// Changes frequencies and magnitude as `scaling` (rope_scaling or rope_parameters of a config.json) says: default,
/// linear, dynamic (which changes nothing within the context), llama3, yarn. Throws Error{kInvalidFile} for a field
/// that is missing or malformed, Error{kUnsupported} for another kind.
void scale_rotary(RotaryConfig& rotary, const nlohmann::json& scaling, double base, std::size_t context,
                  const std::string& where);

/// cosine and sine [rows, d_r / 2] for the tokens' positions.
struct RotaryTables {
  std::vector<float> cosine, sine;
};

/// Fills the tables for these positions; keeps what it computed for the next call.
class RotaryAngles {
 public:
  explicit RotaryAngles(RotaryConfig config) : config_(std::move(config)) {}
  const RotaryTables& rows(const std::vector<std::size_t>& positions);
  std::size_t pairs() const noexcept { return config_.frequencies.size(); }
  RotaryLayout layout() const noexcept { return config_.layout; }

 private:
  void extend(std::size_t positions);

  RotaryConfig config_;
  RotaryTables by_position_, rows_;
};

}  // namespace lexiscope
