// The rotary embedding on the engines: the check that all share, and the calls into the kernels.
#include "kernels/cpu/rotary_embedding.h"

#include <tuple>

#include "host/core/views.h"
#include "host/engines/engines.h"
#include "kernels/reference/rotary_embedding.h"

namespace lexiscope {

void Engine::rotary_embedding(const RotaryEmbeddingArgs& args) {
  const auto [rows, columns, pairs] = std::tuple{args.x.rows, args.x.columns, args.cosine.columns};
  require(args.heads > 0 && columns % args.heads == 0,
          "rotary_embedding: heads is {}, needs to be at least 1 and to divide x's {} columns", args.heads, columns);
  require(pairs <= columns / args.heads / 2,
          "rotary_embedding: cosine has {} columns, needs at most half the head size of {}", pairs,
          columns / args.heads);
  require_matrix("rotary_embedding: x", args.x);
  require_matrix("rotary_embedding: cosine", args.cosine, rows, pairs);
  require_matrix("rotary_embedding: sine", args.sine, rows, pairs);
  require_apart("rotary_embedding", args.x, "x", args.cosine, "cosine");
  require_apart("rotary_embedding", args.x, "x", args.sine, "sine");
  if (rows > 0 && pairs > 0) do_rotary_embedding(args);
}

void ReferenceEngine::do_rotary_embedding(const RotaryEmbeddingArgs& args) { reference::rotary_embedding(args); }
void CpuEngine::do_rotary_embedding(const RotaryEmbeddingArgs& args) { cpu::rotary_embedding(args, context()); }

}  // namespace lexiscope
