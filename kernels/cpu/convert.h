#pragma once

#include "kernels/cpu/context.h"
#include "lexiscope/ops/convert.h"

namespace lexiscope::cpu {
void convert(const ConvertArgs& args, const Context& context);
}
