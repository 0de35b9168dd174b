// Unicode's normal forms, with each character's place in the text kept as `tokenizers` keeps it.
#pragma once

#include <memory>

#include "host/tokenizer/components.h"

namespace lexiscope {

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

std::unique_ptr<Normalizer> make_normal_form(NormalForm form);

}  // namespace lexiscope
