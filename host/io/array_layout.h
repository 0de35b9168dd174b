// The sizes that file headers claim, checked before they are believed, and how messages print them.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace lexiscope {

/// Formats allow more dimensions than anything here has; beyond this a header is not believed.
inline constexpr std::size_t kMaxFileRank = 32;

/// The product of the extents and `factor`; nothing where it overflows. 0 where any extent is 0, whatever the others.
std::optional<std::size_t> checked_product(std::span<const std::size_t> shape, std::size_t factor);

/// "(3, 4)", as NumPy prints shapes: "(3,)" and "()" too.
std::string shape_text(std::span<const std::size_t> shape);

/// Text from a file made fit for a message: in double quotes, cut after 80 bytes, all but printable ASCII escaped.
std::string in_quotes(std::string_view text);

}  // namespace lexiscope
