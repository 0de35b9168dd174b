// What `lexiscope trace` tells about a run that it finished.
#pragma once

#include <string_view>

#include "lexiscope/trace.h"

namespace lexiscope::cli {

/// `text` is the first text, or empty where only its ids are known.
void print_trace_text(const TraceSummary& summary, const Model& model, std::string_view text,
                      const TraceOptions& options, const Engine& engine);
void print_trace_json(const TraceSummary& summary, const Model& model, const Engine& engine);

}  // namespace lexiscope::cli
