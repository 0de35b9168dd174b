#include "host/engines/plugin.h"

#include <dlfcn.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <vector>

#include "host/core/require.h"
#include "host/engines/cuda_plugin.h"

namespace lexiscope {
namespace {

namespace fs = std::filesystem;

struct Plugin {
  const CudaPlugin* calls = nullptr;
  std::string reason;
};

Plugin without(std::string reason) { return {.calls = nullptr, .reason = std::move(reason)}; }

void add_folder(std::vector<fs::path>& folders, const fs::path& folder) {
  if (folder.is_absolute() && std::ranges::find(folders, folder) == folders.end()) folders.push_back(folder);
}

// The library folder of an install is looked for from the program's folder as well: a prefix may have been moved.
std::vector<fs::path> usual_folders() {
  std::vector<fs::path> folders;
  std::error_code unknown;
  const fs::path program = fs::read_symlink("/proc/self/exe", unknown).parent_path();
  if (!unknown) {
    add_folder(folders, program);
    add_folder(folders, (program / LEXISCOPE_LIBRARY_FROM_PROGRAM).lexically_normal());
  }
  Dl_info module{};
  if (dladdr(reinterpret_cast<const void*>(&cuda_unavailable), &module) != 0 && module.dli_fname)
    add_folder(folders, fs::path(module.dli_fname).parent_path());
  add_folder(folders, LEXISCOPE_LIBRARY_FOLDER);
  return folders;
}

Plugin load(const fs::path& file) {
  void* const handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);  // stays: engines and tensors are its objects
  if (!handle) return without(fmt::format("the plug-in cannot be loaded: {}", dlerror()));
  const auto entry = reinterpret_cast<CudaPluginEntry>(dlsym(handle, kCudaPluginEntry));
  if (!entry) return without(fmt::format("{} is no plug-in of lexiscope's", file.string()));
  const CudaPlugin* const calls = entry();
  using Text = std::string_view;
  if (Text(calls->version) != LEXISCOPE_VERSION || Text(calls->interface_hash) != LEXISCOPE_INTERFACE)
    return without(fmt::format("{} belongs to lexiscope {} with interface {}, this is {} with {}", file.string(),
                               calls->version, calls->interface_hash, LEXISCOPE_VERSION, LEXISCOPE_INTERFACE));
  return {.calls = calls, .reason = calls->unavailable()};
}

Plugin find_and_load() {
  std::vector<fs::path> folders;
  if (const char* const named = secure_getenv("LEXISCOPE_PLUGIN_DIR"); named && *named) {
    if (!fs::path(named).is_absolute())
      return without(fmt::format("LEXISCOPE_PLUGIN_DIR is \"{}\", needs to be an absolute path", named));
    folders = {named};
  } else {
    folders = usual_folders();
  }
  std::vector<std::string> names;
  for (const fs::path& folder : folders) {
    const fs::path file = folder / kCudaPluginFile;
    std::error_code unreadable;
    if (fs::exists(file, unreadable)) return load(file);
    names.push_back(folder.string());
  }
  return without(fmt::format("no plug-in: {} is not in {}", kCudaPluginFile, fmt::join(names, ", ")));
}

const Plugin& plugin() {
  static const Plugin found = find_and_load();
  return found;
}

}  // namespace

const std::string& cuda_unavailable() { return plugin().reason; }

std::unique_ptr<Engine> make_cuda_engine(int threads, ProductLibrary products) {
  if (!plugin().reason.empty()) fail(ErrorCode::kDevice, "the cuda engine is not available here: {}", plugin().reason);
  return plugin().calls->make(threads, products);
}

}  // namespace lexiscope
