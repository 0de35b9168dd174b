// A normalizer that makes of each character some characters, or none.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "host/tokenizer/components.h"

namespace lexiscope {

/// What a character becomes; `room` may hold it. All of it stands for the bytes of that character.
using CharacterMap = std::function<std::u32string_view(char32_t, std::span<char32_t, 3> room)>;

std::unique_ptr<Normalizer> make_character_map(CharacterMap map);

}  // namespace lexiscope
