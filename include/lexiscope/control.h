// How a caller follows long work and ends it early.
#pragma once

#include <functional>
#include <stop_token>

namespace lexiscope {

/// Handed to long operations by pointer; null means "run to the end, silently". Both members are honoured at least
/// twice a second. When `stop` is triggered, the operation throws Error{kCancelled}; its outputs are then unspecified.
struct Control {
  std::stop_token stop;
  std::function<void(double)> progress;  ///< called on the calling thread with the share done, 0 to 1; may be empty
};

}  // namespace lexiscope
