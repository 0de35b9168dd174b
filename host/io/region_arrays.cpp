// unfinished.json is replaced once for all the arrays: each of its versions costs several syncs.
#include "host/io/region_arrays.h"

namespace lexiscope {

RegionArrays::RegionArrays(RunWriter& run, std::vector<RegionArray> arrays) : run_(run), arrays_(std::move(arrays)) {
  std::vector<std::string> names;
  for (const RegionArray& array : arrays_) names.push_back(array.name);
  run_.begin(names);
  for (const auto& [name, dtype, shape, description] : arrays_)
    files_[name] = std::make_unique<NpyRegions>(run_.file_of(name), dtype, shape);
}

void RegionArrays::finish() {
  std::vector<WrittenArray> written;
  for (RegionArray& array : arrays_)
    written.push_back({array.name, array.dtype, files_.at(array.name)->finish(), std::move(array.description)});
  run_.record(written);
}

}  // namespace lexiscope
