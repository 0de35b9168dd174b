#include "simt/kernel.h"

#include <cstring>
#include <mutex>
#include <unordered_map>

namespace lexiscope::simt {
namespace {

struct Registry {
  std::mutex mutex;
  std::unordered_map<const void*, Kernel> kernels;  // its nodes stay where they are
};

Registry& registry() {
  static auto* const kept = new Registry;  // for threads that outlive main
  return *kept;
}

}  // namespace

void register_kernel(Kernel kernel) {
  const std::lock_guard lock(registry().mutex);
  registry().kernels.try_emplace(kernel.function, std::move(kernel));
}

const Kernel* find_kernel(const void* function) {
  const std::lock_guard lock(registry().mutex);
  const auto found = registry().kernels.find(function);
  return found == registry().kernels.end() ? nullptr : &found->second;
}

KernelArguments::KernelArguments(const Kernel& kernel, void* const* arguments) {
  for (std::size_t i = 0; i < kernel.argument_sizes.size(); ++i) {
    const std::size_t offset = bytes_.size(), size = kernel.argument_sizes[i];
    offsets_.push_back(offset);
    bytes_.resize(offset + (size + kAlignment - 1) / kAlignment * kAlignment);
    std::memcpy(bytes_.data() + offset, arguments[i], size);
  }
}

}  // namespace lexiscope::simt
