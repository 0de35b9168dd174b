// The CUDA engine on the emulator.
#pragma once

#include <memory>

#include "lexiscope/engine.h"

namespace lexiscope::testing {

/// Named "cuda-emulated"; its blocks of memory are as long as what was asked for, so that the emulator sees an access
/// past the end of an array, and rows come from the host in chunks of a few, so that short inputs have several.
std::unique_ptr<Engine> make_emulated_engine(ProductLibrary products = ProductLibrary::automatic);

}  // namespace lexiscope::testing
