// The gradient of t-SNE and its step: the repulsion, then the attraction with what follows it.
#include "kernels/cpu/tsne_gradient.h"

#include "kernels/cpu/tsne_attraction.h"
#include "kernels/cpu/tsne_exact.h"

namespace lexiscope::cpu {
namespace {

double repel(const TsneState& state, const TsneExtents& extents, const TsneRepulsion& repulsion,
             const Context& context) {
  if (repulsion.config.grid) return tsne_grid_repulsion(state, extents, repulsion.grid, context);
  return tsne_exact_repulsion(state, {.threads = context.threads, .workspace = repulsion.scratch});
}

}  // namespace

std::size_t tsne_repulsion_memory(const TsneConfig& config, const TsneState& state, int threads) {
  if (!config.grid) return tsne_exact_repulsion_workspace(state);
  WorkspaceCutter cutter(nullptr);
  cut_tsne_grid(cutter, *config.grid, state.points, threads);
  return cutter.used();
}

TsneRepulsion prepare_tsne_repulsion(const TsneConfig& config, const TsneState& state, std::span<std::byte> memory,
                                     const Context& context) {
  TsneRepulsion repulsion{.config = config, .grid = {}, .scratch = memory};
  if (config.grid) {
    WorkspaceCutter cutter(memory.data());
    repulsion.grid = cut_tsne_grid(cutter, *config.grid, state.points, context.threads);
    prepare_tsne_grid(repulsion.grid, context);
  }
  return repulsion;
}

double tsne_gradient(const TsneState& state, const TsneAffinities& affinities, const TsneExtents& extents,
                     const TsneRepulsion& repulsion, const TsneGradientArgs& args, const Context& context) {
  const double normalization = repel(state, extents, repulsion, context);
  tsne_write_gradient(state, affinities, normalization, args, context);
  return normalization;
}

void tsne_step(const TsneState& state, const TsneAffinities& affinities, const TsneExtents& extents,
               const TsneRepulsion& repulsion, const TsneStepArgs& args, const Context& context) {
  tsne_apply_gradient(state, affinities, repel(state, extents, repulsion, context), args, context);
}

}  // namespace lexiscope::cpu
