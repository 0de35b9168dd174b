// Every operation of an engine against the reference engine: the check that a user can run on a machine of theirs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lexiscope/engine.h"

namespace lexiscope {

/// What a comparison found so far. An error counts as a share of its bound: up to 1 it is within.
class ErrorShare {
 public:
  /// Counts one number: |got - want| / bound; 0 where both are equal (infinities too), infinite where a NaN or a bound
  /// of 0 makes it meaningless.
  void add(double got, double want, double bound);

  double worst() const noexcept { return worst_; }

 private:
  double worst_ = 0;
};

struct Validation {
  std::string operation;
  std::size_t cases = 0;
  double worst = 0;     ///< the largest error as a share of its bound
  std::string at{};     ///< the case that has it, "T 33, d 129, residual"
  std::string error{};  ///< what the engine threw, where it threw
  bool passed() const noexcept { return error.empty() && worst <= 1; }
};

/// In the order in which they run.
std::vector<std::string> validated_operations();

/// Throws Error{kInvalidArgument} for an operation that validated_operations() does not list, listing them.
Validation validate(const std::string& operation, Engine& engine, std::uint64_t seed, const Control* control = nullptr);

}  // namespace lexiscope
