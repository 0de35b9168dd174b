// The sizes that file headers claim, and how messages print them.
#include "host/io/array_layout.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace lexiscope {

std::optional<std::size_t> checked_product(std::span<const std::size_t> shape, std::size_t factor) {
  if (std::find(shape.begin(), shape.end(), 0u) != shape.end()) return 0;
  for (const std::size_t extent : shape)
    if (__builtin_mul_overflow(factor, extent, &factor)) return std::nullopt;
  return factor;
}

std::string shape_text(std::span<const std::size_t> shape) {
  return fmt::format("({}{})", fmt::join(shape, ", "), shape.size() == 1 ? "," : "");
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kLongest = 80;
  std::string result = "\"";
  for (const char byte : text.substr(0, kLongest)) {
    if (byte < 0x20 || byte == 0x7f)
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
    else
      result += byte;
  }
  return result + (text.size() > kLongest ? "...\"" : "\"");
}

}  // namespace lexiscope
