// Both kinds of checkpoint: rows of a tensor are cut from the mapping and converted, or dequantised.
#include "host/io/checkpoint.h"

#include <algorithm>
#include <cmath>

#include "host/core/require.h"
#include "host/io/array_layout.h"
#include "host/io/convert.h"
#include "host/io/gguf_blocks.h"
#include "host/io/safetensors.h"

namespace lexiscope {

namespace fs = std::filesystem;

namespace {

void require_finite_rows(const std::string& where, std::size_t first, MatrixView<const float> rows) {
  for (std::size_t i = 0; i < rows.rows; ++i) {
    const auto* row = rows.row(i);
    const auto* bad = std::find_if_not(row, row + rows.columns, [](float value) { return std::isfinite(value); });
    if (bad != row + rows.columns)
      fail(ErrorCode::kInvalidFile, "{} has {} in row {}, column {}", where, *bad, first + i, bad - row);
  }
}

class SafetensorsCheckpoint final : public Checkpoint {
 public:
  explicit SafetensorsCheckpoint(const fs::path& path) : tensors_(path) {
    for (const SafetensorsEntry& entry : tensors_.entries())
      entries_.push_back({entry.name, entry.stored_dtype, entry.shape});
  }

  const std::vector<CheckpointEntry>& entries() const noexcept override { return entries_; }
  std::string path_of(const CheckpointEntry& entry) const override {
    return tensors_.find(entry.name)->file.path().string();
  }

 private:
  void do_read_rows(const CheckpointEntry& entry, const std::string& where, std::size_t first,
                    MatrixView<float> to) const override {
    const SafetensorsEntry& tensor = *tensors_.find(entry.name);
    convert_to_f32(
        {.data = tensor.data, .dtype = tensor.dtype(), .rows = first + to.rows, .columns = to.columns, .name = where},
        first, to);
  }

  Safetensors tensors_;
  std::vector<CheckpointEntry> entries_;
};

class GgufCheckpoint final : public Checkpoint {
 public:
  explicit GgufCheckpoint(const fs::path& path) : file_(path) {
    for (const GgufTensor& tensor : file_.tensors()) entries_.push_back({tensor.name, tensor.type_name, tensor.shape});
  }

  const std::vector<CheckpointEntry>& entries() const noexcept override { return entries_; }
  const GgufFile* gguf() const noexcept override { return &file_; }
  std::string path_of(const CheckpointEntry&) const override { return file_.path(); }

 private:
  void do_read_rows(const CheckpointEntry& entry, const std::string& where, std::size_t first,
                    MatrixView<float> to) const override {
    const GgufTensor& tensor = *std::ranges::lower_bound(file_.tensors(), entry.name, {}, &GgufTensor::name);
    const GgufType* type = find_gguf_type(tensor.type);
    if (!type || !type->dequantize)
      fail(ErrorCode::kInvalidFile, "{} is stored as {}; F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K and Q6_K are supported",
           where, tensor.type_name);
    const std::size_t row_bytes = to.columns / type->block * type->bytes;
    for (std::size_t i = 0; i < to.rows; ++i)
      dequantize(*type, tensor.data.subspan((first + i) * row_bytes, row_bytes), to.row(i));
  }

  GgufFile file_;
  std::vector<CheckpointEntry> entries_;
};

}  // namespace

const CheckpointEntry* Checkpoint::find(std::string_view name) const noexcept {
  const auto found = std::ranges::lower_bound(entries(), name, {}, &CheckpointEntry::name);
  return found != entries().end() && found->name == name ? &*found : nullptr;
}

std::string Checkpoint::describe(const CheckpointEntry& entry) const {
  return fmt::format("{}: tensor {}", path_of(entry), in_quotes(entry.name));
}

void Checkpoint::read_rows(const CheckpointEntry& entry, std::size_t first, MatrixView<float> to) const {
  const std::string where = describe(entry);
  do_read_rows(entry, where, first, to);
  require_finite_rows(where, first, to);
}

const CheckpointEntry& Checkpoint::require(std::string_view name, std::span<const std::size_t> shape) const {
  const CheckpointEntry* entry = find(name);
  if (!entry)
    fail(ErrorCode::kInvalidFile, "{}: holds no tensor {}; one of shape {} is needed", path_, in_quotes(name),
         shape_text(shape));
  if (!std::ranges::equal(entry->shape, shape))
    fail(ErrorCode::kInvalidFile, "{} has shape {}, {} is needed", describe(*entry), shape_text(entry->shape),
         shape_text(shape));
  return *entry;
}

std::vector<float> Checkpoint::read(std::string_view name, std::span<const std::size_t> shape) const {
  const CheckpointEntry& entry = require(name, shape);
  const std::size_t columns = shape.back(), rows = shape.size() == 1 ? 1 : shape.front();
  std::vector<float> values(rows * columns);
  read_rows(entry, 0, {values.data(), rows, columns, columns});
  return values;
}

fs::path weights_file(const fs::path& folder) {
  for (const char* name : {"model.safetensors", "model.safetensors.index.json"}) {
    std::error_code problem;
    if (fs::exists(folder / name, problem)) return folder / name;
  }
  std::error_code problem;
  const bool pickled =
      fs::exists(folder / "pytorch_model.bin", problem) || fs::exists(folder / "pytorch_model.bin.index.json", problem);
  fail(ErrorCode::kInvalidFile, "{}: holds neither model.safetensors nor model.safetensors.index.json{}",
       folder.string(), pickled ? "; pytorch_model.bin is not read, it must be converted to safetensors" : "");
}

std::unique_ptr<Checkpoint> open_checkpoint(const fs::path& model) {
  std::error_code problem;
  std::unique_ptr<Checkpoint> checkpoint;
  if (model.extension() == ".gguf")
    checkpoint = std::make_unique<GgufCheckpoint>(model);
  else
    checkpoint =
        std::make_unique<SafetensorsCheckpoint>(fs::is_directory(model, problem) ? weights_file(model) : model);
  checkpoint->path_ = model.string();
  return checkpoint;
}

}  // namespace lexiscope
