// Chunked loops that honour a Control: the way an engine keeps long kernels stoppable.
#pragma once

#include <algorithm>
#include <cstddef>

#include "host/core/require.h"
#include "lexiscope/control.h"

namespace lexiscope {

/// Throws Error{kCancelled} where the caller asked to stop.
inline void check_stop(const Control* control) {
  if (control && control->stop.stop_requested()) fail(ErrorCode::kCancelled, "stopped");
}

inline void report(const Control* control, double share_done) {
  if (control && control->progress) control->progress(share_done);
}

/// body(first, last) over [0, count) in pieces of `chunk`, with a look at the stop token and a report between them.
template <typename Body>
void for_each_chunk(std::size_t count, std::size_t chunk, const Control* control, Body&& body) {
  for (std::size_t first = 0; first < count; first += chunk) {
    check_stop(control);
    const std::size_t last = std::min(count, first + chunk);
    body(first, last);
    report(control, static_cast<double>(last) / static_cast<double>(count));
  }
}

}  // namespace lexiscope
