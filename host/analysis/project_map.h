// The t-SNE stage of `project`: the schedule, the divergences recorded on the way, and the checkpoints.
#pragma once

#include <vector>

#include "host/analysis/project_options.h"
#include "host/io/run_directory.h"
#include "lexiscope/project.h"

namespace lexiscope {

/// Whether the true divergence is taken after `iteration`: after the exaggeration, at the end, and on the way where the
/// map is small enough for it to cost next to nothing.
bool records_kl(std::size_t iteration, std::size_t points, std::size_t iterations);

/// Iterations of one call to an engine on the host or to a device; the stop token is looked at between them.
std::size_t iterations_per_call(std::size_t points, bool on_the_host);

struct ProjectMap {
  Tensor positions{};  ///< [N, dimensions] f32
  std::vector<KlRecord> kl{};
  std::size_t resumed_from = 0;
};

/// Whether the run's checkpoint holds a map to go on from.
bool has_unfinished_map(const RunWriter& run);

/// Goes on from the run's checkpoint where it holds a map, else from `initial`, which it moves. `state` is what the job
/// keeps in the checkpoint; the map's own part is its "map". When stopped, saves a checkpoint and throws
/// Error{kCancelled}.
ProjectMap make_map(Engine& engine, const SparseMatrix& affinities, Tensor initial, const ProjectOptions& options,
                    const Control* control, RunWriter& run, nlohmann::json state);

}  // namespace lexiscope
