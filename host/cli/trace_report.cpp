// The text coloured by how surprising each token was, the layers as a table with bars, and what was certain and what
// was not.
#include "host/cli/trace_report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "host/cli/report_parts.h"
#include "host/cli/text.h"
#include "host/core/utf8.h"
#include "host/io/run_directory.h"

namespace lexiscope::cli {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t kShownTokens = 400;  // of a longer text the report shows the beginning
constexpr std::size_t kShownExtremes = 5;

/// Of the 256 colours, from certain to surprising; the last is for kColors.size() - 1 nats and more.
constexpr std::array kColors{34, 70, 106, 142, 178, 208, 202, 196};

bool stdout_has_colors() {
  const char* refused = std::getenv("NO_COLOR");
  return isatty(STDOUT_FILENO) == 1 && !(refused && *refused);
}

std::string colored(std::string_view text, double surprisal) {
  const auto step = static_cast<std::size_t>(std::clamp(surprisal, 0.0, static_cast<double>(kColors.size() - 1)));
  return fmt::format("\x1b[38;5;{}m{}\x1b[0m", kColors[step], text);
}

/// What a token stands for: its part of the text, without the spaces before it, or how the vocabulary spells it where
/// it was added or no text is known.
std::string shown(const TracedToken& token, std::string_view text) {
  if (token.begin >= token.end || token.end > text.size()) return printable(token.token);
  std::string_view part = text.substr(token.begin, token.end - token.begin);
  part.remove_prefix(std::min(part.find_first_not_of(' '), part.size() - 1));
  return printable(replace_invalid_utf8(part));
}

/// A line break of the text breaks the line here too.
std::string as_lines(std::string_view text) {
  std::string lines;
  for (const char letter : text) {
    if (letter == '\n')
      lines += "\n  ";
    else
      lines += printable({&letter, 1});
  }
  return lines;
}

/// The text as it is, each token in its colour. Tokens that share a character count with the first of them.
void print_colored_text(const TraceSummary& summary, std::string_view text, std::size_t count) {
  std::string line = "  ";
  std::size_t end = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const TracedToken& token = summary.first_text[i];
    const bool of_text = token.begin < token.end && token.end <= text.size();
    const std::size_t begin = std::max(token.begin, end);
    if (of_text && begin > end) line += as_lines(text.substr(end, begin - end));
    std::string piece =
        of_text ? as_lines(begin < token.end ? text.substr(begin, token.end - begin) : "") : printable(token.token);
    if (text.empty()) piece += ' ';
    line += token.log_prob ? colored(piece, -*token.log_prob) : piece;
    if (of_text) end = std::max(end, token.end);
  }
  fmt::print("{}\n", line);
  if (!summary.log_prob) return;
  fmt::print("\n  surprisal in nats ");
  for (std::size_t step = 0; step < kColors.size(); ++step)
    fmt::print(" {}", colored(fmt::format("{}{}", step, step + 1 == kColors.size() ? "+" : ""), double(step)));
  fmt::print("\n");
}

/// A few tokens a line, each with its surprisal.
void print_plain_text(const TraceSummary& summary, std::string_view text, std::size_t count) {
  constexpr std::size_t kWidth = 100;
  std::string line = " ";
  for (std::size_t i = 0; i < count; ++i) {
    const TracedToken& token = summary.first_text[i];
    std::string piece = shown(token, text);
    if (token.log_prob) piece += fmt::format(" {:.1f}", -*token.log_prob + 0.0);
    if (line.size() + piece.size() + 3 > kWidth && line.size() > 1) {
      fmt::print("{}\n", line);
      line = " ";
    }
    line += (line.size() > 1 ? " | " : " ") + piece;
  }
  fmt::print("{}\n", line);
}

void print_tokens(const TraceSummary& summary, std::string_view text) {
  const std::size_t all = summary.first_text.size(), count = std::min(kShownTokens, all);
  std::string what = summary.texts > 1 ? "Tokens of the first text" : "Tokens";
  if (summary.log_prob)
    what += summary.model.causal ? " and the surprisal of each, given those before it (nats)"
                                 : " and the surprisal of each, given all of the text, itself too (nats)";
  fmt::print("\n{}\n", what);
  stdout_has_colors() ? print_colored_text(summary, text, count) : print_plain_text(summary, text, count);
  if (count < all) fmt::print("  and {} more\n", thousands(all - count));
}

