// The program's commands: each adds its options to the parser and runs on what was parsed.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lexiscope/engine.h"

namespace lexiscope::cli {

/// The options that every command takes.
struct CommonOptions {
  std::string device = "auto";
  int threads = 0;
  std::uint64_t seed = 0;
  bool json = false, quiet = false, overwrite = false;
  std::string products = "auto";
};

/// One command: its parser, and what runs after parsing and returns the exit status.
struct Command {
  CLI::App* parser = nullptr;
  std::function<int()> run;
};

Command add_info(CLI::App& app);
Command add_project(CLI::App& app, const std::vector<std::string>& arguments);
Command add_neighbors(CLI::App& app);
Command add_tokenize(CLI::App& app);
Command add_trace(CLI::App& app, const std::vector<std::string>& arguments);
Command add_validate(CLI::App& app);

/// For options that count: CLI11 alone takes -1 for the largest number there is, and nothing for 0.
CLI::Validator whole_number();

void add_common_options(CLI::App& parser, CommonOptions& options);

/// --products, for commands that multiply weights.
void add_products_option(CLI::App& parser, CommonOptions& options);

/// What make_engine of the library takes.
EngineOptions engine_options(const CommonOptions& options);

/// The engine that --device, --threads and --products ask for; "auto" is the fastest. Throws Error{kDevice} saying why
/// there is none.
std::unique_ptr<Engine> make_engine(const CommonOptions& options);

/// Throws Error{kInvalidArgument} naming what is missing, with a way to more help.
void require_given(bool given, const char* what, const CLI::App& parser);

}  // namespace lexiscope::cli
