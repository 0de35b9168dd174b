// What the emulator knows of a kernel: its name, and how to call it with arguments that arrive as void pointers, as
// cudaLaunchKernelExC has them. nvcc generates and registers the same for real kernels; here the launcher does it.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace lexiscope::simt {

struct Kernel {
  const char* name;      ///< a literal, for messages
  const void* function;  ///< the kernel itself, cast
  void (*call)(const void* function, void* const* arguments);
  std::vector<std::size_t> argument_sizes;  ///< bytes of each parameter
};

/// Remembers `kernel`; doing so again changes nothing. Safe from any thread.
void register_kernel(Kernel kernel);

/// The kernel that was registered with this address, or nullptr. Stays valid for the life of the program.
const Kernel* find_kernel(const void* function);

/// A kernel's arguments, copied when it is enqueued as CUDA does: the caller's may be gone when it runs.
class KernelArguments {
 public:
  KernelArguments() = default;
  KernelArguments(const Kernel& kernel, void* const* arguments);

  const std::byte* data() const { return bytes_.data(); }
  std::size_t size() const { return bytes_.size(); }
  const std::vector<std::size_t>& offsets() const { return offsets_; }

  static constexpr std::size_t kAlignment = 16;

 private:
  std::vector<std::byte> bytes_;
  std::vector<std::size_t> offsets_;  // of each argument, multiples of kAlignment
};

namespace detail {
template <typename... Parameters, std::size_t... kIndices>
void call_kernel(const void* function, void* const* arguments, std::index_sequence<kIndices...>) {
  reinterpret_cast<void (*)(Parameters...)>(const_cast<void*>(function))(
      *static_cast<Parameters*>(arguments[kIndices])...);
}
}  // namespace detail

/// Registers a kernel under the name that messages give it.
template <typename... Parameters>
void register_kernel(const char* name, void (*kernel)(Parameters...)) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...), "a kernel's arguments are copied as bytes");
  static_assert(((alignof(Parameters) <= KernelArguments::kAlignment) && ...));
  register_kernel({name,
                   reinterpret_cast<const void*>(kernel),
                   [](const void* function, [[maybe_unused]] void* const* arguments) {
                     detail::call_kernel<Parameters...>(function, arguments, std::index_sequence_for<Parameters...>{});
                   },
                   {sizeof(Parameters)...}});
}

}  // namespace lexiscope::simt
