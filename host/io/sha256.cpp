// SHA-256 of files, by OpenSSL: it uses the processor's SHA instructions where there are any.
#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <memory>

#include "host/core/require.h"
#include "host/io/embedding_source.h"
#include "host/io/regular_file.h"

namespace lexiscope {

std::string sha256_file(const std::filesystem::path& path) {
  const RegularFile file(path);
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> hash(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  bool done = hash && EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr) == 1;
  file.read_blocks([&](std::span<const std::byte> block) {
    done = done && EVP_DigestUpdate(hash.get(), block.data(), block.size()) == 1;
  });
  std::array<unsigned char, 32> digest{};
  done = done && EVP_DigestFinal_ex(hash.get(), digest.data(), nullptr) == 1;
  if (!done) fail(ErrorCode::kUnsupported, "{}: libcrypto offers no SHA-256", path.string());
  std::string hex;
  for (const unsigned char byte : digest) hex += fmt::format("{:02x}", byte);
  return hex;
}

}  // namespace lexiscope
