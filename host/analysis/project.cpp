// The stages of `project`, each written to the run directory as soon as it is done, the neighbours while the next ones
// run. A resumed run reads what is whole and does the rest. The embedding's rows stay in the host's memory; what is
// computed from them lies in the engine's, and comes to the host's to be written.
#include "lexiscope/project.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <future>
#include <limits>

#include "host/analysis/engine_arrays.h"
#include "host/analysis/initial_map.h"
#include "host/analysis/library_versions.h"
#include "host/analysis/project_map.h"
#include "host/analysis/project_options.h"
#include "host/analysis/stage_clock.h"
#include "host/core/control.h"
#include "host/core/finite.h"
#include "host/core/memory_limit.h"
#include "host/io/run_directory.h"

namespace lexiscope {
namespace {

using nlohmann::json;

RunWriter::Existing writer_policy(ProjectOptions::Existing existing) {
  switch (existing) {
    case ProjectOptions::Existing::overwrite:
      return RunWriter::Existing::overwrite;
    case ProjectOptions::Existing::resume:
      return RunWriter::Existing::resume;
    case ProjectOptions::Existing::refuse:
      break;
  }
  return RunWriter::Existing::refuse;
}

class ProjectRun {
 public:
  ProjectRun(Engine& engine, const ProjectSource& source, const ProjectOptions& options, const ProjectSizes& sizes,
             Tensor file_positions, const Control* control)
      : engine_(engine),
        source_(source),
        options_(options),
        sizes_(sizes),
        control_(control),
        file_positions_(std::move(file_positions)),
        rows_(source.matrix),
        run_(options.out, project_identity(engine, source, sizes, options), writer_policy(options.existing)) {
    if (run_.checkpoint().is_object()) state_ = run_.checkpoint();
    summary_ = {.path = options.out,
                .tokens = sizes.tokens,
                .width = sizes.width,
                .components = sizes.components,
                .neighbors = sizes.neighbors};
  }

  ProjectSummary run() {
    if (!source_.tokens.empty()) run_.write_tokens(source_.tokens);
    const bool described = state_.contains("statistics") &&
                           has_all({"embedding_norm", "pca_mean", "pca_components", "pca_eigenvalues", "pca_scores"});
    if (described)
      read_description();
    else
      describe();
    if (options_.tsne) {
      if (has_all({"tsne", "tsne_kl"}))
        read_map();
      else
        map();
    }
    finish();
    return std::move(summary_);
  }

 private:
  // ---- every stage's surroundings

  bool has_all(std::initializer_list<const char*> names) const {
    return std::all_of(names.begin(), names.end(), [&](const char* name) { return run_.has(name); });
  }

  void begin(std::string_view stage, std::size_t units, std::string_view unit) const {
    check_stop(control_);
    if (options_.on_stage) options_.on_stage({stage, 0, units, unit});
  }

  /// Runs a stage and adds its seconds to those of the processes before.
  template <typename Work>
  void timed(const char* stage, Work&& work) {
    const StageClock clock(state_, stage);
    work();
    state_["seconds"][stage] = clock.seconds();
  }

  void write(const std::string& name, ConstTensorView values, const ArrayDescription& description) {
    if (!run_.has(name)) run_.write(name, values, description);
  }

  // ---- norms, principal components, statistics

  void describe() {
    timed("pca", [&] {
      begin("pca", sizes_.tokens, "tokens");
      take_norms();
      principal_components();
    });
    timed("statistics", [&] {
      begin("statistics", sizes_.tokens, "tokens");
      statistics();
    });
    run_.save_checkpoint(state_, {});
  }

