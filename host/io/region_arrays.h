// Several arrays of a run that are written side by side, each region by region as it becomes known.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "host/io/npy_regions.h"
#include "host/io/run_directory.h"

namespace lexiscope {

struct RegionArray {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::size_t> shape;
  ArrayDescription description;
};

class RegionArrays {
 public:
  /// Begins these arrays in `run`, which must outlive this. Throws as NpyRegions and RunWriter do.
  RegionArrays(RunWriter& run, std::vector<RegionArray> arrays);

  bool has(const std::string& name) const { return files_.count(name) > 0; }
  /// As NpyRegions::write(); the array must be one of these.
  void write(const std::string& name, std::span<const std::size_t> first, ConstTensorView piece) {
    files_.at(name)->write(first, piece);
  }
  void write(const std::string& name, std::initializer_list<std::size_t> first, ConstTensorView piece) {
    write(name, std::span(first.begin(), first.size()), piece);
  }

  /// Every array is whole: their files take their names, and the run describes them.
  void finish();

 private:
  RunWriter& run_;
  std::vector<RegionArray> arrays_;
  std::map<std::string, std::unique_ptr<NpyRegions>> files_;
};

}  // namespace lexiscope
