// The first job: where the vocabulary lies. An embedding matrix goes to its principal components, nearest neighbours
// and a t-SNE map, and every result into a run directory as soon as it is there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lexiscope/control.h"
#include "lexiscope/engine.h"

namespace lexiscope {

/// The matrix to project, and where it came from (for the manifest, and for a resume to be sure that it is the same).
struct ProjectSource {
  MatrixView<const float> matrix{};   ///< [N, d], host memory; NaN or infinity is an error that names the row
  std::vector<std::string> tokens{};  ///< [N] UTF-8, or empty where the rows have no names
  std::string path{};                 ///< all that follows may be empty for a matrix made in memory
  std::string tensor{};
  std::string sha256{};
  std::string stored_dtype{};
  double load_seconds = 0;  ///< counted in the run's total
};

/// A stage of the job, as it begins. The shares that Control::progress then receives are of this stage.
struct ProjectStage {
  std::string_view name;  ///< "pca", "statistics", "neighbors", "affinities", "tsne"
  std::size_t first = 0;  ///< units that an earlier process already did
  std::size_t units = 0;  ///< in all, these included
  std::string_view unit;  ///< "tokens", "iterations"
};

struct ProjectOptions {
  enum class Existing : std::uint8_t { refuse, overwrite, resume };
  enum class Initial : std::uint8_t { pca, random, file };

  std::filesystem::path out{};           ///< the run directory
  Existing existing = Existing::refuse;  ///< what to do where `out` exists already
  std::vector<std::string> command{};    ///< the command line, for the manifest

  std::size_t components = 0;  ///< k, at most d; 0: 50, or d where that is less
  bool centered = true;        ///< false: the second moment (1/N) E^T E of the source document
  bool normalize = false;      ///< rows to unit length first; a zero row stays zero
  bool tsne = true;            ///< false: stop after the PCA; no neighbours either

  Metric metric = Metric::euclidean;  ///< of the neighbours; cosine distances enter the affinities as they are
  double perplexity = 30;             ///< needs 3 * perplexity <= N - 1; also gives m = floor(3 * perplexity)
  double sigma = 0;                   ///< > 0: one Gaussian of this width over all pairs, instead of the perplexity
  std::size_t dimensions = 2;         ///< 2 or 3
  std::size_t iterations = 750;       ///< early exaggeration included: the first 250
  double exaggeration = 12;
  double learning_rate = 0;  ///< 0: N / exaggeration in each phase
  Repulsion repulsion = Repulsion::automatic;
  Initial initial = Initial::pca;        ///< pca: the first scores, scaled to a standard deviation of 1e-4
  std::filesystem::path initial_file{};  ///< .npy [N, dimensions] f32 or f64, for Initial::file
  std::uint64_t seed = 0;                ///< of Initial::random
  std::size_t checkpoint_every = 100;    ///< iterations; 0: only when stopped
  std::function<void(const ProjectStage&)> on_stage{};  ///< may be empty
};

struct KlRecord {
  std::size_t iteration = 0;  ///< after this many
  double kl = 0;              ///< nats, the true one: Engine::tsne_kl
};

/// What was found, for people and programs; the arrays themselves are in the run directory.
struct ProjectSummary {
  std::filesystem::path path{};
  std::size_t tokens = 0, width = 0;           ///< N, d
  std::size_t components = 0;                  ///< k
  std::size_t neighbors = 0;                   ///< m; 0 without t-SNE
  double total_variance = 0;                   ///< the sum of all d eigenvalues
  std::vector<double> explained{};             ///< [k] each component's share of it; 0 where it is 0
  CosineStatistics statistics{};               ///< of the rows as they were projected (unit rows with `normalize`)
  double smallest_norm = 0, largest_norm = 0;  ///< of the rows as they came
  std::vector<KlRecord> kl{};                  ///< the last one is the map's
  std::size_t resumed_from = 0;                ///< the iteration a resumed run went on from; 0 for none
  std::vector<std::pair<std::string, double>> seconds{};  ///< by stage, in order; "total" last
  std::uint64_t peak_bytes = 0;                           ///< of this process, by getrusage
};

/// Runs the job on `engine` and writes the run directory: manifest.json, tokens.tsv and the arrays pca_mean,
/// pca_components, pca_eigenvalues, pca_scores, embedding_norm, neighbor_indices, neighbor_distances, tsne and tsne_kl
/// (docs/formats.md). The matrix stays in the host's memory; an engine with memory of its own is brought its rows in
/// pieces, and holds what is computed from them.
///
/// t-SNE follows openTSNE 1.0.4's schedule: 250 iterations with early exaggeration, then the rest; momentum 0.8,
/// updates and gains kept from one phase into the next, the learning rate N / exaggeration of each phase.
///
/// Stopped through `control`, or killed, it leaves an unfinished run; with Existing::resume and the same source,
/// options, engine and version it goes on, to the same bits.
///
/// Throws before anything is written: Error{kInvalidArgument} for an option that does not suit the source (a perplexity
/// too large, more components than columns, an `out` that exists, nothing to resume, another identity),
/// Error{kInvalidFile} for the initial file, Error{kOutOfMemory} with the bytes needed and available. Later:
/// Error{kInputOutput}, Error{kCancelled}, and for a device Error{kDevice} or Error{kOutOfMemory}.
ProjectSummary project(Engine& engine, const ProjectSource& source, const ProjectOptions& options,
                       const Control* control = nullptr);

}  // namespace lexiscope
