// Numbers and names as a person reads them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace lexiscope::cli {

/// 30522 -> "30,522".
std::string thousands(std::uint64_t number);

/// "312 MB", "1.5 GB": powers of ten, three digits.
std::string readable_bytes(std::uint64_t bytes);

/// "85 ms", "3.41 s", "2 min 5 s".
std::string readable_seconds(double seconds);

/// A horizontal bar of `share` (0 to 1) of `width` columns, in eighths of a column.
std::string bar(double share, std::size_t width);

/// A token as it can stand in a line: control characters as \xNN, \n, \t.
std::string printable(std::string_view token);

/// `word` as a shell takes it, quoted where it must be.
std::string shell_word(std::string_view word);

}  // namespace lexiscope::cli
