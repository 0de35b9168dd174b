#pragma once

#include "lexiscope/ops/convert.h"

namespace lexiscope::reference {
void convert(const ConvertArgs& args);
}
