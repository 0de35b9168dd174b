// What goes wrong, said so that the caller can mend it: every message names the argument, its value and the one needed.
#pragma once

#include <stdexcept>
#include <string>

namespace lexiscope {

enum class ErrorCode {
  kInvalidArgument,  ///< a call's argument, or an option on the command line
  kInvalidFile,      ///< a file that is missing, cut short or not what its name says
  kUnsupported,      ///< valid, but this engine or build cannot do it
  kOutOfMemory,      ///< says how many bytes were needed
  kDevice,           ///< a GPU or its driver
  kInputOutput,      ///< reading or writing failed: disk full, permission
  kCancelled,        ///< the stop token was triggered
};

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace lexiscope
