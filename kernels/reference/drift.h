#pragma once

#include "lexiscope/ops/drift.h"

namespace lexiscope::reference {
void drift(const DriftArgs& args);
}