double largest_of(const std::vector<LayerSummary>& layers, double LayerSummary::*field) {
  double largest = 0;
  for (const LayerSummary& layer : layers)
    if (std::isfinite(layer.*field)) largest = std::max(largest, layer.*field);
  return largest;
}

std::string bar_of(double value, double largest) {
  constexpr std::size_t kWidth = 12;
  const std::string drawn = bar(largest > 0 ? value / largest : 0, kWidth);
  return drawn + std::string(kWidth - count_characters(drawn), ' ');
}

void print_layers(const TraceSummary& summary) {
  const bool lens = summary.layers.front().lens_entropy.has_value();
  fmt::print("\nLayers: means over {} tokens; |attention| and |MLP| are the norms of what each half computes,\n",
             thousands(summary.tokens));
  fmt::print("entropy is that of attention's rows in nats{}\n",
             lens ? ", lens that of the next token and its log p" : "");
  fmt::print("  {:>5}  {:>8} {:<12}  {:>8}  {:>6}  {:>11}  {:>8}  {:>7}{}\n", "layer", "drift", "", "relative",
             "cosine", "|attention|", "|MLP|", "entropy",
             lens ? fmt::format(" {:<12}  {:>6}  {:>6}", "", "lens", "log p") : "");
  const double drift = largest_of(summary.layers, &LayerSummary::drift),
               entropy = largest_of(summary.layers, &LayerSummary::attention_entropy);
  for (const LayerSummary& layer : summary.layers) {
    std::string through_lens;
    if (lens) through_lens = fmt::format("  {:>6.2f}", *layer.lens_entropy);
    if (layer.lens_log_prob) through_lens += fmt::format("  {:>6.2f}", *layer.lens_log_prob);
    fmt::print("  {:>5}  {:>8.2f} {}  {:>8.3f}  {:>6.3f}  {:>11.2f}  {:>8.2f}  {:>7.3f} {}{}\n", layer.layer,
               layer.drift, bar_of(layer.drift, drift), layer.drift_relative, layer.drift_cosine,
               layer.attention_update, layer.mlp_update, layer.attention_entropy,
               bar_of(layer.attention_entropy, entropy), through_lens);
  }
}

void print_extremes(const char* label, std::vector<TracedToken> tokens, std::string_view text, bool certain) {
  std::ranges::stable_sort(tokens, [&](const TracedToken& a, const TracedToken& b) {
    return certain ? *a.log_prob > *b.log_prob : *a.log_prob < *b.log_prob;
  });
  tokens.resize(std::min(tokens.size(), kShownExtremes));
  std::string line;
  for (const TracedToken& token : tokens)
    line += fmt::format("{}{} ({:.2g}, rank {})", line.empty() ? "" : "  ", shown(token, text),
                        std::exp(*token.log_prob), thousands(*token.rank));
  print_line(label, line);
}

void print_certainty(const TraceSummary& summary, std::string_view text) {
  if (!summary.log_prob) return;
  fmt::print("\nCertainty (probability and rank)\n");
  std::vector<TracedToken> predicted = summary.first_text;
  std::erase_if(predicted, [](const TracedToken& token) { return !token.log_prob; });
  if (summary.perplexity) print_line("perplexity", fmt::format("{:.2f}", *summary.perplexity));
  print_line("log p", fmt::format("{:.2f} nats", *summary.log_prob), summary.texts > 1 ? "of all texts" : "");
  print_extremes("most", predicted, text, true);
  print_extremes("least", predicted, text, false);
}

void print_generated(const TraceSummary& summary, const TraceOptions& options) {
  if (summary.generated.empty()) return;
  const std::size_t count = summary.generated.size();
  fmt::print("\nContinued by {} token{} ({})\n", thousands(count), count == 1 ? "" : "s",
             options.temperature > 0 ? fmt::format("temperature {}, seed {}", options.temperature, options.seed)
                                     : "the likeliest each");
  const bool colors = stdout_has_colors();
  const bool ids_alone = std::ranges::all_of(summary.generated, &std::string::empty, &GeneratedToken::text);
  std::string line = "  ";
  double log_prob = 0;
  for (const GeneratedToken& token : summary.generated) {
    const std::string piece = ids_alone ? fmt::format("[id {}] ", token.id) : as_lines(token.text);
    line += colors ? colored(piece, -token.log_prob) : piece;
    log_prob += token.log_prob;
  }
  fmt::print("{}\n", line);
  print_line("perplexity", fmt::format("{:.2f}", std::exp(-log_prob / static_cast<double>(count))));
}

