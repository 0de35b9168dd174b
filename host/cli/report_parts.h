// What the text reports of the jobs share: lines, times and the files written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lexiscope/engine.h"

namespace lexiscope::cli {

/// "  label         value                 remark".
void print_line(std::string_view label, const std::string& value, std::string_view remark = {});

/// The total and each stage; `seconds` ends with "total".
void print_seconds(const std::vector<std::pair<std::string, double>>& seconds, std::uint64_t peak_bytes,
                   const Engine& engine);

/// The files of a finished run, as its manifest names them.
void print_files(const std::filesystem::path& run);

}  // namespace lexiscope::cli
