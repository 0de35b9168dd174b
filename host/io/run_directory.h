// The run directory: arrays streamed to .npy files, a token table, and a manifest that is written last, atomically. A
// directory without a manifest is not a finished run. docs/formats.md describes every field.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "host/io/npy.h"
#include "lexiscope/tensor.h"

namespace lexiscope {

struct ArrayDescription {
  std::vector<std::string> axes;  ///< one name a dimension
  std::string meaning;
  std::string unit;
};

/// An array whose file is whole.
struct WrittenArray {
  std::string name;
  DType dtype = DType::f32;
  NpyWriter::Result written;
  ArrayDescription description;
};

/// Writes one run. While it is being written the directory holds `unfinished.json`: the identity of the work (what must
/// be the same for a resume: command parameters, source checksum, engine, versions), the arrays that are whole, and the
/// caller's checkpoint. Each of its versions replaces the last atomically, after the files it names are synced. One
/// process at a time writes a run, and several of its threads may. A name of an array is made of letters, digits, _ and
/// -, else Error{kInvalidArgument}.
class RunWriter {
 public:
  enum class Existing {
    refuse,     ///< anything at `path` is an Error{kInvalidArgument}
    overwrite,  ///< replaced: old files of a run (finished or not) are removed first, manifest before all else; a
                ///< directory with anything else in it is an Error{kInvalidArgument} and stays as it is
    resume,  ///< continues an unfinished run of the same identity; Error{kInvalidArgument} says which field differs, or
             ///< that there is nothing to resume, or that the run is finished; Error{kInvalidFile} where
             ///< unfinished.json is damaged
  };
  /// Throws Error{kInputOutput} where the directory cannot be made, Error{kInvalidArgument} where another process
  /// writes to it.
  RunWriter(std::filesystem::path path, const nlohmann::json& identity, Existing existing);

  const std::filesystem::path& path() const noexcept { return path_; }

  /// Whether an earlier process left this array whole (resume only): then read() gives it, verified.
  bool has(const std::string& name) const;
  NpyArray read(const std::string& name) const;

  /// To be called before the files of these arrays are made, by whatever writes them.
  void begin(std::span<const std::string> names);
  /// These arrays are whole: the manifest will describe them.
  void record(std::span<const WrittenArray> arrays);
  std::filesystem::path file_of(const std::string& name) const { return path_ / (name + ".npy"); }

  /// Begins one array and gives a stream for it; pass what its finish() returned to record().
  NpyWriter create(const std::string& name, DType dtype, std::vector<std::size_t> row_shape);
  void record(const std::string& name, DType dtype, const NpyWriter::Result& written,
              const ArrayDescription& description);
  /// create, append, finish and record in one.
  void write(const std::string& name, ConstTensorView dense, const ArrayDescription& description);

  /// id <tab> token, with tab, newline, carriage return and backslash escaped as \t, \n, \r and \\.
  void write_tokens(std::size_t count, const std::function<std::string(std::size_t)>& token);
  void write_tokens(const std::vector<std::string>& tokens) {
    write_tokens(tokens.size(), [&](std::size_t id) { return tokens[id]; });
  }

  /// The caller's own state, small, kept in unfinished.json; null where none was saved. Arrays that a checkpoint names
  /// are kept in files that finish() removes.
  nlohmann::json checkpoint() const;
  /// Replaces the checkpoint and its arrays atomically: after a kill at any moment either the old or the new is there,
  /// whole.
  void save_checkpoint(const nlohmann::json& state, const std::map<std::string, ConstTensorView>& arrays);
  NpyArray read_checkpoint_array(const std::string& name) const;

  /// To be called when every stream is finished. Writes manifest.json (`fields` with "schema", "arrays" and "tokens"
  /// added) atomically and removes the unfinished state.
  void finish(nlohmann::json fields);

 private:
  void start_fresh();
  void start_over();
  void resume();
  void save(const nlohmann::json& state);
  void remove_leftovers(const std::set<std::string>& kept) const;

  std::filesystem::path path_;
  mutable std::mutex mutex_;  ///< of what follows, and of unfinished.json itself
  nlohmann::json state_;      ///< as unfinished.json holds it
  std::shared_ptr<const void> lock_;
};

/// Reads a finished run. Throws Error{kInvalidFile} naming file, field and value where there is no manifest, a newer
/// schema, or (when an array is read) its dtype, shape, size or checksum is not what the manifest says.
class RunReader {
 public:
  explicit RunReader(std::filesystem::path path);

  const nlohmann::json& manifest() const noexcept { return manifest_; }
  NpyArray array(const std::string& name) const;
  std::vector<std::string> tokens() const;  ///< empty where the run has none

 private:
  std::filesystem::path path_;
  nlohmann::json manifest_;
};

}  // namespace lexiscope
