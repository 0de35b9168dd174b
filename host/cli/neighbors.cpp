// lexiscope neighbors: the tokens whose embeddings point the same way.
#include "host/analysis/neighbors.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "host/cli/commands.h"
#include "host/cli/signals.h"
#include "host/cli/text.h"
#include "host/io/embedding_source.h"

namespace lexiscope::cli {
namespace {

struct NeighborsOptions {
  CommonOptions common;
  std::string source, tensor;
  std::vector<std::string> words;
  std::size_t k = 10, limit = 0;
  bool by_row = false;
};

std::string name_of_row(const Embedding& embedding, std::size_t row) {
  return embedding.tokens.empty() ? fmt::format("#{}", row) : embedding.tokens[row];
}

void print_json(const NeighborsOptions& options, const Embedding& embedding, const std::vector<TokenNeighbors>& found) {
  nlohmann::ordered_json object{{"source", options.source},
                                {"tokens", embedding.matrix.rows},
                                {"metric", "cosine"},
                                {"neighbors", nlohmann::ordered_json::array()}};
  for (const auto& [row, nearest] : found) {
    nlohmann::ordered_json entry{
        {"token", name_of_row(embedding, row)}, {"id", row}, {"nearest", nlohmann::ordered_json::array()}};
    for (const auto& [near, cosine] : nearest)
      entry["nearest"].push_back({{"token", name_of_row(embedding, near)}, {"id", near}, {"cosine", cosine}});
    object["neighbors"].push_back(std::move(entry));
  }
  fmt::print("{}\n", object.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

void print_text(const Embedding& embedding, const std::vector<TokenNeighbors>& found) {
  for (std::size_t i = 0; i < found.size(); ++i) {
    fmt::print("{}{}  (#{})\n", i > 0 ? "\n" : "", printable(name_of_row(embedding, found[i].row)), found[i].row);
    for (const auto& [row, cosine] : found[i].nearest)
      fmt::print("  {:>6.3f}  {:<20}  {:<24} #{}\n", cosine, bar(cosine, 20), printable(name_of_row(embedding, row)),
                 row);
  }
}

int run_neighbors(const NeighborsOptions& options, const CLI::App& parser) {
  require_given(!options.source.empty(), "SOURCE", parser);
  require_given(!options.words.empty(), "TOKEN", parser);
  const auto engine = make_engine(options.common);
  const Embedding embedding = load_embedding(options.source, {.tensor = options.tensor, .limit = options.limit});
  std::vector<std::size_t> rows;
  for (const std::string& word : options.words)
    rows.push_back(find_token(word, embedding.tokens, embedding.matrix.rows, options.by_row));
  const StopOnSignals signals;
  const Control control{.stop = signals.token(), .progress = {}};
  const auto found = find_neighbors(*engine, embedding.matrix, rows, options.k, &control);
  if (options.common.json)
    print_json(options, embedding, found);
  else if (!options.common.quiet)
    print_text(embedding, found);
  return 0;
}

}  // namespace

Command add_neighbors(CLI::App& app) {
  CLI::App* parser = app.add_subcommand("neighbors", "The tokens nearest to given tokens, by cosine");
  const auto options = std::make_shared<NeighborsOptions>();
  parser->add_option("SOURCE", options->source, "a model folder, a .safetensors or an .npy [N, d]");
  parser->add_option("TOKEN", options->words, "a token's text; #123 for the token of that row");
  parser->add_option("-k", options->k, "neighbours for each token")->capture_default_str();
  parser->add_flag("--id", options->by_row, "every TOKEN is a row's number");
  parser->add_option("--tensor", options->tensor, "the embedding's name in the checkpoint");
  parser->add_option("--limit", options->limit, "use the first N rows only");
  add_common_options(*parser, options->common);
  parser->footer("Example:\n  lexiscope neighbors all-MiniLM-L6-v2 king paris -k 5");
  return {parser, [options, parser] { return run_neighbors(*options, *parser); }};
}

}  // namespace lexiscope::cli
