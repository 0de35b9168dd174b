#include "simt/text.h"

#include <cstdio>

#include "simt/block.h"

namespace lexiscope::simt {

std::string text_of(uint3 index) {
  return "(" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " + std::to_string(index.z) + ")";
}

std::string text_of(const Site& site) {
  std::string text = site.operation;
  if (site.line.line > 0) text += std::string(" at ") + site.line.file + ":" + std::to_string(site.line.line);
  return text;
}

std::string hexadecimal(std::uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof(text), "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

}  // namespace lexiscope::simt
