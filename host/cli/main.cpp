// The program: parses the command line, runs one command, and turns what goes wrong into a sentence and an exit status.
#include <fmt/format.h>

#include <csignal>
#include <cstdio>

#include "host/analysis/spelling.h"
#include "host/cli/commands.h"
#include "host/core/require.h"

namespace lexiscope::cli {
namespace {

constexpr int kFailed = 1;  // the work failed
constexpr int kUsage = 2;   // wrong usage or bad input

int exit_status(ErrorCode code) {
  return code == ErrorCode::kInvalidArgument || code == ErrorCode::kInvalidFile ? kUsage : kFailed;
}

int complain(int status, std::string_view sentence) {
  fmt::print(stderr, "lexiscope: {}\n", sentence);
  return status;
}

std::string suggestion(std::string_view word, const std::vector<std::string>& words) {
  const auto near = nearest_spellings(word, words, 1);
  return near.empty() ? "" : fmt::format("; did you mean {}?", near.front());
}

std::vector<std::string> flags_of(const CLI::App& parser) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : parser.get_options())
    if (!option->get_lnames().empty()) flags.push_back("--" + option->get_lnames().front());
  return flags;
}

/// Throws Error{kInvalidArgument} where something on the command line belongs to nothing.
void refuse_leftovers(const CLI::App& parser) {
  const auto leftovers = parser.remaining();
  if (leftovers.empty()) return;
  for (const std::string& word : leftovers)
    if (word.starts_with('-')) {
      const std::string flag = word.substr(0, word.find('='));
      fail(ErrorCode::kInvalidArgument, "{} does not know {}{}", parser.get_name(), flag,
           suggestion(flag, flags_of(parser)));
    }
  fail(ErrorCode::kInvalidArgument, "{} does not know what to do with \"{}\"", parser.get_name(), leftovers.front());
}

int run_command(const CLI::App& app, const std::vector<Command>& commands) {
  for (const Command& command : commands)
    if (command.parser->parsed()) {
      refuse_leftovers(*command.parser);
      return command.run();
    }
  std::vector<std::string> names;
  for (const Command& command : commands) names.push_back(command.parser->get_name());
  const auto words = app.remaining();
  if (words.empty()) fail(ErrorCode::kInvalidArgument, "a command is missing; see lexiscope --help");
  const std::string near = suggestion(words.front(), names);
  fail(ErrorCode::kInvalidArgument, "there is no command \"{}\"{}", words.front(),
       near.empty() ? "; see lexiscope --help" : near);
}

int parse_and_run(int argc, char** argv) {
  CLI::App app{"What a transformer does to its tokens"};
  app.set_version_flag("--version", "lexiscope " LEXISCOPE_VERSION, "Print the version");
  app.footer("Example:\n  lexiscope project all-MiniLM-L6-v2 --out run\n\nlexiscope COMMAND --help says more.");
  const std::vector<std::string> arguments(argv, argv + argc);
  const std::vector<Command> commands{add_info(app),     add_project(app, arguments), add_neighbors(app),
                                      add_tokenize(app), add_trace(app, arguments),   add_validate(app)};
  app.allow_extras();
  for (const Command& command : commands) command.parser->allow_extras();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return app.exit(error);
    return complain(kUsage, error.what());
  }
  return run_command(app, commands);
}

int guarded_main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file-size limit then fails the write, which is told as an error
  try {
    const int status = parse_and_run(argc, argv);
    if (std::fflush(stdout) != 0) return complain(kFailed, "could not write to standard output");
    return status;
  } catch (const Error& error) {
    return complain(exit_status(error.code()), error.what());
  } catch (const std::bad_alloc&) {
    return complain(kFailed, "out of memory");
  } catch (const std::exception& error) {
    return complain(kFailed, error.what());
  }
}

}  // namespace
}  // namespace lexiscope::cli

int main(int argc, char** argv) { return lexiscope::cli::guarded_main(argc, argv); }
