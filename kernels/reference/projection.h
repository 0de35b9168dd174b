#pragma once

#include "lexiscope/ops/projection.h"

namespace lexiscope::reference {
void project_rows(const ProjectionArgs& args, std::size_t first, std::size_t last);
}
