#include "host/tokenizer/graphemes.h"

#include <unicode/uchar.h>

#include "host/core/utf8.h"
#include "host/tokenizer/unicode.h"

namespace lexiscope {

namespace {

int break_class(char32_t character) {
  const int known = u_getIntPropertyValue(static_cast<UChar32>(character), UCHAR_GRAPHEME_CLUSTER_BREAK);
  return known == U_GCB_OTHER && is_newer_mark(character) ? U_GCB_EXTEND : known;
}

bool is_pictographic(char32_t character) {
  return u_hasBinaryProperty(static_cast<UChar32>(character), UCHAR_EXTENDED_PICTOGRAPHIC) != 0;
}

bool ends_always(int kind) { return kind == U_GCB_CONTROL || kind == U_GCB_CR || kind == U_GCB_LF; }

bool joins_in_hangul(int before, int after) {
  if (before == U_GCB_L) return after == U_GCB_L || after == U_GCB_V || after == U_GCB_LV || after == U_GCB_LVT;
  if (before == U_GCB_LV || before == U_GCB_V) return after == U_GCB_V || after == U_GCB_T;
  return (before == U_GCB_LVT || before == U_GCB_T) && after == U_GCB_T;
}

// What the rules ask of the characters so far.
struct Cluster {
  int last;
  bool picture, picture_joined;  // it ends in Extended_Pictographic Extend*, and in that with a joiner
  std::size_t flags;             // the regional indicators at its end
};

bool joins(const Cluster& so_far, char32_t character, int kind) {
  if (so_far.last == U_GCB_CR && kind == U_GCB_LF) return true;
  if (ends_always(so_far.last) || ends_always(kind)) return false;
  if (kind == U_GCB_EXTEND || kind == U_GCB_ZWJ || kind == U_GCB_SPACING_MARK) return true;
  if (so_far.last == U_GCB_PREPEND || joins_in_hangul(so_far.last, kind)) return true;
  if (kind == U_GCB_REGIONAL_INDICATOR) return so_far.flags % 2 == 1;
  return so_far.picture_joined && is_pictographic(character);
}

Cluster extended(const Cluster& so_far, char32_t character, int kind) {
  const bool still = so_far.picture && kind == U_GCB_EXTEND;
  return {.last = kind,
          .picture = still || is_pictographic(character),
          .picture_joined = so_far.picture && kind == U_GCB_ZWJ,
          .flags = kind == U_GCB_REGIONAL_INDICATOR ? so_far.flags + 1 : 0};
}

}  // namespace

std::size_t grapheme_bytes(std::string_view text) {
  const char32_t first = character_at(text, 0);
  Cluster cluster = extended({}, first, break_class(first));
  std::size_t at = character_bytes(text[0]);
  while (at < text.size()) {
    const char32_t character = character_at(text, at);
    const int kind = break_class(character);
    if (!joins(cluster, character, kind)) break;
    cluster = extended(cluster, character, kind);
    at += character_bytes(text[at]);
  }
  return at;
}

}  // namespace lexiscope