  /// The rows' norms; with `normalize`, a copy of the rows at unit length takes their place.
  void take_norms() {
    const Tensor norms = allocate_host_tensor(DType::f32, std::array{sizes_.tokens});
    const auto norm = norms.vector<float>();
    if (options_.normalize) unit_rows_ = allocate_host_tensor(DType::f32, std::array{sizes_.tokens, sizes_.width});
    for (std::size_t row = 0; row < sizes_.tokens; ++row) {
      const float* values = source_.matrix.row(row);
      double squares = 0;
      for (std::size_t i = 0; i < sizes_.width; ++i) squares += double(values[i]) * values[i];
      const double length = std::sqrt(squares);
      norm[row] = static_cast<float>(length);
      if (!options_.normalize || length == 0) continue;
      float* unit = unit_rows_.matrix<float>().row(row);
      for (std::size_t i = 0; i < sizes_.width; ++i) unit[i] = static_cast<float>(values[i] / length);
    }
    if (options_.normalize) rows_ = unit_rows_.matrix<float>();
    const auto [smallest, largest] = std::minmax_element(norm.data, norm.data + norm.size);
    state_["norms"] = {*smallest, *largest};
    write("embedding_norm", norms, {{"token"}, "Euclidean norm of the embedding as it came", "embedding"});
  }

  void principal_components() {
    const std::size_t d = sizes_.width, k = sizes_.components;
    const Tensor mean = engine_.allocate(DType::f64, {d});
    moment_ = engine_.allocate(DType::f64, {d, d});
    engine_.covariance({.x = rows_,
                        .centered = options_.centered,
                        .mean = mean.vector<double>(),
                        .covariance = moment_.matrix<double>(),
                        .control = control_});
    check_stop(control_);
    const Tensor eigenvalues = engine_.allocate(DType::f64, {d}), components = engine_.allocate(DType::f64, {k, d});
    engine_.eigendecomposition({.matrix = moment_.matrix<double>(),
                                .eigenvalues = eigenvalues.vector<double>(),
                                .eigenvectors = components.matrix<double>()});
    const Tensor subtracted = options_.centered ? mean : engine_.allocate(DType::f64, {d});
    const Tensor found_mean = on_host(engine_, subtracted), found_components = on_host(engine_, components),
                 found_eigenvalues = on_host(engine_, eigenvalues);
    if (options_.centered) add_mean_to_moment(found_mean.vector<double>());
    scores_ = engine_.allocate(DType::f32, {sizes_.tokens, k});
    engine_.projection({.x = rows_,
                        .mean = subtracted.vector<double>(),
                        .components = components.matrix<double>(),
                        .scores = scores_.matrix<float>(),
                        .control = control_});
    // A device is still at the scores while these are written.
    write("pca_mean", found_mean, {{"width"}, "what was subtracted from every row before the projection", "embedding"});
    write("pca_components", found_components,
          {{"component", "width"}, "unit principal axes, largest variance first", "1"});
    write("pca_eigenvalues", found_eigenvalues,
          {{"width"}, "variance along each principal axis (divided by N)", "embedding^2"});
    take_explained(found_eigenvalues.vector<double>().data);
    write("pca_scores", on_host(engine_, scores_),
          {{"token", "component"}, "(row - pca_mean) . component", "embedding"});
  }

  /// S = C + m m^T: the second moment from the covariance, without another pass over the rows.
  void add_mean_to_moment(VectorView<const double> mean) {
    const Tensor sum = on_host(engine_, moment_);
    const auto moment = sum.matrix<double>();
    for (std::size_t i = 0; i < moment.rows; ++i)
      for (std::size_t j = 0; j < moment.columns; ++j) moment.row(i)[j] += mean[i] * mean[j];
    moment_ = on_engine(engine_, sum);
  }

  void take_explained(const double* eigenvalues) {
    summary_.total_variance = 0;
    for (std::size_t i = 0; i < sizes_.width; ++i) summary_.total_variance += eigenvalues[i];
    summary_.explained.resize(sizes_.components);
    for (std::size_t j = 0; j < sizes_.components; ++j)
      summary_.explained[j] = summary_.total_variance > 0 ? eigenvalues[j] / summary_.total_variance : 0;
  }

  /// Isotropy looks along the eigenvectors of E^T E, whichever moment the components came from.
  void statistics() {
    const std::size_t d = sizes_.width;
    const Tensor eigenvalues = engine_.allocate(DType::f64, {d}), directions = engine_.allocate(DType::f64, {d, d});
    engine_.eigendecomposition({.matrix = moment_.matrix<double>(),
                                .eigenvalues = eigenvalues.vector<double>(),
                                .eigenvectors = directions.matrix<double>()});
    moment_ = {};
    check_stop(control_);
    const CosineStatistics found =
        engine_.cosine_statistics({.x = rows_, .directions = directions.matrix<double>(), .control = control_});
    unit_rows_ = {};
    state_["statistics"] = {found.mean_norm, found.norm_of_mean, found.mean_cosine, found.isotropy};
  }

