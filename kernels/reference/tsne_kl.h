#pragma once

#include "lexiscope/ops/tsne_kl.h"

namespace lexiscope::reference {
/// Ignores args.control.
double tsne_kl(const TsneKlArgs& args);
}  // namespace lexiscope::reference
