// What `project` is asked for, checked against the source: the numbers that its stages work with, and how the run
// directory records them.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "lexiscope/project.h"

namespace lexiscope {

/// Iterations with early exaggeration: openTSNE's early_exaggeration_iter.
inline constexpr std::size_t kEarlyIterations = 250;

/// The sizes that follow from source and options.
struct ProjectSizes {
  std::size_t tokens = 0;      ///< N
  std::size_t width = 0;       ///< d
  std::size_t components = 0;  ///< k
  std::size_t neighbors = 0;   ///< m; 0 without t-SNE
};

/// Throws Error{kInvalidArgument} naming the option, its value and what the source allows.
ProjectSizes check_project(const ProjectSource& source, const ProjectOptions& options);

/// The most bytes of the host's memory that the stages hold at once, the matrix itself not counted: it is there
/// already. On an engine with memory of its own, those are copies of what is written.
std::uint64_t project_memory(const Engine& engine, const ProjectSizes& sizes, const ProjectOptions& options);

/// The options as the manifest's "parameters" holds them.
nlohmann::json project_parameters(const ProjectSizes& sizes, const ProjectOptions& options);

/// What must be the same for a resume to give the same bits.
nlohmann::json project_identity(const Engine& engine, const ProjectSource& source, const ProjectSizes& sizes,
                                const ProjectOptions& options);

}  // namespace lexiscope
