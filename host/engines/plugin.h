// Finds and loads the CUDA plug-in.
#pragma once

#include <memory>
#include <string>

#include "lexiscope/engine.h"

namespace lexiscope {

/// Why there is no cuda engine here: no plug-in (and where it was looked for), no driver, a driver that is too old, no
/// device, or no code for it. Empty where there is one. The answer is found once a process.
///
/// The plug-in is looked for beside the program, beside the library where that is a file of its own, and in the
/// install's library folder; where LEXISCOPE_PLUGIN_DIR names a folder, there alone. Never in the working folder.
const std::string& cuda_unavailable();

/// Throws Error{kDevice} with cuda_unavailable()'s reason.
std::unique_ptr<Engine> make_cuda_engine(int threads, ProductLibrary products);

}  // namespace lexiscope
