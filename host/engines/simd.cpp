// Which SIMD target the cpu engine's kernels dispatch to: Highway's choice, or a narrower one that somebody asked for.
#include "host/engines/simd.h"

#include <fmt/ranges.h>
#include <hwy/targets.h>

#include <atomic>
#include <cstdlib>

#include "host/core/require.h"
#include "kernels/cpu/tile_registers.h"
#include "lexiscope/engine.h"

namespace lexiscope {
namespace {

struct Target {
  std::string_view name;
  std::int64_t bit;
  bool tiles = false;
};

constexpr Target kTargets[] = {{"avx512-amx", HWY_AVX3_DL, true},
                               {"avx512-vnni", HWY_AVX3_DL},
                               {"avx512", HWY_AVX3},
                               {"avx2", HWY_AVX2},
                               {"scalar", HWY_SCALAR}};

std::int64_t supported_by_processor() {
  static const std::int64_t targets = hwy::SupportedTargets();  // before anybody narrows them
  return targets;
}

bool is_supported(const Target& target) {
  return (supported_by_processor() & target.bit) && (!target.tiles || cpu::tiles_present());
}

std::atomic<bool> tiles_are_allowed = true;

}  // namespace

std::vector<std::string> simd_targets() {
  std::vector<std::string> names;
  for (const Target& target : kTargets)
    if (is_supported(target)) names.emplace_back(target.name);
  return names;
}

void set_simd_target(std::string_view name) {
  std::int64_t allowed = 0;
  for (const Target& target : kTargets) {  // widest first: `name` and everything after it
    if (target.name == name && is_supported(target)) {
      allowed = target.bit;
      tiles_are_allowed = target.tiles;
    } else if (allowed) {
      allowed |= target.bit;
    }
  }
  require(allowed != 0, "SIMD target \"{}\" is not available here; available: {}", name,
          fmt::join(simd_targets(), ", "));
  hwy::SetSupportedTargetsForTest(allowed & supported_by_processor());
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

// Every call of a kernel asks: hwy::SupportedTargets() would ask the processor, which a virtual machine answers in
// microseconds.
bool tiles_in_use() { return tiles_are_allowed && is_supported(kTargets[0]); }

void apply_simd_environment() {
  static const bool applied = [] {
    if (const char* name = std::getenv("LEXISCOPE_SIMD"); name && *name) set_simd_target(name);
    return true;
  }();
  static_cast<void>(applied);
}

std::string_view simd_target() {
  const std::int64_t targets = hwy::SupportedTargets();
  for (const Target& target : kTargets)
    if ((targets & target.bit) && (!target.tiles || tiles_in_use())) return target.name;
  return "scalar";
}

}  // namespace lexiscope
