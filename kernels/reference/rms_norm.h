#pragma once

#include "lexiscope/ops/rms_norm.h"

namespace lexiscope::reference {
void rms_norm(const RmsNormArgs& args);
}
