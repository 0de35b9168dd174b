// The checks that need the source and the options together, before anything is written.
#include "host/analysis/project_options.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "host/analysis/library_versions.h"
#include "host/core/require.h"
#include "host/engines/simd.h"
#include "host/io/npy.h"

namespace lexiscope {
namespace {

constexpr std::size_t kDefaultComponents = 50;

void check_map(const ProjectSizes& sizes, const ProjectOptions& options) {
  const std::size_t n = sizes.tokens;
  require(options.dimensions == 2 || options.dimensions == 3, "dims is {}, needs to be 2 or 3", options.dimensions);
  require(options.iterations >= 1, "iterations is 0, needs at least 1");
  require(std::isfinite(options.exaggeration) && options.exaggeration > 0,
          "exaggeration is {}, needs to be positive and finite", options.exaggeration);
  require(std::isfinite(options.learning_rate) && options.learning_rate >= 0,
          "learning-rate is {}, needs to be positive and finite, or 0 for auto", options.learning_rate);
  require(options.initial != ProjectOptions::Initial::pca || sizes.components >= options.dimensions,
          "components is {}, but a map of {} dimensions that starts from the PCA needs at least as many",
          sizes.components, options.dimensions);
  if (options.sigma != 0) {
    require(std::isfinite(options.sigma) && options.sigma > 0, "sigma is {}, needs to be positive and finite",
            options.sigma);
    require(n >= 2, "t-SNE needs at least 2 points, there are {}", n);
    return;
  }
  const double most = static_cast<double>(n - 1) / 3;
  require(n >= 4, "t-SNE needs at least 4 points for a perplexity, there are {}", n);
  require(options.perplexity >= 1, "perplexity is {}, needs to be 1 or more", options.perplexity);
  require(options.perplexity <= most,
          "perplexity {} is too large for {} points: 3 * perplexity may be at most {}, so perplexity at most {}",
          options.perplexity, n, n - 1, std::floor(most * 100) / 100);
}

const char* name_of_metric(Metric metric) { return metric == Metric::cosine ? "cosine" : "euclidean"; }

const char* name_of_repulsion(Repulsion repulsion) {
  switch (repulsion) {
    case Repulsion::exact:
      return "exact";
    case Repulsion::grid:
      return "grid";
    case Repulsion::automatic:
      break;
  }
  return "auto";
}

std::string checksum_of_rows(MatrixView<const float> matrix) {
  XXH3_state_t* state = XXH3_createState();
  XXH3_64bits_reset(state);
  for (std::size_t row = 0; row < matrix.rows; ++row)
    XXH3_64bits_update(state, matrix.row(row), matrix.columns * sizeof(float));
  const auto checksum = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  return fmt::format("xxh3-64:{:016x}", checksum);
}

}  // namespace

ProjectSizes check_project(const ProjectSource& source, const ProjectOptions& options) {
  const auto [rows, columns] = std::pair{source.matrix.rows, source.matrix.columns};
  require(rows > 0 && columns > 0 && !source.matrix.empty(),
          "the embedding is [{}, {}], needs at least one row and column", rows, columns);
  require(source.tokens.empty() || source.tokens.size() == rows, "{} tokens name {} rows", source.tokens.size(), rows);
  require(!options.out.empty(), "out: no run directory is given");
  require(options.components <= columns, "components is {}, the embedding has only {} columns", options.components,
          columns);
  ProjectSizes sizes{.tokens = rows, .width = columns, .components = options.components};
  if (sizes.components == 0) sizes.components = std::min(kDefaultComponents, columns);
  if (!options.tsne) return sizes;
  check_map(sizes, options);
  sizes.neighbors = std::min(rows - 1, static_cast<std::size_t>(3 * std::max(1.0, options.perplexity)));
  return sizes;
}

std::uint64_t project_memory(const Engine& engine, const ProjectSizes& sizes, const ProjectOptions& options) {
  const auto n = static_cast<double>(sizes.tokens), d = static_cast<double>(sizes.width);
  const auto k = static_cast<double>(sizes.components), m = static_cast<double>(sizes.neighbors);
  const double scores = 4 * n * k, norms = 4 * n;
  const double unit_rows = options.normalize ? 4 * n * d : 0;
  const double principal = 5 * 8 * d * d;  // two moments, eigenvectors, and LAPACK's copies
  double map = 0;
  if (options.tsne && !engine.memory_is_host()) {
    map = 8 * n * m + 3 * 4 * n * static_cast<double>(options.dimensions);  // lists; a checkpoint
  } else if (options.tsne) {
    const double lists = 8 * n * m, entries = options.sigma > 0 ? n * (n - 1) : 2 * n * m;
    const double search = 2 * 4 * n * k;        // the points packed for the search, and their norms
    const double affinities = 2 * 8 * entries;  // as made, and in the engine's own layout
    map = std::max(lists + search, lists + affinities + 4 * 4 * n * static_cast<double>(options.dimensions));
  }
  const double bytes = scores + norms + std::max(unit_rows + principal, map);
  constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();
  return bytes < static_cast<double>(kMost) ? static_cast<std::uint64_t>(bytes) : kMost;
}

nlohmann::json project_parameters(const ProjectSizes& sizes, const ProjectOptions& options) {
  nlohmann::json parameters{{"components", sizes.components},
                            {"centered", options.centered},
                            {"normalize", options.normalize},
                            {"tsne", options.tsne}};
  if (!options.tsne) return parameters;
  parameters["metric"] = name_of_metric(options.metric);
  parameters["neighbors"] = sizes.neighbors;
  if (options.sigma > 0)
    parameters["sigma"] = options.sigma;
  else
    parameters["perplexity"] = options.perplexity;
  parameters["dimensions"] = options.dimensions;
  parameters["iterations"] = options.iterations;
  parameters["exaggeration"] = options.exaggeration;
  if (options.learning_rate > 0)
    parameters["learning_rate"] = options.learning_rate;
  else
    parameters["learning_rate"] = "auto";
  parameters["repulsion"] = name_of_repulsion(options.repulsion);
  switch (options.initial) {
    case ProjectOptions::Initial::pca:
      parameters["initial"] = "pca";
      break;
    case ProjectOptions::Initial::random:
      parameters["initial"] = "random";
      break;
    case ProjectOptions::Initial::file:
      parameters["initial"] = options.initial_file.string();
      break;
  }
  return parameters;
}

nlohmann::json project_identity(const Engine& engine, const ProjectSource& source, const ProjectSizes& sizes,
                                const ProjectOptions& options) {
  nlohmann::json identity{{"job", "project"},
                          {"lexiscope", LEXISCOPE_VERSION},
                          {"engine", engine.name()},
                          {"seed", options.seed},
                          {"source", checksum_of_rows(source.matrix)},
                          {"rows", sizes.tokens},
                          {"columns", sizes.width},
                          {"parameters", project_parameters(sizes, options)}};
  identity["parameters"].erase("neighbors");  // follows from the perplexity, which a message should name instead
  if (engine.name() == "cpu") identity["simd"] = simd_target();
  if (!engine.memory_is_host()) identity["device"] = engine.description();
  for (const auto& [name, version] : library_versions()) identity["versions"][name] = version;
  if (options.initial == ProjectOptions::Initial::file)
    identity["initial"] = fmt::format("xxh3-64:{:016x}", checksum_file(options.initial_file));
  return identity;
}

}  // namespace lexiscope
