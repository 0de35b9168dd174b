// lexiscope tokenize: a text as a model's tokens, or ids as text.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "host/cli/commands.h"
#include "host/cli/text.h"
#include "host/core/require.h"
#include "host/io/json_file.h"
#include "host/io/mapped_file.h"
#include "lexiscope/tokenizer.h"

namespace lexiscope::cli {
namespace {

struct TokenizeOptions {
  CommonOptions common;
  std::string model, text, file;
  std::vector<std::int32_t> ids;
  bool no_special = false, lines = false;
};

std::string_view contents(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

std::string dump(const nlohmann::ordered_json& object, int indent) {
  return object.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

nlohmann::ordered_json described(const std::vector<Token>& tokens, const Tokenizer& tokenizer) {
  nlohmann::ordered_json object{{"ids", nlohmann::ordered_json::array()},
                                {"tokens", nlohmann::ordered_json::array()},
                                {"offsets", nlohmann::ordered_json::array()}};
  for (const Token& token : tokens) {
    object["ids"].push_back(token.id);
    object["tokens"].push_back(tokenizer.token(token.id));
    object["offsets"].push_back({token.begin, token.end});
  }
  return object;
}

void print_tokens(const TokenizeOptions& options, const Tokenizer& tokenizer, std::string_view text) {
  const std::vector<Token> tokens = tokenizer.encode(text, !options.no_special);
  if (options.common.json) {
    fmt::print("{}\n", dump(described(tokens, tokenizer), 2));
  } else if (!options.common.quiet) {
    for (const Token& token : tokens)
      fmt::print("{:>7}  {:<24}  {}-{}\n", token.id, printable(tokenizer.token(token.id)), token.begin, token.end);
  }
}

// Each line of the file is a JSON string, and gives one line of JSON.
void print_lines(const TokenizeOptions& options, const Tokenizer& tokenizer, const MappedFile& file) {
  const std::string_view all = contents(file);
  std::size_t number = 1;
  for (std::size_t begin = 0; begin < all.size(); ++number) {
    const std::size_t end = std::min(all.find('\n', begin), all.size());
    const std::string where = fmt::format("{}: line {}", file.path().string(), number);
    const nlohmann::json line = parse_json(file.bytes().subspan(begin, end - begin), where);
    if (!line.is_string()) fail(ErrorCode::kInvalidFile, "{}: is {}, a string is needed", where, value_text(line));
    const auto tokens = tokenizer.encode(line.get_ref<const std::string&>(), !options.no_special);
    std::vector<std::int32_t> ids;
    for (const Token& token : tokens) ids.push_back(token.id);
    nlohmann::ordered_json object = described(tokens, tokenizer);
    object["decoded"] = tokenizer.decode(ids, options.no_special);
    fmt::print("{}\n", dump(object, -1));
    begin = end + 1;
  }
}

void print_decoded(const TokenizeOptions& options, const Tokenizer& tokenizer) {
  const std::string text = tokenizer.decode(options.ids, options.no_special);
  if (options.common.json)
    fmt::print("{}\n", dump({{"text", text}}, 2));
  else
    fmt::print("{}\n", text);
}

int run_tokenize(const TokenizeOptions& options, const CLI::App& parser) {
  require_given(!options.model.empty(), "MODEL", parser);
  const bool has_text = parser.count("--text") > 0, has_file = !options.file.empty(), has_ids = !options.ids.empty();
  require(has_text + has_file + has_ids == 1, "exactly one of --text, --file and --decode-ids is needed");
  require(!options.lines || has_file, "--lines needs --file");
  const auto tokenizer = load_tokenizer(options.model);
  if (has_ids)
    print_decoded(options, *tokenizer);
  else if (options.lines)
    print_lines(options, *tokenizer, MappedFile(options.file));
  else if (has_file)
    print_tokens(options, *tokenizer, contents(MappedFile(options.file)));
  else
    print_tokens(options, *tokenizer, options.text);
  return 0;
}

}  // namespace

Command add_tokenize(CLI::App& app) {
  CLI::App* parser = app.add_subcommand("tokenize", "A text as a model's tokens: ids, spellings, bytes");
  const auto options = std::make_shared<TokenizeOptions>();
  parser->add_option("MODEL", options->model, "a model folder or a .gguf");
  parser->add_option("--text", options->text, "the text");
  parser->add_option("--file", options->file, "a file that holds the text, UTF-8");
  parser->add_flag("--lines", options->lines, "each line of the file is a JSON string; prints a line of JSON for each");
  parser->add_option("--decode-ids", options->ids, "prints the text of these ids instead");
  parser->add_flag("--no-special", options->no_special, "add no special tokens, and leave them out of decoded text");
  add_common_options(*parser, options->common);
  parser->footer("Example:\n  lexiscope tokenize all-MiniLM-L6-v2 --text \"the king of france\"");
  return {parser, [options, parser] { return run_tokenize(*options, *parser); }};
}

}  // namespace lexiscope::cli
