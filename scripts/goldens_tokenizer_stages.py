#!/usr/bin/env python3
"""Writes tests/data/tokenizers/stages.json: what normalizers, pre-tokenizers and decoders of Hugging Face's `tokenizers`
make of small texts, each stage alone.

Needs tokenizers (0.23.3): python3 scripts/goldens_tokenizer_stages.py

"texts", and for each stage its "kind", its "spec" and what it makes of each text: a text, or pieces [text, first byte,
end]; decoders make a text of each list of "tokens".
"""

import json

from goldens_tokenizers import DATA, byte_places, split
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
PATTERNS = [
    O200K,
    DEEPSEEK,
    r" ?[^(\s|[.,!?…。，、।۔،])]+",
    r"[一-龥぀-ゟ゠-ヿ]+",
    r"(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    r"\b\w+\b|\W",
    r".a|^b|c$|\h\H",
    r"[^\w\s]|\P{L}\P{^N}|[\W\d]&",
    r"\p{Han}+|\p{C}|\P{Cn}",
    r"[]a-c&&[^b]]|[a\-z]|[\x41-\x{5A}-]|[-+.,]|\u00e9|{x|a{1,2}|}",
    r"(?<=a)b|(?<!a)'|(?>a|ab)c|\s+(?=\S)",
]
STAGE_TEXTS = [
    "",
    " a b  c ",
    "the-final--countdown",
    "Hello, World! It's 2024; don't I'LL we’ve",
    "e\u0301 \u00e9 q\u0307\u0323 \u1e9b\u0323 \u212b ﬁ ① ㌀ ｶﾞ \u0f73\u0f71",
    "각\u1100\u1161\u11a8 か\u3099 \u0958 \U0001d15e \u0344",
    "İSTANBUL ΟΔΟΣ ẞ Ǆ Ꟈ\ua7cb \U00010d50",
    "שָׁלוֹם a\u0327\u0300 ก็ \u0e33 \u1cf2 \U000111c9 \u08d4 \u0898 \ufe0f",
    "x\x00\x07\t\u200b\u2028\ufeff\u00a0\u3000\u1680 y\x7f\x9f▁ ",
    "a1²½٣Ⅷ〇\U00010d40\U00011de0_b\u203fc",
    "(…)\u166d$+<=>^`|~«¡»、。\u2e43\u061d",
    "日本語テキスト、漢字\U0002ebf0\u0378 ab abc 'b",
    "\n\n a\r\nb\n\u2028c\nab{x aa}]-Z+é",
    "👩\u200d🚀 👍🏽 1\ufe0f\u20e3 🇩🇪",
]
TOKEN_LISTS = [
    [],
    ["▁Hello", "▁world", "!"],
    ["<0xE6>", "<0x97>", "<0xA5>", "a", "<0xE6>", "<0x97>", "b", "<0xFF>", "<0xZZ>"],
    ["Ġa", "ðŁ", "ĳĮ", "ðŁ", "<é>", "日"],
    ["low</w>", "er", "</w>"],
    ["▁▁a▁", "▁b▁▁c", "▁"],
    ["  a ", "   x", "bb "],  # `tokenizers` fails on pieces that are all stripped
]


def stages():
    """(kind, stage) of everything that stands alone."""
    for name in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel", "Strip"]:
        yield "normalizer", getattr(normalizers, name)()
    yield "normalizer", normalizers.Strip(True, False)
    yield "normalizer", normalizers.Strip(False, True)
    yield "normalizer", normalizers.Prepend("▁▁")
    yield "normalizer", normalizers.Replace("a", "")
    yield "normalizer", normalizers.Replace(Regex(r"[ab]|(?<=c) "), "Xé")
    yield "normalizer", normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()])
    for behavior in BEHAVIORS:
        yield "pre_tokenizer", pre_tokenizers.Split("-", behavior)
        yield "pre_tokenizer", pre_tokenizers.Split("", behavior)
        yield "pre_tokenizer", pre_tokenizers.Split(Regex(r"\w+|\d"), behavior, invert=True)
        yield "pre_tokenizer", pre_tokenizers.Punctuation(behavior)
    for pattern in PATTERNS:
        yield "pre_tokenizer", split(pattern)
    yield "pre_tokenizer", pre_tokenizers.Whitespace()
    yield "pre_tokenizer", pre_tokenizers.WhitespaceSplit()
    yield "pre_tokenizer", pre_tokenizers.Digits(False)
    yield "pre_tokenizer", pre_tokenizers.Digits(True)
    yield "pre_tokenizer", pre_tokenizers.CharDelimiterSplit("a")
    yield "pre_tokenizer", pre_tokenizers.ByteLevel(add_prefix_space=True)
    for scheme in ["always", "first", "never"]:
        for cut in [True, False]:
            yield "pre_tokenizer", pre_tokenizers.Metaspace("▁", scheme, cut)
        parts = [pre_tokenizers.Digits(True), pre_tokenizers.Metaspace("é", scheme)]
        yield "pre_tokenizer", pre_tokenizers.Sequence(parts)
        yield "decoder", decoders.Metaspace("▁", scheme)
    yield "decoder", decoders.ByteLevel()
    yield "decoder", decoders.ByteFallback()
    yield "decoder", decoders.Fuse()
    yield "decoder", decoders.Strip(" ", 2, 0)
    yield "decoder", decoders.Strip(" ", 0, 1)
    yield "decoder", decoders.Replace("▁", " ")
    yield "decoder", decoders.BPEDecoder()
    yield "decoder", decoders.Sequence([decoders.Replace(Regex("l+"), "L"), decoders.Fuse()])


def pieces(stage, text):
    places = byte_places(text)
    return [[piece, places[begin], places[end]] for piece, (begin, end) in stage.pre_tokenize_str(text)]


def results(kind, stage):
    if kind == "normalizer":
        return [stage.normalize_str(text) for text in STAGE_TEXTS]
    if kind == "pre_tokenizer":
        return [pieces(stage, text) for text in STAGE_TEXTS]
    return [stage.decode(tokens) if tokens else "" for tokens in TOKEN_LISTS]


def main():
    golden = []
    for kind, stage in stages():
        tokenizer = Tokenizer(models.BPE())
        setattr(tokenizer, kind, stage)
        golden.append({"kind": kind, "spec": json.loads(tokenizer.to_str())[kind], "results": results(kind, stage)})
    with open(DATA / "stages.json", "w", encoding="utf-8") as file:
        whole = {"texts": STAGE_TEXTS, "tokens": TOKEN_LISTS, "stages": golden}
        json.dump(whole, file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
