// The runtime's two kinds of error: the last one of each thread, which a query clears, and the sticky one that a fault
// on the device leaves behind, which every later call returns.
#pragma once

#include <cuda_runtime_api.h>

#include <mutex>
#include <stdexcept>
#include <string>

namespace lexiscope::simt {

/// An operation of a stream went wrong while it executed: it becomes the sticky error.
class DeviceFault : public std::runtime_error {
 public:
  DeviceFault(cudaError_t code, const std::string& message) : std::runtime_error(message), code_(code) {}
  cudaError_t code() const noexcept { return code_; }

 private:
  cudaError_t code_;
};

class Errors {
 public:
  /// The first fault counts; those after it are its consequences.
  void set_sticky(cudaError_t code, std::string fault);
  cudaError_t sticky() const;
  std::string fault() const;
  void clear();

 private:
  mutable std::mutex mutex_;
  cudaError_t sticky_ = cudaSuccess;
  std::string fault_;
};

/// The calling thread's last error, and `code` where it is one.
cudaError_t& last_error();
cudaError_t remember(cudaError_t code);

}  // namespace lexiscope::simt