  void read_description() {
    const NpyArray saved = run_.read("pca_scores");
    scores_ = engine_.allocate(DType::f32, {sizes_.tokens, sizes_.components});
    copy_to_engine<float>(engine_, saved, scores_);
    const NpyArray eigenvalues = run_.read("pca_eigenvalues");
    take_explained(eigenvalues.values<double>(1));
  }

  // ---- neighbours, affinities, map

  void map() {
    Tensor initial = has_unfinished_map(run_) ? engine_.allocate(DType::f32, {sizes_.tokens, options_.dimensions})
                                              : initial_positions();
    timed("neighbors", [&] { neighbors(); });
    if (!has_unfinished_map(run_)) run_.save_checkpoint(state_, {});
    SparseMatrix affinities;
    timed("affinities", [&] { affinities = this->affinities(); });
    indices_ = distances_ = {};
    if (engine_.memory_is_host()) finish_writing();  // a device goes on beside it
    timed("tsne", [&] {
      ProjectMap map = make_map(engine_, affinities, std::move(initial), options_, control_, run_, state_);
      finish_writing();
      write_map(map);
      summary_.kl = std::move(map.kl);
      summary_.resumed_from = map.resumed_from;
    });
  }

  Tensor initial_positions() {
    Tensor initial = std::move(file_positions_);
    if (initial.empty()) {
      initial = allocate_host_tensor(DType::f32, std::array{sizes_.tokens, options_.dimensions});
      if (options_.initial == ProjectOptions::Initial::random)
        start_at_random(options_.seed, initial.matrix<float>());
      else
        start_from_scores(on_host(engine_, scores_).matrix<float>(), initial.matrix<float>());
    }
    return on_engine(engine_, initial);
  }

  void neighbors() {
    const std::size_t n = sizes_.tokens, m = sizes_.neighbors;
    begin("neighbors", n, "tokens");
    indices_ = engine_.allocate(DType::i32, {n, m});
    distances_ = engine_.allocate(DType::f32, {n, m});
    if (has_all({"neighbor_indices", "neighbor_distances"})) {
      copy_to_engine<std::int32_t>(engine_, run_.read("neighbor_indices"), indices_);
      copy_to_engine<float>(engine_, run_.read("neighbor_distances"), distances_);
      return;
    }
    engine_.neighbors({.points = scores_.matrix<float>(),
                       .metric = options_.metric,
                       .indices = indices_.matrix<std::int32_t>(),
                       .distances = distances_.matrix<float>(),
                       .control = control_});
    writing_ = std::async(std::launch::async,
                          [this, indices = on_host(engine_, indices_), distances = on_host(engine_, distances_)] {
                            write_neighbors(indices, distances);
                          });
  }

  void write_neighbors(const Tensor& indices, const Tensor& distances) {
    const bool cosine = options_.metric == Metric::cosine;
    write("neighbor_indices", indices, {{"token", "neighbor"}, "nearest tokens in pca_scores, nearest first", "row"});
    write("neighbor_distances", distances,
          {{"token", "neighbor"},
           cosine ? "1 - cosine in pca_scores" : "Euclidean distance in pca_scores",
           cosine ? "1" : "embedding"});
  }

  void finish_writing() {
    if (writing_.valid()) writing_.get();
  }

  SparseMatrix affinities() {
    begin("affinities", sizes_.tokens, "tokens");
    if (options_.sigma > 0)
      return engine_.global_affinities(
          {.points = scores_.matrix<float>(), .sigma = static_cast<float>(options_.sigma), .control = control_});
    return engine_.affinities({.indices = indices_.matrix<std::int32_t>(),
                               .distances = distances_.matrix<float>(),
                               .perplexity = static_cast<float>(options_.perplexity),
                               .control = control_});
  }

