// The engines by name. The only state shared by a process is here and in Highway's choice of target.
#include <fmt/ranges.h>
#include <sched.h>

#include "host/core/require.h"
#include "host/engines/engines.h"
#include "host/engines/plugin.h"
#include "host/engines/simd.h"

namespace lexiscope {
namespace {

int usable_cores() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

}  // namespace

std::string ReferenceEngine::description() const { return "1 thread, double precision, plain loops"; }

std::string CpuEngine::description() const {
  return fmt::format("{} thread{}, {}", threads_, threads_ == 1 ? "" : "s", simd_target());
}

std::vector<std::string> available_engines() {
  std::vector<std::string> names{"cpu", "reference"};
  if (cuda_unavailable().empty()) names.insert(names.begin(), "cuda");
  return names;
}

std::unique_ptr<Engine> make_engine(std::string_view name, const EngineOptions& options) {
  require(options.threads >= 0, "threads is {}, needs to be 0 (all cores) or more", options.threads);
  if (options.products == ProductLibrary::cublas_lt && (name == "cpu" || name == "reference"))
    fail(ErrorCode::kInvalidArgument, "products by cuBLASLt need the cuda engine; this is {}", name);
  if (name == "cpu") {
    apply_simd_environment();
    return std::make_unique<CpuEngine>(options.threads > 0 ? options.threads : usable_cores());
  }
  if (name == "reference") return std::make_unique<ReferenceEngine>();
  if (name == "cuda") return make_cuda_engine(options.threads > 0 ? options.threads : usable_cores(), options.products);
  fail(ErrorCode::kInvalidArgument, "engine \"{}\" is not available here; available: {}", name,
       fmt::join(available_engines(), ", "));
}

}  // namespace lexiscope
