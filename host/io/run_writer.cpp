// Writing a run so that a kill at any moment leaves the old state or the new: every file is written aside, synced and
// renamed; unfinished.json names each before it is begun, and describes it only when it is whole.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "host/core/require.h"
#include "host/io/array_layout.h"
#include "host/io/json_file.h"
#include "host/io/output_file.h"
#include "host/io/run_directory.h"
#include "host/io/run_files.h"

namespace lexiscope {

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

// Indented for people; bytes that are not UTF-8 (an argument may hold them) become U+FFFD.
std::string to_text(const json& document) {
  return document.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

// As it would come back from a file: what is compared with a file's content must have gone the same way.
json as_stored(const json& document) { return json::parse(to_text(document)); }

bool is_there(const fs::path& path) {
  std::error_code problem;
  return fs::symlink_status(path, problem).type() != fs::file_type::not_found;
}

void remove_file(const fs::path& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT)
    fail(ErrorCode::kInputOutput, "{}: cannot be removed: {}", path.string(), std::strerror(errno));
}

// Held as long as the handle lives; the system lets go of it when the process dies. A file system without locks goes
// without.
std::shared_ptr<const void> lock_directory(const fs::path& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0)
    fail(errno == ENOTDIR ? ErrorCode::kInvalidArgument : ErrorCode::kInputOutput, "{}: cannot be opened: {}",
         path.string(), std::strerror(errno));
  std::shared_ptr<const void> lock(nullptr, [descriptor](const void*) { close(descriptor); });
  require(flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK,
          "{}: another process is writing to this directory", path.string());
  return lock;
}

json fresh_state(const json& identity) {
  return {{"schema", kRunSchema},
          {"identity", identity},
          {"arrays", json::object()},
          {"files", json::array()},
          {"checkpoint", {{"state", nullptr}, {"generation", 0u}, {"arrays", json::object()}}}};
}

json read_unfinished(const fs::path& path) {
  json state = read_run_document(path);
  const std::string where = path.string();
  object_field(state, "identity", where);
  for (const json& file : list_field(state, "files", where)) {
    if (!file.is_string())
      fail(ErrorCode::kInvalidFile, "{}: \"files\" holds {}, strings are needed", where, value_text(file));
    require_plain_file_name(file.get_ref<const std::string&>(), where);
  }
  const json& checkpoint = object_field(state, "checkpoint", where);
  const std::string place = where + ": \"checkpoint\"";
  field(checkpoint, "state", place);
  count_field(checkpoint, "generation", place);
  for (const auto& [name, description] : object_field(checkpoint, "arrays", place).items()) {
    if (!description.is_object())
      fail(ErrorCode::kInvalidFile, "{}: array {} is {}, an object is needed", place, in_quotes(name),
           value_text(description));
    file_name_field(description, "file", place);
  }
  return state;
}

// The files in `folder` that a run owns, but for the manifest and unfinished.json. Refuses a folder that holds anything
// else.
std::set<std::string> owned_files(const fs::path& folder) {
  std::set<std::string> files;
  try {
    if (is_there(folder / kManifestFile)) files = described_files(read_run_document(folder / kManifestFile));
    if (is_there(folder / kUnfinishedFile)) {
      const json state = read_unfinished(folder / kUnfinishedFile);
      for (const json& file : state.at("files")) files.insert(file.get<std::string>());
    }
  } catch (const Error& error) {
    fail(ErrorCode::kInvalidArgument, "{}: is not replaced, it is not known to be a run: {}", folder.string(),
         error.what());
  }
  std::set<std::string> known = files;
  known.insert({kManifestFile, kUnfinishedFile});
  std::error_code problem;
  for (fs::directory_iterator entry(folder, problem), end; !problem && entry != end; entry.increment(problem)) {
    std::string name = entry->path().filename().string();
    constexpr std::string_view kPartial = ".partial";
    if (name.ends_with(kPartial)) name.resize(name.size() - kPartial.size());
    std::error_code unknown;
    require(known.count(name) && entry->symlink_status(unknown).type() == fs::file_type::regular,
            "{}: is not replaced, {} in it is no file of a run", folder.string(),
            in_quotes(entry->path().filename().string()));
  }
  if (problem) fail(ErrorCode::kInputOutput, "{}: cannot be read: {}", folder.string(), problem.message());
  return files;
}

void require_same_identity(const json& left, const json& now, const std::string& path) {
  const json changes = json::diff(left, now);
  if (changes.empty()) return;
  const json::json_pointer place(changes.front().at("path").get<std::string>());
  const auto value = [&](const json& identity) {
    return identity.contains(place) ? value_text(identity.at(place)) : "absent";
  };
  fail(ErrorCode::kInvalidArgument, "{}: cannot be resumed: {} was {} and is now {}", path,
       place.empty() ? "the identity" : place.to_string().substr(1), value(left), value(now));
}

