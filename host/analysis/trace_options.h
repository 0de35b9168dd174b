// What `trace` is asked for, checked against the model and the texts: the numbers that its stages work with, and how
// the run directory records them.
#pragma once

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "lexiscope/trace.h"

namespace lexiscope {

/// Texts [first, last) go through the model together; `row` is their first row of all.
struct TraceBatch {
  std::size_t first = 0, last = 0, row = 0, rows = 0;
};

/// The sizes that follow from model, texts and options.
struct TraceSizes {
  std::size_t rows = 0;                         ///< R: the tokens of all texts
  std::vector<std::size_t> offsets{0};          ///< [B + 1] where each text's rows begin
  std::size_t longest = 0;                      ///< T of the longest text
  std::size_t first_layer = 0, last_layer = 0;  ///< those with arrays
  std::size_t cells = 0;                        ///< P
  std::size_t peaks = 0;                        ///< k of attention rows
  bool final_norm = false;                      ///< the model has one, and its input is computed
  bool certainty = false;                       ///< of the last layer: it is computed, and there is a head
  std::vector<TraceBatch> batches{};

  std::size_t texts() const noexcept { return offsets.size() - 1; }
  std::size_t layers() const noexcept { return last_layer - first_layer + 1; }
  std::size_t batch_rows() const noexcept;  ///< of the largest batch
};

/// Throws Error{kInvalidArgument} naming the option or the text, its value and what the model allows.
TraceSizes check_trace(const ModelConfig& model, const std::vector<TraceText>& texts, const TraceOptions& options);

/// The options as the manifest's "parameters" holds them.
nlohmann::json trace_parameters(const TraceSizes& sizes, const TraceOptions& options);

/// The model as the manifest's "model" holds it.
nlohmann::json model_description(const ModelConfig& model);

}  // namespace lexiscope
