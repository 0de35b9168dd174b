// What the commands share.
#include "host/cli/commands.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

#include "host/core/require.h"

namespace lexiscope::cli {

CLI::Validator whole_number() {
  const auto check = [](const std::string& text) -> std::string {
    const char* const end = text.data() + text.size();
    std::uint64_t number = 0;
    const auto [rest, error] = std::from_chars(text.data(), end, number);
    if (error == std::errc{} && rest == end) return {};
    return fmt::format("is \"{}\", needs to be a whole number from 0 to {}", text,
                       std::numeric_limits<std::uint64_t>::max());
  };
  return {check, ""};
}

void add_common_options(CLI::App& parser, CommonOptions& options) {
  const std::string group = "Everywhere";
  parser.add_option("--device", options.device, "auto, cpu, cuda or reference")
      ->check(CLI::IsMember({"auto", "cpu", "cuda", "reference"}))
      ->capture_default_str()
      ->group(group);
  parser.add_option("--threads", options.threads, "threads; 0: one for each core")->check(whole_number())->group(group);
  parser.add_option("--seed", options.seed, "seed of whatever is random")
      ->check(whole_number())
      ->capture_default_str()
      ->group(group);
  parser.add_flag("--json", options.json, "print one JSON object instead of text")->group(group);
  parser.add_flag("--quiet", options.quiet, "print no text and no progress; errors are still told")->group(group);
  parser.add_flag("--overwrite", options.overwrite, "replace what exists already")->group(group);
}

void add_products_option(CLI::App& parser, CommonOptions& options) {
  parser
      .add_option(
          "--products", options.products,
          "on the cuda engine, products with weights by its own kernels (own), by cuBLASLt (cublaslt), or large "
          "ones by cuBLASLt (auto)")
      ->check(CLI::IsMember({"auto", "own", "cublaslt"}))
      ->capture_default_str()
      ->group("Computation");
}

EngineOptions engine_options(const CommonOptions& options) {
  const auto products = options.products == "own"        ? ProductLibrary::own
                        : options.products == "cublaslt" ? ProductLibrary::cublas_lt
                                                         : ProductLibrary::automatic;
  return {.threads = options.threads, .products = products};
}

std::unique_ptr<Engine> make_engine(const CommonOptions& options) {
  const std::string name = options.device == "auto" ? available_engines().front() : options.device;
  return lexiscope::make_engine(name, engine_options(options));
}

void require_given(bool given, const char* what, const CLI::App& parser) {
  require(given, "{} is missing; see lexiscope {} --help", what, parser.get_name());
}

}  // namespace lexiscope::cli