void require_array_name(const std::string& name) {
  const auto allowed = [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; };
  require(!name.empty() && std::all_of(name.begin(), name.end(), allowed),
          "run: the name of an array is {}, letters, digits, _ and - are allowed", in_quotes(name));
}

void add_file(json& state, const std::string& file) {
  json& files = state["files"];
  if (std::find(files.begin(), files.end(), file) == files.end()) files.push_back(file);
}

NpyWriter::Result write_dense(NpyWriter writer, ConstTensorView dense) {
  writer.append({static_cast<const std::byte*>(dense.data), dense.elements() * size_of(dense.dtype)});
  return writer.finish();
}

std::vector<std::size_t> row_shape_of(const std::string& name, ConstTensorView tensor) {
  const std::span shape(tensor.shape.data(), tensor.rank);
  require(tensor.rank > 0 && dense_view(tensor.data, tensor.dtype, shape).strides == tensor.strides,
          "run: array {} of shape {} is not dense", name, shape_text(shape));
  return {shape.begin() + 1, shape.end()};
}

std::string checkpoint_file(const std::string& name, std::size_t generation) {
  return fmt::format("checkpoint.{}.{}.npy", name, generation);
}

}  // namespace

RunWriter::RunWriter(fs::path path, const json& identity, Existing existing)
    : path_(std::move(path)), state_(as_stored(fresh_state(identity))) {
  const bool there = is_there(path_);
  switch (existing) {
    case Existing::refuse:
      require(!there, "{}: exists already", path_.string());
      start_fresh();
      break;
    case Existing::overwrite:
      there ? start_over() : start_fresh();
      break;
    case Existing::resume:
      require(there, "{}: has nothing to resume: there is no such directory", path_.string());
      resume();
      break;
  }
}

void RunWriter::start_fresh() {
  std::error_code problem;
  fs::create_directories(path_, problem);
  if (problem) fail(ErrorCode::kInputOutput, "{}: cannot be created: {}", path_.string(), problem.message());
  try {
    lock_ = lock_directory(path_);
    sync_folder(path_.parent_path());
    save(state_);
  } catch (const Error&) {
    fs::remove(path_, problem);  // only where it is empty
    throw;
  }
}

// The new unfinished.json, which names the old files, comes before the old manifest goes: a kill between the two leaves
// the old run whole, one later leaves a new run that knows what to clear away.
void RunWriter::start_over() {
  lock_ = lock_directory(path_);
  json state = state_;
  state["files"] = owned_files(path_);
  save(state);
  remove_file(path_ / kManifestFile);
  sync_folder(path_);
  remove_leftovers({});
}

void RunWriter::resume() {
  lock_ = lock_directory(path_);
  const fs::path unfinished = path_ / kUnfinishedFile;
  if (is_there(path_ / kManifestFile)) {
    if (is_there(unfinished)) {  // killed while finish() cleared away
      state_ = read_unfinished(unfinished);
      remove_leftovers(described_files(read_run_document(path_ / kManifestFile)));
      remove_file(unfinished);
    }
    fail(ErrorCode::kInvalidArgument, "{}: has nothing to resume: the run is finished", path_.string());
  }
  require(is_there(unfinished), "{}: has nothing to resume: there is no {}", path_.string(), kUnfinishedFile);
  json state = read_unfinished(unfinished);
  require_same_identity(state.at("identity"), state_.at("identity"), path_.string());
  state_ = std::move(state);
  std::set<std::string> kept = described_files(state_);
  for (const json& description : state_.at("checkpoint").at("arrays"))
    kept.insert(description.at("file").get<std::string>());
  remove_leftovers(kept);
}

void RunWriter::save(const json& state) {
  write_file(path_ / kUnfinishedFile, to_text(state));
  state_ = as_stored(state);
}

// Removes what the run began to write, but for the files in `kept`.
void RunWriter::remove_leftovers(const std::set<std::string>& kept) const {
  for (const json& entry : state_.at("files")) {
    const auto& file = entry.get_ref<const std::string&>();
    if (file == kManifestFile || file == kUnfinishedFile) continue;
    if (!kept.count(file)) remove_file(path_ / file);
    remove_file(path_ / (file + ".partial"));
  }
  for (const char* file : {kManifestFile, kUnfinishedFile}) remove_file(path_ / (std::string(file) + ".partial"));
  sync_folder(path_);
}

bool RunWriter::has(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  return state_.at("arrays").contains(name);
}

