// lexiscope validate: every operation on every engine here against the reference.
#include "host/analysis/validate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "host/cli/commands.h"
#include "host/cli/signals.h"
#include "host/cli/text.h"
#include "host/core/require.h"
#include "host/engines/staged_engine.h"

namespace lexiscope::cli {
namespace {

struct ValidateOptions {
  CommonOptions common;
  std::vector<std::string> operations;
};

struct Row {
  std::string engine;
  Validation found;
};

/// An engine to validate: a cpu engine stands once for each of its SIMD targets.
struct Candidate {
  std::string name, simd;
  std::shared_ptr<Engine> engine;
};

Candidate make_candidate(const std::string& name, const CommonOptions& options) {
  auto engine = lexiscope::make_engine(name, engine_options(options));
  if (engine->memory_is_host()) return {.name = name, .simd = {}, .engine = std::move(engine)};
  return {.name = name, .simd = {}, .engine = std::make_shared<StagedEngine>(std::move(engine))};
}

std::vector<Candidate> make_candidates(const CommonOptions& options) {
  std::vector<std::string> names{options.device};
  if (options.device == "auto") {
    names = available_engines();
    std::erase(names, "reference");
    if (options.products == "cublaslt") names.resize(1);  // the cuda engine's alone, and it stands first
  }
  std::vector<Candidate> found;
  for (const std::string& name : names) {
    const Candidate candidate = make_candidate(name, options);
    if (name != "cpu") {
      found.push_back(candidate);
      continue;
    }
    for (const std::string& simd : simd_targets()) {
      found.push_back(candidate);
      found.back().name = fmt::format("{} {}", name, simd);
      found.back().simd = simd;
    }
  }
  return found;
}

std::vector<std::string> chosen_operations(const ValidateOptions& options) {
  const auto known = validated_operations();
  for (const std::string& name : options.operations)
    require(std::find(known.begin(), known.end(), name) != known.end(), "there is no operation \"{}\"; there are {}",
            name, fmt::join(known, ", "));
  return options.operations.empty() ? known : options.operations;
}

std::string share_of(const Row& row) {
  const Validation& found = row.found;
  return found.error.empty() ? fmt::format("{:9.4f}  {:<10}", found.worst, bar(found.worst, 10)) : found.error;
}

bool is_failure(const Row& row) { return !row.found.passed(); }

void print_row(const Row& row) {
  fmt::print("{:<20} {:<18} {:>5}  {}{}\n", row.found.operation, row.engine, row.found.cases, share_of(row),
             !is_failure(row) ? "" : fmt::format("  FAILS at {}", row.found.at));
  std::fflush(stdout);
}

nlohmann::ordered_json as_json(const Row& row) {
  nlohmann::ordered_json object{{"operation", row.found.operation}, {"engine", row.engine},
                                {"cases", row.found.cases},         {"worst_share_of_bound", nullptr},
                                {"worst_case", row.found.at},       {"passed", row.found.passed()}};
  if (std::isfinite(row.found.worst)) object["worst_share_of_bound"] = row.found.worst;
  if (!row.found.error.empty()) object["error"] = row.found.error;
  return object;
}

int run_validate(const ValidateOptions& options) {
  const auto operations = chosen_operations(options);
  const auto engines = make_candidates(options.common);
  const bool text = !options.common.json && !options.common.quiet;
  const std::string widest = simd_targets().front();
  const StopOnSignals signals;
  const Control control{.stop = signals.token(), .progress = {}};
  if (text) fmt::print("{:<20} {:<18} {:>5}  {:>9}\n", "operation", "engine", "cases", "worst error / bound");
  std::vector<Row> rows;
  for (const std::string& operation : operations)
    for (const Candidate& candidate : engines) {
      set_simd_target(candidate.simd.empty() ? widest : candidate.simd);
      const Validation found = validate(operation, *candidate.engine, options.common.seed, &control);
      rows.push_back({candidate.name, found});
      if (text) print_row(rows.back());
    }
  const auto failed = static_cast<std::size_t>(std::count_if(rows.begin(), rows.end(), is_failure));
  if (options.common.json) {
    nlohmann::ordered_json object{{"passed", failed == 0}, {"results", nlohmann::ordered_json::array()}};
    for (const Row& row : rows) object["results"].push_back(as_json(row));
    fmt::print("{}\n", object.dump(2));
  } else if (text) {
    fmt::print("\n{}\n", failed == 0 ? "All within their bounds." : fmt::format("{} beyond their bounds.", failed));
  }
  return failed == 0 ? 0 : 1;
}

}  // namespace

Command add_validate(CLI::App& app) {
  CLI::App* parser = app.add_subcommand("validate", "Every operation on every engine here against the reference");
  const auto options = std::make_shared<ValidateOptions>();
  parser->add_option("OP", options->operations, "operations; all of them where none is named");
  add_products_option(*parser, options->common);
  add_common_options(*parser, options->common);
  parser->footer("Example:\n  lexiscope validate attention tsne_gradient");
  return {parser, [options] { return run_validate(*options); }};
}

}  // namespace lexiscope::cli
