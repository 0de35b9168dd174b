// The limits on memory, from where Linux tells them.
#include "host/core/memory_limit.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

#include "host/core/require.h"

namespace lexiscope {
namespace {

constexpr std::uint64_t kUnknown = std::numeric_limits<std::uint64_t>::max();

/// A line of /proc/meminfo, "MemAvailable:  123 kB", in bytes.
std::uint64_t memory_info(const std::string& field) {
  std::ifstream file("/proc/meminfo");
  std::string name, unit;
  std::uint64_t kibibytes = 0;
  while (file >> name >> kibibytes && std::getline(file, unit))
    if (name == field + ":") return kibibytes * 1024;
  return kUnknown;
}

std::uint64_t address_space_remainder() {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kUnknown;
  std::ifstream status("/proc/self/statm");
  std::uint64_t pages = 0;
  status >> pages;  // the first number is the whole address space
  const std::uint64_t used = pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  return limit.rlim_cur - std::min<std::uint64_t>(limit.rlim_cur, used);
}

}  // namespace

std::uint64_t available_memory() { return std::min(memory_info("MemAvailable"), address_space_remainder()); }

std::uint64_t total_memory() {
  const std::uint64_t total = memory_info("MemTotal");
  return total == kUnknown ? 0 : total;
}

std::uint64_t peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

void require_memory(std::string_view work, std::uint64_t needed) {
  const std::uint64_t available = available_memory();
  if (needed > available)
    fail(ErrorCode::kOutOfMemory, "{}: out of memory: about {} bytes are needed, {} are available", work, needed,
         available);
}

}  // namespace lexiscope