NpyArray RunWriter::read(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  require(state_.at("arrays").contains(name), "{}: has no whole array {}", path_.string(), in_quotes(name));
  return read_described_array(path_, state_.at("arrays").at(name),
                              fmt::format("{}: array {}", kUnfinishedFile, in_quotes(name)));
}

void RunWriter::begin(std::span<const std::string> names) {
  const std::lock_guard lock(mutex_);
  json state = state_;
  for (const std::string& name : names) {
    require_array_name(name);
    state["arrays"].erase(name);
    add_file(state, name + ".npy");
  }
  if (state != state_) save(state);
}

void RunWriter::record(std::span<const WrittenArray> arrays) {
  const std::lock_guard lock(mutex_);
  json state = state_;
  for (const auto& [name, dtype, written, description] : arrays) {
    require_array_name(name);
    require(description.axes.size() == written.shape.size(), "run: array {} has shape {} and names for {} axes", name,
            shape_text(written.shape), description.axes.size());
    json entry = describe_array(name + ".npy", dtype, written);
    entry["axes"] = description.axes;
    entry["meaning"] = description.meaning;
    entry["unit"] = description.unit;
    state["arrays"][name] = std::move(entry);
  }
  save(state);
}

NpyWriter RunWriter::create(const std::string& name, DType dtype, std::vector<std::size_t> row_shape) {
  begin({&name, 1});
  return {file_of(name), dtype, std::move(row_shape)};
}

void RunWriter::record(const std::string& name, DType dtype, const NpyWriter::Result& written,
                       const ArrayDescription& description) {
  const WrittenArray array{name, dtype, written, description};
  record({&array, 1});
}

void RunWriter::write(const std::string& name, ConstTensorView dense, const ArrayDescription& description) {
  auto row_shape = row_shape_of(name, dense);
  record(name, dense.dtype, write_dense(create(name, dense.dtype, std::move(row_shape)), dense), description);
}

void RunWriter::write_tokens(std::size_t count, const std::function<std::string(std::size_t)>& token) {
  const std::lock_guard lock(mutex_);
  json state = state_;
  state.erase("tokens");
  add_file(state, kTokensFile);
  if (state != state_) save(state);
  OutputFile file(path_ / kTokensFile);
  for (std::size_t id = 0; id < count; ++id) {
    const std::string line = token_line(id, token(id));
    file.append(std::as_bytes(std::span(line)));
  }
  file.commit();
  state["tokens"] = {
      {"file", kTokensFile}, {"count", count}, {"checksum", checksum_text(checksum_file(path_ / kTokensFile))}};
  save(state);
}

json RunWriter::checkpoint() const {
  const std::lock_guard lock(mutex_);
  return state_.at("checkpoint").at("state");
}

// Two generations of files take turns: the new one is written beside the old, which goes when unfinished.json names the
// new.
void RunWriter::save_checkpoint(const json& caller_state, const std::map<std::string, ConstTensorView>& arrays) {
  const std::lock_guard lock(mutex_);
  const json old = state_.at("checkpoint");
  const std::size_t generation = old.at("generation") == 0 ? 1 : 0;
  json state = state_;
  for (const auto& [name, tensor] : arrays) {
    require_array_name(name);
    for (const std::size_t each : {0, 1}) add_file(state, checkpoint_file(name, each));
  }
  if (state != state_) save(state);
  json described = json::object();
  for (const auto& [name, tensor] : arrays) {
    const std::string file = checkpoint_file(name, generation);
    NpyWriter writer(path_ / file, tensor.dtype, row_shape_of(name, tensor));
    described[name] = describe_array(file, tensor.dtype, write_dense(std::move(writer), tensor));
  }
  state["checkpoint"] = {{"state", caller_state}, {"generation", generation}, {"arrays", std::move(described)}};
  save(state);
  for (const json& description : old.at("arrays")) remove_file(path_ / description.at("file").get<std::string>());
}

NpyArray RunWriter::read_checkpoint_array(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const json& arrays = state_.at("checkpoint").at("arrays");
  require(arrays.contains(name), "{}: the checkpoint has no array {}", path_.string(), in_quotes(name));
  return read_described_array(path_, arrays.at(name),
                              fmt::format("{}: checkpoint array {}", kUnfinishedFile, in_quotes(name)));
}

void RunWriter::finish(json fields) {
  const std::lock_guard lock(mutex_);
  require(fields.is_object(), "run: the manifest's fields are {}, an object is needed", value_text(fields));
  fields["schema"] = kRunSchema;
  fields["arrays"] = state_.at("arrays");
  if (state_.contains("tokens")) fields["tokens"] = state_.at("tokens");
  write_file(path_ / kManifestFile, to_text(fields));
  remove_leftovers(described_files(fields));
  remove_file(path_ / kUnfinishedFile);
  sync_folder(path_);
}

}  // namespace lexiscope
