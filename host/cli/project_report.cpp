// The report reads the run directory as any other program would, and so shows that it can be read.
#include "host/cli/project_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <iterator>
#include <nlohmann/json.hpp>
#include <numeric>

#include "host/cli/report_parts.h"
#include "host/cli/text.h"
#include "host/io/run_directory.h"

namespace lexiscope::cli {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t kShownComponents = 5;
constexpr std::size_t kShownTokens = 5;
constexpr std::size_t kShownNeighbors = 6;

bool is_plain_word(const std::string& token) {
  return token.size() >= 3 && std::all_of(token.begin(), token.end(), [](unsigned char c) { return std::isalpha(c); });
}

/// A few tokens that say something: well-known words where the vocabulary has them, else some from all over it, plain
/// words where it has any.
std::vector<std::size_t> sample_tokens(const std::vector<std::string>& tokens) {
  constexpr std::array kWellKnown{"king", "paris", "monday", "seven", "river", "quickly", "computer", "blue"};
  constexpr std::array kWordStarts{"", "\u2581", "\u0120"};  // plain, SentencePiece's, GPT-2's
  std::vector<std::size_t> rows;
  for (const std::string word : kWellKnown)
    for (const std::string start : kWordStarts) {
      const auto found = std::find(tokens.begin(), tokens.end(), start + word);
      if (found == tokens.end() || rows.size() == kShownTokens) continue;
      rows.push_back(static_cast<std::size_t>(found - tokens.begin()));
      break;
    }
  if (!rows.empty()) return rows;
  std::vector<std::size_t> words, all(tokens.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  std::copy_if(all.begin(), all.end(), std::back_inserter(words),
               [&](std::size_t row) { return is_plain_word(tokens[row]); });
  const auto& candidates = words.empty() ? all : words;
  const std::size_t count = std::min(kShownTokens, candidates.size());
  for (std::size_t i = 0; i < count; ++i) rows.push_back(candidates[(2 * i + 1) * candidates.size() / (2 * count)]);
  return rows;
}

void print_components(const ProjectOptions& options, const ProjectSummary& summary) {
  double held = 0;
  for (const double share : summary.explained) held += share;
  fmt::print("\nPrincipal components ({}): {} of {} hold {:.1f} % of the {}\n",
             options.centered ? "centered" : "uncentered", summary.components, summary.width, 100 * held,
             options.centered ? "variance" : "second moment");
  const double largest = summary.explained.empty() ? 0 : summary.explained.front();
  for (std::size_t j = 0; j < std::min(kShownComponents, summary.explained.size()); ++j)
    print_line(std::to_string(j + 1), fmt::format("{:5.2f} %  {}", 100 * summary.explained[j],
                                                  bar(largest > 0 ? summary.explained[j] / largest : 0, 30)));
}

void print_neighbors(const ProjectSource& source, const ProjectOptions& options, const ProjectSummary& summary) {
  fmt::print("\nNearest tokens ({}, in {} components; {} for each token)\n",
             options.metric == Metric::cosine ? "cosine" : "Euclidean", summary.components, summary.neighbors);
  if (source.tokens.empty()) return;
  const NpyArray saved = RunReader(summary.path).array("neighbor_indices");
  const auto* indices = saved.values<std::int32_t>(2);
  for (const std::size_t row : sample_tokens(source.tokens)) {
    std::string line;
    for (std::size_t j = 0; j < std::min(kShownNeighbors, summary.neighbors); ++j)
      line += (j > 0 ? "  " : "") +
              printable(source.tokens[static_cast<std::size_t>(indices[row * summary.neighbors + j])]);
    print_line(printable(source.tokens[row]), line);
  }
}

void print_map(const ProjectOptions& options, const ProjectSummary& summary) {
  const std::string width =
      options.sigma > 0 ? fmt::format("sigma {}", options.sigma) : fmt::format("perplexity {}", options.perplexity);
  fmt::print("\nMap (t-SNE in {} dimensions, {}, {} iterations)\n", options.dimensions, width,
             thousands(options.iterations));
  print_line("KL", fmt::format("{:.3f} nats", summary.kl.back().kl));
  const auto early = std::find_if(summary.kl.begin(), summary.kl.end(),
                                  [](const KlRecord& record) { return record.iteration == 250; });
  if (early != summary.kl.end() && early->iteration != summary.kl.back().iteration)
    print_line("", fmt::format("{:.3f} after the early exaggeration", early->kl));
  if (summary.resumed_from > 0) print_line("", fmt::format("resumed at iteration {}", thousands(summary.resumed_from)));
}

}  // namespace

void print_project_text(const ProjectSource& source, const ProjectOptions& options, const ProjectSummary& summary,
                        const Engine& engine) {
  const CosineStatistics& found = summary.statistics;
  fmt::print("{}{}{}\n", source.path, source.tensor.empty() ? "" : ": ", source.tensor);
  fmt::print("{} tokens x {}, {}\n\nThe cloud\n", thousands(summary.tokens), thousands(summary.width),
             source.stored_dtype);
  print_line("norms", fmt::format("{:.3g} to {:.3g}", summary.smallest_norm, summary.largest_norm));
  print_line("mean vector", fmt::format("{:.3f}", found.norm_of_mean),
             fmt::format("its norm; the mean norm {}is {:.3f}", options.normalize ? "of the unit rows " : "",
                         found.mean_norm));
  print_line("mean cosine", fmt::format("{:.3f}", found.mean_cosine),
             "of all pairs; 0 where directions are spread evenly");
  print_line("isotropy", fmt::format("{:.3f}", found.isotropy), "1 where every direction is alike");
  print_components(options, summary);
  if (options.tsne) {
    print_neighbors(source, options, summary);
    print_map(options, summary);
  }
  print_seconds(summary.seconds, summary.peak_bytes, engine);
  print_files(summary.path);
}

void print_project_json(const ProjectSource& source, const ProjectSummary& summary, const Engine& engine) {
  const CosineStatistics& found = summary.statistics;
  ordered_json object{
      {"run", summary.path.string()},
      {"source", {{"path", source.path}, {"tensor", source.tensor}, {"stored_dtype", source.stored_dtype}}},
      {"engine", engine.name()},
      {"threads", engine.threads()},
      {"tokens", summary.tokens},
      {"width", summary.width},
      {"norms", {{"smallest", summary.smallest_norm}, {"largest", summary.largest_norm}, {"mean", found.mean_norm}}},
      {"norm_of_mean", found.norm_of_mean},
      {"mean_cosine", found.mean_cosine},
      {"isotropy", found.isotropy},
      {"components", summary.components},
      {"total_variance", summary.total_variance},
      {"explained", summary.explained},
      {"neighbors", summary.neighbors},
      {"kl", ordered_json::array()},
      {"resumed_from", summary.resumed_from},
      {"seconds", ordered_json::object()},
      {"peak_bytes", summary.peak_bytes}};
  for (const auto& [iteration, kl] : summary.kl) object["kl"].push_back({iteration, kl});
  for (const auto& [stage, seconds] : summary.seconds) object["seconds"][stage] = seconds;
  object["arrays"] = RunReader(summary.path).manifest().at("arrays");
  fmt::print("{}\n", object.dump(2, ' ', false, ordered_json::error_handler_t::replace));
}

}  // namespace lexiscope::cli
