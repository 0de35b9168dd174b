// What the writer and the reader of a run directory share: the names of its files, and arrays as manifests describe
// them.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "host/io/npy.h"

namespace lexiscope {

inline constexpr std::size_t kRunSchema = 1;
inline constexpr const char* kManifestFile = "manifest.json";
inline constexpr const char* kUnfinishedFile = "unfinished.json";
inline constexpr const char* kTokensFile = "tokens.tsv";

/// "xxh3-64:" and 16 hex digits.
std::string checksum_text(std::uint64_t checksum);

/// {"file", "dtype", "shape", "checksum"} of a written array.
nlohmann::json describe_array(const std::string& file, DType dtype, const NpyWriter::Result& written);

/// The array that `description` (a field of `where`) describes, verified: dtype, shape, size and checksum.
NpyArray read_described_array(const std::filesystem::path& folder, const nlohmann::json& description,
                              const std::string& where);

/// Reads manifest.json or unfinished.json: an object of a known schema whose "arrays" and "tokens" describe files
/// beside it. Throws Error{kInvalidFile} naming file, field and value.
nlohmann::json read_run_document(const std::filesystem::path& path);

/// The files that a manifest or unfinished.json describes: arrays and tokens.
std::set<std::string> described_files(const nlohmann::json& document);

/// A line of the token table: "id <tab> token".
std::string token_line(std::size_t id, std::string_view token);
/// The tokens of a table. Throws Error{kInvalidFile} naming `path` and the line.
std::vector<std::string> tokens_from_text(std::string_view text, const std::string& path);

}  // namespace lexiscope