  void write_map(const ProjectMap& map) {
    write("tsne", on_host(engine_, map.positions), {{"token", "dimension"}, "t-SNE map", "1"});
    const Tensor records = allocate_host_tensor(DType::f64, std::array{map.kl.size(), std::size_t{2}});
    for (std::size_t i = 0; i < map.kl.size(); ++i) {
      records.matrix<double>().row(i)[0] = static_cast<double>(map.kl[i].iteration);
      records.matrix<double>().row(i)[1] = map.kl[i].kl;
    }
    write("tsne_kl", records,
          {{"record", "iteration and KL"},
           "iterations done, and the Kullback-Leibler divergence of the map after them",
           "iterations, nats"});
  }

  /// The map is whole: an earlier process ended between its last array and the manifest.
  void read_map() {
    const NpyArray saved = run_.read("tsne_kl");
    const double* values = saved.values<double>(2);
    for (std::size_t i = 0; i < saved.shape[0]; ++i)
      summary_.kl.push_back({static_cast<std::size_t>(values[2 * i]), values[2 * i + 1]});
    summary_.resumed_from = options_.iterations;
  }

  // ---- the end

  void finish() {
    const auto& found = state_.at("statistics");
    summary_.statistics = {
        .mean_norm = found.at(0), .norm_of_mean = found.at(1), .mean_cosine = found.at(2), .isotropy = found.at(3)};
    summary_.smallest_norm = state_.at("norms").at(0);
    summary_.largest_norm = state_.at("norms").at(1);
    double total = source_.load_seconds;
    summary_.seconds = {{"load", source_.load_seconds}};
    for (const char* stage : {"pca", "statistics", "neighbors", "affinities", "tsne"})
      if (const auto spent = state_.at("seconds").find(stage); spent != state_.at("seconds").end()) {
        summary_.seconds.emplace_back(stage, spent->get<double>());
        total += spent->get<double>();
      }
    summary_.seconds.emplace_back("total", total);
    summary_.peak_bytes = peak_memory();
    run_.finish(manifest());
  }

  json manifest() const {
    json fields{{"lexiscope", LEXISCOPE_VERSION},
                {"job", "project"},
                {"command", options_.command},
                {"engine", engine_.name()},
                {"engine_description", engine_.description()},
                {"seed", options_.seed},
                {"threads", engine_.threads()},
                {"source",
                 {{"path", source_.path},
                  {"sha256", source_.sha256},
                  {"tensor", source_.tensor},
                  {"stored_dtype", source_.stored_dtype},
                  {"rows", sizes_.tokens},
                  {"columns", sizes_.width}}},
                {"parameters", project_parameters(sizes_, options_)},
                {"peak_bytes", summary_.peak_bytes}};
    for (const auto& [name, version] : library_versions()) fields["versions"][name] = version;
    for (const auto& [stage, seconds] : summary_.seconds) fields["seconds"][stage] = seconds;
    fields["statistics"] = {{"mean_norm", summary_.statistics.mean_norm},
                            {"norm_of_mean", summary_.statistics.norm_of_mean},
                            {"mean_cosine", summary_.statistics.mean_cosine},
                            {"isotropy", summary_.statistics.isotropy}};
    return fields;
  }

  Engine& engine_;
  const ProjectSource& source_;
  const ProjectOptions& options_;
  ProjectSizes sizes_;
  const Control* control_;
  Tensor file_positions_, unit_rows_;             // in the host's memory
  Tensor moment_, scores_, indices_, distances_;  // on the engine
  MatrixView<const float> rows_;
  RunWriter run_;
  json state_{{"seconds", json::object()}};
  ProjectSummary summary_;
  std::future<void> writing_;  // last: its end comes before that of all that it uses
};

}  // namespace

ProjectSummary project(Engine& engine, const ProjectSource& source, const ProjectOptions& options,
                       const Control* control) {
  const ProjectSizes sizes = check_project(source, options);
  require_finite("project", "the embedding", source.matrix, engine.threads());
  require_memory("project", project_memory(engine, sizes, options));
  Tensor file_positions;
  if (options.tsne && options.initial == ProjectOptions::Initial::file) {
    file_positions = allocate_host_tensor(DType::f32, std::array{sizes.tokens, options.dimensions});
    start_from_file(options.initial_file, file_positions.matrix<float>());
  }
  check_stop(control);
  return ProjectRun(engine, source, options, sizes, std::move(file_positions), control).run();
}

}  // namespace lexiscope
