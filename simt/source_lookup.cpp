#include "simt/source_lookup.h"

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <memory>

namespace lexiscope::simt {
namespace {

std::string first_line_of(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string line;
  if (pipe == nullptr) return line;
  for (int c = std::fgetc(pipe.get()); c != EOF && c != '\n'; c = std::fgetc(pipe.get()))
    line.push_back(static_cast<char>(c));
  return line;
}

}  // namespace

std::string source_line_of(const void* program_counter) {
  Dl_info module{};
  if (dladdr(program_counter, &module) == 0) return "an unknown place";
  const auto offset = reinterpret_cast<std::uintptr_t>(program_counter) -
                      reinterpret_cast<std::uintptr_t>(module.dli_fbase) - 1;  // inside the call
  char place[32];
  std::snprintf(place, sizeof(place), "0x%zx", offset);
  const std::string path = module.dli_fname;
  if (path.find('\'') == std::string::npos) {
    std::string line = first_line_of("addr2line -e '" + path + "' " + place + " 2>/dev/null");
    line = line.substr(0, line.find(" (discriminator"));
    if (!line.empty() && line.find('?') == std::string::npos) return line;
  }
  return path + "+" + place;
}

}  // namespace lexiscope::simt
