// The file list reads the run directory as any other program would, and so shows that it can be read.
#include "host/cli/report_parts.h"

#include <fmt/format.h>

#include <algorithm>

#include "host/cli/text.h"
#include "host/io/run_directory.h"

namespace lexiscope::cli {

void print_line(std::string_view label, const std::string& value, std::string_view remark) {
  if (remark.empty())
    fmt::print("  {:<12}  {}\n", label, value);
  else
    fmt::print("  {:<12}  {:<20}  {}\n", label, value, remark);
}

void print_seconds(const std::vector<std::pair<std::string, double>>& seconds, std::uint64_t peak_bytes,
                   const Engine& engine) {
  std::string stages;
  for (const auto& [stage, spent] : seconds)
    if (stage != "total") stages += (stages.empty() ? "" : ", ") + stage + " " + readable_seconds(spent);
  fmt::print("\nDone in {}, {} at most, on {} ({})\n  {}\n", readable_seconds(seconds.back().second),
             readable_bytes(peak_bytes), engine.name(), engine.description(), stages);
}

void print_files(const std::filesystem::path& run) {
  fmt::print("\nWritten to {}\n", run.string());
  const RunReader reader(run);
  std::vector<std::string> files{"manifest.json"};
  if (reader.manifest().contains("tokens")) files.emplace_back("tokens.tsv");
  for (const auto& [name, array] : reader.manifest().at("arrays").items()) files.push_back(array.at("file"));
  constexpr std::size_t kColumns = 4;
  std::size_t width = 22;
  for (const std::string& file : files) width = std::max(width, file.size());
  for (std::size_t i = 0; i < files.size(); ++i) {
    const bool last = i % kColumns + 1 == kColumns || i + 1 == files.size();
    fmt::print("{}{:<{}}{}", i % kColumns == 0 ? "  " : "", files[i], last ? 0 : width + 2, last ? "\n" : "");
  }
}

}  // namespace lexiscope::cli
