// lexiscope project: the vocabulary's components, neighbours and map, into a run directory.
#include "lexiscope/project.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <filesystem>

#include "host/cli/commands.h"
#include "host/cli/progress.h"
#include "host/cli/project_report.h"
#include "host/cli/signals.h"
#include "host/cli/text.h"
#include "host/core/require.h"
#include "host/io/embedding_source.h"

namespace lexiscope::cli {
namespace {

struct ProjectCommand {
  CommonOptions common;
  ProjectOptions options;
  std::vector<std::string> arguments;
  std::string source, tensor, out, metric = "euclidean", repulsion = "auto", initial = "pca", learning_rate = "auto";
  std::size_t limit = 0;
  CLI::Option *components = nullptr, *sigma = nullptr;
  bool uncentered = false, no_tsne = false, resume = false;
};

double parse_learning_rate(const std::string& text) {
  if (text == "auto") return 0;
  double rate = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rate);
  require(error == std::errc{} && end == text.data() + text.size() && rate > 0,
          "--learning-rate is \"{}\", needs to be auto or a positive number", text);
  return rate;
}

ProjectOptions resolve(const ProjectCommand& command) {
  ProjectOptions options = command.options;
  options.out = command.out;
  options.command = command.arguments;
  options.seed = command.common.seed;
  require(!command.common.overwrite || !command.resume, "--overwrite and --resume exclude each other");
  if (command.common.overwrite) options.existing = ProjectOptions::Existing::overwrite;
  if (command.resume) options.existing = ProjectOptions::Existing::resume;
  require(command.components->count() == 0 || options.components > 0, "--components is 0, needs at least 1");
  require(command.sigma->count() == 0 || options.sigma > 0, "--sigma is {}, needs to be positive", options.sigma);
  options.centered = !command.uncentered;
  options.tsne = !command.no_tsne;
  options.learning_rate = parse_learning_rate(command.learning_rate);
  if (command.metric == "cosine") options.metric = Metric::cosine;
  if (command.repulsion == "exact") options.repulsion = Repulsion::exact;
  if (command.repulsion == "grid") options.repulsion = Repulsion::grid;
  if (command.initial == "random") {
    options.initial = ProjectOptions::Initial::random;
  } else if (command.initial != "pca") {
    options.initial = ProjectOptions::Initial::file;
    options.initial_file = command.initial;
  }
  return options;
}

ProjectSource load(const Embedding& embedding, double seconds) {
  return {.matrix = embedding.matrix,
          .tokens = embedding.tokens,
          .path = embedding.path,
          .tensor = embedding.tensor,
          .sha256 = embedding.sha256,
          .stored_dtype = embedding.stored_dtype,
          .load_seconds = seconds};
}

/// The same command line, to go on where this one ended.
std::string resume_command(const std::vector<std::string>& arguments) {
  std::string line;
  for (const std::string& argument : arguments)
    if (argument != "--overwrite" && argument != "--resume") line += shell_word(argument) + " ";
  return line + "--resume";
}

int run_project(const ProjectCommand& command, const CLI::App& parser) {
  require_given(!command.source.empty(), "SOURCE", parser);
  require_given(!command.out.empty(), "--out", parser);
  ProjectOptions options = resolve(command);
  const auto engine = make_engine(command.common);
  const StopOnSignals signals;
  const auto start = std::chrono::steady_clock::now();
  const Embedding embedding = load_embedding(command.source, {.tensor = command.tensor, .limit = command.limit});
  const ProjectSource source =
      load(embedding, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  ProjectSummary summary;
  try {
    ProgressLine line(command.common.quiet);
    options.on_stage = [&](const ProjectStage& stage) { line.begin(stage); };
    const Control control{.stop = signals.token(), .progress = [&](double share) { line.update(share); }};
    summary = project(*engine, source, options, &control);
  } catch (const Error& error) {
    const bool unfinished = std::filesystem::exists(options.out / "unfinished.json");
    const bool usage = error.code() == ErrorCode::kInvalidArgument || error.code() == ErrorCode::kInvalidFile;
    if (usage || !unfinished) throw;
    fail(error.code(), "{}; what is done is kept, go on with: {}", error.what(), resume_command(command.arguments));
  }
  if (command.common.json)
    print_project_json(source, summary, *engine);
  else if (!command.common.quiet)
    print_project_text(source, options, summary, *engine);
  return 0;
}

void add_project_options(CLI::App& parser, ProjectCommand& command) {
  ProjectOptions& options = command.options;
  parser.add_option("SOURCE", command.source, "a model folder, a .safetensors or an .npy [N, d]");
  parser.add_option("--out", command.out, "the run directory to write");
  parser.add_option("--tensor", command.tensor, "the embedding's name in the checkpoint");
  parser.add_option("--limit", command.limit, "use the first N rows only");
  parser.add_flag("--resume", command.resume, "go on with an unfinished run of the same command");
  parser
      .add_option("--checkpoint-every", options.checkpoint_every,
                  "iterations between checkpoints; 0: only when stopped")
      ->capture_default_str();

  const std::string pca = "Principal components";
  command.components =
      parser.add_option("--components", options.components, "k; 50 unless the rows are shorter")->group(pca);
  parser.add_flag("--uncentered", command.uncentered, "of (1/N) E^T E, without subtracting the mean")->group(pca);
  parser.add_flag("--normalize", options.normalize, "bring every row to unit length first")->group(pca);

  const std::string map = "Neighbours and map";
  parser.add_flag("--no-tsne", command.no_tsne, "stop after the components: no neighbours either")->group(map);
  parser.add_option("--metric", command.metric, "of the neighbours: euclidean or cosine")
      ->check(CLI::IsMember({"euclidean", "cosine"}))
      ->capture_default_str()
      ->group(map);
  auto* perplexity = parser.add_option("--perplexity", options.perplexity, "effective number of neighbours")
                         ->capture_default_str()
                         ->group(map);
  command.sigma =
      parser.add_option("--sigma", options.sigma, "one Gaussian width for all pairs, in place of a perplexity")
          ->excludes(perplexity)
          ->group(map);
  parser.add_option("--dims", options.dimensions, "of the map: 2 or 3")->capture_default_str()->group(map);
  parser.add_option("--iterations", options.iterations, "in all; the first 250 exaggerate")
      ->capture_default_str()
      ->group(map);
  parser.add_option("--exaggeration", options.exaggeration, "in the first 250 iterations")
      ->capture_default_str()
      ->group(map);
  parser.add_option("--learning-rate", command.learning_rate, "auto (N / exaggeration) or a number")
      ->capture_default_str()
      ->group(map);
  parser.add_option("--repulsion", command.repulsion, "auto, exact or grid")
      ->check(CLI::IsMember({"auto", "exact", "grid"}))
      ->capture_default_str()
      ->group(map);
  parser.add_option("--init", command.initial, "pca, random or an .npy [N, dims]")->capture_default_str()->group(map);
}

}  // namespace

Command add_project(CLI::App& app, const std::vector<std::string>& arguments) {
  CLI::App* parser = app.add_subcommand("project", "A vocabulary's components, neighbours and t-SNE map");
  const auto command = std::make_shared<ProjectCommand>();
  command->arguments = arguments;
  add_project_options(*parser, *command);
  add_common_options(*parser, command->common);
  parser->footer("Example:\n  lexiscope project all-MiniLM-L6-v2 --out run");
  return {parser, [command, parser] { return run_project(*command, *parser); }};
}

}  // namespace lexiscope::cli
