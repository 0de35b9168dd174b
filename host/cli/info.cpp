// lexiscope info: what this build and machine can do.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "host/analysis/library_versions.h"
#include "host/cli/commands.h"
#include "host/cli/text.h"
#include "host/core/memory_limit.h"
#include "host/engines/plugin.h"

namespace lexiscope::cli {
namespace {

struct EngineLine {
  std::string name, description;
};

std::vector<EngineLine> describe_engines(const CommonOptions& options) {
  std::vector<EngineLine> lines;
  for (const std::string& name : available_engines())
    lines.push_back({name, lexiscope::make_engine(name, {.threads = options.threads})->description()});
  return lines;
}

std::vector<std::pair<std::string, std::string>> versions() {
  auto found = library_versions();
  found.emplace_back("CLI11", CLI11_VERSION);
  return found;
}

void print_json(const std::vector<EngineLine>& engines, int threads) {
  nlohmann::ordered_json object{{"lexiscope", LEXISCOPE_VERSION}};
  for (const auto& [name, description] : engines) object["engines"][name] = description;
  const std::string& no_cuda = cuda_unavailable();
  object["cuda_unavailable"] = no_cuda.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(no_cuda);
  object["simd_targets"] = simd_targets();
  object["threads"] = threads;
  object["cores"] = std::thread::hardware_concurrency();
  object["memory"] = {{"total", total_memory()}, {"available", available_memory()}};
  for (const auto& [name, version] : versions()) object["libraries"][name] = version;
  fmt::print("{}\n", object.dump(2));
}

void print_text(const std::vector<EngineLine>& engines, int threads) {
  fmt::print("lexiscope {}\n\nEngines\n", LEXISCOPE_VERSION);
  for (const auto& [name, description] : engines) fmt::print("  {:<14} {}\n", name, description);
  if (const std::string& reason = cuda_unavailable(); !reason.empty())
    fmt::print("  {:<14} not available: {}\n", "cuda", reason);
  fmt::print("\nMachine\n");
  fmt::print("  {:<14} {}\n", "SIMD", fmt::join(simd_targets(), ", "));
  fmt::print("  {:<14} {} of {} cores\n", "threads", threads, std::thread::hardware_concurrency());
  fmt::print("  {:<14} {}, {} available\n\nLibraries\n", "memory", readable_bytes(total_memory()),
             readable_bytes(available_memory()));
  for (const auto& [name, version] : versions()) fmt::print("  {:<14} {}\n", name, version);
}

int run_info(const CommonOptions& common) {
  const auto engine = make_engine(common);
  const auto engines = describe_engines(common);
  if (common.json)
    print_json(engines, engine->threads());
  else if (!common.quiet)
    print_text(engines, engine->threads());
  return 0;
}

}  // namespace

Command add_info(CLI::App& app) {
  CLI::App* parser = app.add_subcommand("info", "The engines, processor, memory and libraries found here");
  const auto common = std::make_shared<CommonOptions>();
  add_common_options(*parser, *common);
  parser->footer("Example:\n  lexiscope info");
  return {parser, [common] { return run_info(*common); }};
}

}  // namespace lexiscope::cli
