// lexiscope trace: what a model does to the tokens of a text, layer by layer, into a run directory.
#include "lexiscope/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>

#include "host/analysis/trace_options.h"
#include "host/cli/commands.h"
#include "host/cli/progress.h"
#include "host/cli/signals.h"
#include "host/cli/trace_report.h"
#include "host/cli/trace_texts.h"
#include "host/core/require.h"
#include "host/io/mapped_file.h"

namespace lexiscope::cli {
namespace {

struct TraceCommand {
  CommonOptions common;
  TraceOptions options;
  std::vector<std::string> arguments, maps{"stats"};
  std::string model, text, file, ids, out, layers, precision = "f32";
  CLI::Option *has_text = nullptr, *has_pool = nullptr;
  bool batch = false, truncate = false;
};

std::pair<std::size_t, std::size_t> parse_layers(const std::string& text) {
  std::pair<std::size_t, std::size_t> layers;
  const char *begin = text.data(), *end = begin + text.size();
  const auto [dash, first_error] = std::from_chars(begin, end, layers.first);
  bool read = first_error == std::errc{} && dash != end && *dash == '-';
  if (read) {
    const auto [rest, last_error] = std::from_chars(dash + 1, end, layers.second);
    read = last_error == std::errc{} && rest == end;
  }
  require(read, "--layers is \"{}\", needs to be A-B: the first and the last layer, counted from 0", text);
  return layers;
}

TraceOptions resolve(const TraceCommand& command) {
  TraceOptions options = command.options;
  const auto wants = [&](const char* map) { return std::ranges::count(command.maps, map) > 0; };
  options.out = command.out;
  options.command = command.arguments;
  options.seed = command.common.seed;
  if (command.common.overwrite) options.existing = TraceOptions::Existing::overwrite;
  options.maps = {.pooled = wants("pooled"), .topk = wants("topk"), .full = wants("full")};
  require(options.maps.pooled || command.has_pool->count() == 0, "--pool is given without --maps pooled");
  if (!command.layers.empty()) options.layers = parse_layers(command.layers);
  const int texts = (command.has_text->count() > 0) + !command.file.empty() + !command.ids.empty();
  require(texts == 1, "exactly one of --text, --file and --ids is needed");
  require(!command.batch || !command.file.empty(), "--batch parts the texts of a --file, none is given");
  return options;
}

/// The tokenizer; for ids alone a model may have none.
std::unique_ptr<Tokenizer> tokenizer_for(const TraceCommand& command) {
  try {
    return load_tokenizer(command.model);
  } catch (const Error&) {
    if (command.ids.empty()) throw;
    return nullptr;
  }
}

/// The first text keeps its bytes: the report shows them.
std::vector<TraceText> read_texts(const TraceCommand& command, const Tokenizer* tokenizer) {
  if (!command.ids.empty()) return {read_ids(command.ids)};
  std::vector<std::string> contents;
  std::string name = "--text";
  if (command.file.empty()) {
    contents.push_back(command.text);
  } else {
    const MappedFile file(command.file);
    const std::string_view content(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
    name = command.file;
    contents = command.batch ? split_texts(content, command.file) : std::vector<std::string>{std::string(content)};
  }
  std::vector<TraceText> texts;
  for (std::size_t i = 0; i < contents.size(); ++i)
    texts.push_back(encode_text(*tokenizer, contents[i], command.batch ? fmt::format("{}: text {}", name, i) : name));
  texts.front().text = std::move(contents.front());
  return texts;
}

int run_trace(const TraceCommand& command, const CLI::App& parser) {
  require_given(!command.model.empty(), "MODEL", parser);
  require_given(!command.out.empty(), "--out", parser);
  TraceOptions options = resolve(command);
  require(command.common.overwrite || !std::filesystem::exists(options.out),
          "{}: exists already; --overwrite replaces it", command.out);
  const auto engine = make_engine(command.common);
  const StopOnSignals signals;
  const auto start = std::chrono::steady_clock::now();
  const ModelConfig config = read_model_config(command.model);
  const auto tokenizer = tokenizer_for(command);
  std::vector<TraceText> texts = read_texts(command, tokenizer.get());
  if (options.generate < config.context) fit_texts(texts, config.context - options.generate, command.truncate);
  check_trace(config, texts, options);  // before the weights are read

  const std::size_t last = options.layers ? options.layers->second : config.layers - 1;
  const auto model = load_model(*engine, command.model,
                                {.precision = command.precision == "bf16" ? DType::bf16 : DType::f32,
                                 .last_layer = last,
                                 .head = options.lens || last + 1 == config.layers});
  options.load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  TraceSummary summary;
  {
    ProgressLine line(command.common.quiet);
    options.on_stage = [&](std::string_view stage, std::size_t units) {
      line.begin({.name = stage, .first = 0, .units = units, .unit = "tokens"});
    };
    const Control control{.stop = signals.token(), .progress = [&](double share) { line.update(share); }};
    summary = trace(*engine, *model, tokenizer.get(), texts, options, &control);
  }
  if (command.common.json)
    print_trace_json(summary, *model, *engine);
  else if (!command.common.quiet)
    print_trace_text(summary, *model, texts.front().text, options, *engine);
  return 0;
}

void add_trace_options(CLI::App& parser, TraceCommand& command) {
  TraceOptions& options = command.options;
  parser.add_option("MODEL", command.model, "a model folder or a .gguf");
  parser.add_option("--out", command.out, "the run directory to write");

  const std::string texts = "Text (one of the first three)";
  command.has_text = parser.add_option("--text", command.text, "the text itself")->group(texts);
  parser.add_option("--file", command.file, "a file that holds the text, UTF-8")->group(texts);
  parser.add_option("--ids", command.ids, "a file that holds token ids, white space between them")->group(texts);
  parser
      .add_flag("--batch", command.batch,
                "the file holds many texts: blank lines part them; .jsonl: each line's \"text\"")
      ->group(texts);
  parser.add_flag("--truncate", command.truncate, "keep of a longer text what fits the model's context")->group(texts);

  const std::string shown = "What is recorded";
  parser.add_option("--maps", command.maps, "of attention: stats (always), pooled, topk, full")
      ->delimiter(',')
      ->check(CLI::IsMember({"stats", "pooled", "topk", "full"}))
      ->group(shown);
  command.has_pool = parser.add_option("--pool", options.pool, "cells a side of a pooled map")
                         ->check(whole_number())
                         ->capture_default_str()
                         ->group(shown);
  parser.add_option("--top-k", options.top_k, "largest weights of a row, and likeliest tokens")
      ->check(whole_number())
      ->capture_default_str()
      ->group(shown);
  parser.add_option("--layers", command.layers, "A-B: these layers alone, from 0; later ones are not computed")
      ->group(shown);
  parser.add_flag("--lens", options.lens, "how certain the model is after every layer")->group(shown);

  const std::string work = "Computation";
  parser.add_option("--precision", command.precision, "of weights and products: f32 or bf16")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->capture_default_str()
      ->group(work);
  add_products_option(parser, command.common);
  parser.add_option("--generate", options.generate, "continue the text by so many tokens")
      ->check(whole_number())
      ->group(work);
  parser.add_option("--temperature", options.temperature, "draw them from softmax(logits / X); 0: the likeliest")
      ->capture_default_str()
      ->group(work);
}

}  // namespace

Command add_trace(CLI::App& app, const std::vector<std::string>& arguments) {
  CLI::App* parser = app.add_subcommand("trace", "What a model does to the tokens of a text");
  const auto command = std::make_shared<TraceCommand>();
  command->arguments = arguments;
  add_trace_options(*parser, *command);
  add_common_options(*parser, command->common);
  parser->footer("Example:\n  lexiscope trace all-MiniLM-L6-v2 --text \"The king of France\" --out run");
  return {parser, [command, parser] { return run_trace(*command, *parser); }};
}

}  // namespace lexiscope::cli