ordered_json json_of(const LayerSummary& layer) {
  ordered_json object{{"layer", layer.layer},
                      {"drift", layer.drift},
                      {"drift_relative", layer.drift_relative},
                      {"drift_cosine", layer.drift_cosine},
                      {"attention_update", layer.attention_update},
                      {"mlp_update", layer.mlp_update},
                      {"attention_entropy", layer.attention_entropy}};
  if (layer.lens_entropy) object["lens_entropy"] = *layer.lens_entropy;
  if (layer.lens_log_prob) object["lens_log_prob"] = *layer.lens_log_prob;
  return object;
}

/// The first text's tokens as lists side by side.
void add_tokens(ordered_json& object, const TraceSummary& summary) {
  for (const char* name : {"token_ids", "tokens", "offsets"}) object[name] = ordered_json::array();
  for (const TracedToken& token : summary.first_text) {
    object["token_ids"].push_back(token.id);
    object["tokens"].push_back(token.token);
    object["offsets"].push_back({token.begin, token.end});
  }
  if (!summary.log_prob) return;
  for (const char* name : {"token_log_prob", "token_rank"}) object[name] = ordered_json::array();
  for (const TracedToken& token : summary.first_text) {
    object["token_log_prob"].push_back(token.log_prob ? ordered_json(*token.log_prob) : ordered_json());
    object["token_rank"].push_back(token.rank ? ordered_json(*token.rank) : ordered_json());
  }
}

}  // namespace

void print_trace_text(const TraceSummary& summary, const Model& model, std::string_view text,
                      const TraceOptions& options, const Engine& engine) {
  const ModelConfig& config = summary.model;
  fmt::print("{}: {}, {} layers of {} heads, width {}, {}\n", model.path().string(), config.model_type, config.layers,
             config.heads, thousands(config.width), model.stored_dtype());
  fmt::print("{} token{}", thousands(summary.tokens), summary.tokens == 1 ? "" : "s");
  fmt::print("{}\n", summary.texts > 1 ? fmt::format(" in {} texts", thousands(summary.texts)) : "");
  print_tokens(summary, text);
  print_layers(summary);
  print_certainty(summary, text);
  print_generated(summary, options);
  print_seconds(summary.seconds, summary.peak_bytes, engine);
  print_files(summary.path);
}

void print_trace_json(const TraceSummary& summary, const Model& model, const Engine& engine) {
  const RunReader run(summary.path);
  ordered_json object{{"run", summary.path.string()},
                      {"source", {{"path", model.path().string()}, {"stored_dtype", model.stored_dtype()}}},
                      {"model", run.manifest().at("model")},
                      {"engine", engine.name()},
                      {"threads", engine.threads()},
                      {"texts", summary.texts},
                      {"rows", summary.tokens}};
  add_tokens(object, summary);
  object["layers"] = ordered_json::array();
  for (const LayerSummary& layer : summary.layers) object["layers"].push_back(json_of(layer));
  if (summary.log_prob) object["log_prob"] = *summary.log_prob;
  if (summary.perplexity) object["perplexity"] = *summary.perplexity;
  if (!summary.generated.empty()) object["generated"] = ordered_json::array();
  for (const GeneratedToken& token : summary.generated)
    object["generated"].push_back({{"id", token.id},
                                   {"text", token.text},
                                   {"log_prob", token.log_prob},
                                   {"entropy", token.entropy},
                                   {"rank", token.rank}});
  object["seconds"] = ordered_json::object();
  for (const auto& [stage, seconds] : summary.seconds) object["seconds"][stage] = seconds;
  object["peak_bytes"] = summary.peak_bytes;
  object["arrays"] = run.manifest().at("arrays");
  fmt::print("{}\n", object.dump(2, ' ', false, ordered_json::error_handler_t::replace));
}

}  // namespace lexiscope::cli
