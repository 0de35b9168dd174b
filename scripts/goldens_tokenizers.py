#!/usr/bin/env python3
"""Writes tests/data/tokenizers: small tokenizers of every family, trained on the texts of strings.json, and what Hugging
Face's `tokenizers` makes of each text.

Needs tokenizers (0.23.3), and for the family gguf also gguf (0.19.0) and sentencepiece (0.2.3):

    python3 scripts/goldens_tokenizers.py [NAME...]

NAME/tokenizer.json    the tokenizer
NAME/golden.jsonl      a line for each text: "ids"; "spans", for each token the number of its bytes of the text, after a
                       step such as +1 or -3 where they do not begin at the end of the token before; "decoded", where it
                       is not the text itself
stages.json            normalizers, pre-tokenizers and decoders alone: "texts", and for each stage its "kind", its "spec"
                       and what it makes of each text: a text, or pieces [text, first byte, end]; decoders make a text
                       of lists of "tokens"
"""

import json
import sys
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

DATA = Path(__file__).resolve().parent.parent / "tests" / "data" / "tokenizers"
TEXTS = json.loads((DATA / "strings.json").read_text())

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def special(*contents, **options):
    return [AddedToken(content, special=True, normalized=False, **options) for content in contents]


def train(tokenizer, size, tokens=(), bytes_alphabet=True, **options):
    alphabet = pre_tokenizers.ByteLevel.alphabet() if bytes_alphabet else []
    trainer = trainers.BpeTrainer(
        vocab_size=size, show_progress=False, initial_alphabet=sorted(alphabet), special_tokens=list(tokens), **options
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def gpt2():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, 1000)
    tokenizer.add_special_tokens(special("<|endoftext|>"))
    return tokenizer


def roberta():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, 900, special("<s>", "<pad>", "</s>", "<unk>"))
    tokenizer.add_special_tokens(special("<mask>", lstrip=True))
    tokenizer.add_tokens([AddedToken("Yesterday", single_word=True), AddedToken("def", rstrip=True), "world"])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def llama3():
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split(LLAMA3), pre_tokenizers.ByteLevel(False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, 1000)
    tokenizer.add_special_tokens(special("<|begin_of_text|>", "<|end_of_text|>", "<|endoftext|>"))
    begin = tokenizer.token_to_id("<|begin_of_text|>")
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(add_prefix_space=True, trim_offsets=False, use_regex=True),
            processors.TemplateProcessing(
                single="<|begin_of_text|> $A",
                pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
                special_tokens=[("<|begin_of_text|>", begin)],
            ),
        ]
    )
    return tokenizer


def qwen2():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split(QWEN2), pre_tokenizers.ByteLevel(False, use_regex=False)])
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, 1000)
    tokenizer.add_special_tokens(special("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    return tokenizer


def llama2():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokens = special("<unk>", "<s>", "</s>")
    bytes_ = [AddedToken(f"<0x{byte:02X}>", special=False, normalized=False) for byte in range(256)]
    train(tokenizer, 1200, tokens + bytes_, bytes_alphabet=False, limit_alphabet=300, max_token_length=12)
    state = json.loads(tokenizer.to_str())  # the bytes belong to the vocabulary, and are not found in a text
    state["added_tokens"] = state["added_tokens"][: len(tokens)]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def word_bpe():
    """The first kind of BPE: words with a suffix at their end, a prefix within, and an unknown token."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", end_of_word_suffix="</w>", fuse_unk=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(True)])
    tokenizer.decoder = decoders.BPEDecoder()
    train(
        tokenizer, 900, ["[UNK]", "[CLS]", "[SEP]"], bytes_alphabet=False, limit_alphabet=200, end_of_word_suffix="</w>"
    )
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return tokenizer


def bert(size=700, **normalizer):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20))
    tokenizer.normalizer = normalizers.BertNormalizer(**normalizer)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokens = special("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    trainer = trainers.WordPieceTrainer(vocab_size=size, show_progress=False, special_tokens=tokens, limit_alphabet=250)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def bert_uncased():
    return bert()


def bert_cased():
    return bert(lowercase=False, strip_accents=False)


def bert_accents():
    """The parts of the normalizer the other way round."""
    return bert(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)


FAMILIES = [gpt2, roberta, llama3, qwen2, llama2, word_bpe, bert_uncased, bert_cased, bert_accents]


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


def write_stages():
    golden = []
    for kind, stage in stages():
        tokenizer = Tokenizer(models.BPE())
        setattr(tokenizer, kind, stage)
        golden.append({"kind": kind, "spec": json.loads(tokenizer.to_str())[kind], "results": results(kind, stage)})
    with open(DATA / "stages.json", "w", encoding="utf-8") as file:
        whole = {"texts": STAGE_TEXTS, "tokens": TOKEN_LISTS, "stages": golden}
        json.dump(whole, file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")


def byte_places(text):
    """Where each character begins, and the end."""
    places = [0]
    for character in text:
        places.append(places[-1] + len(character.encode()))
    return places


def in_bytes(text, offsets):
    """Spans in bytes from offsets in characters, as this file's docstring says."""
    places, spans, last = byte_places(text), [], 0
    for begin, end in offsets:
        begin, end = places[min(begin, len(text))], places[min(end, len(text))]
        spans += [f"{begin - last:+}"] if begin != last else []
        spans.append(str(end - begin))
        last = end
    return " ".join(spans)


def write(name, tokenizer):
    folder = DATA / name
    folder.mkdir(parents=True, exist_ok=True)
    state = json.loads(tokenizer.to_str())
    (folder / "tokenizer.json").write_text(json.dumps(state, separators=(",", ":"), ensure_ascii=False) + "\n")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    with open(folder / "golden.jsonl", "w", encoding="utf-8") as file:
        for text in TEXTS:
            encoding = tokenizer.encode(text)
            golden = {"ids": encoding.ids, "spans": in_bytes(text, encoding.offsets)}
            decoded = tokenizer.decode(encoding.ids)
            if decoded != text:
                golden["decoded"] = decoded
            file.write(json.dumps(golden, separators=(",", ":"), ensure_ascii=False) + "\n")


def write_gguf(name, architecture, fields, ids):
    import gguf

    folder = DATA / "gguf"
    folder.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(folder / f"{name}.gguf", architecture)
    for key, value in fields.items():
        getattr(writer, f"add_{key}")(value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in ids))


def gguf_byte_level():
    """SmolLM2's: single digits, GPT-2's pattern, control tokens found in the text."""
    tokenizer = gpt2()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(False)])
    tokenizer.add_special_tokens(["<|endoftext|>"])
    model = json.loads(tokenizer.to_str())["model"]
    tokens = [*sorted(model["vocab"], key=model["vocab"].get), "<|endoftext|>"]
    fields = dict(tokenizer_model="gpt2", tokenizer_pre="smollm", token_list=tokens,
                  token_types=[3 if token == "<|endoftext|>" else 1 for token in tokens],
                  token_merges=[" ".join(merge) for merge in model["merges"]])
    write_gguf("byte_level", "llama", fields, [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS])


def gguf_sentencepiece():
    import io

    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_writer=model, model_type="bpe", vocab_size=2000, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, character_coverage=0.98, minloglevel=2,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    ids = range(pieces.get_piece_size())
    types = [2 if pieces.is_unknown(i) else 3 if pieces.is_control(i) else 6 if pieces.is_byte(i) else 1 for i in ids]
    fields = dict(tokenizer_model="llama", token_list=[pieces.id_to_piece(i) for i in ids],
                  token_scores=[pieces.get_score(i) for i in ids], token_types=types, bos_token_id=pieces.bos_id(),
                  eos_token_id=pieces.eos_id(), unk_token_id=pieces.unk_id(), add_bos_token=True)
    ids = [pieces.encode(text, add_bos=True) for text in TEXTS]
    for number, text in enumerate(TEXTS):  # sentencepiece does not look for control tokens in a text; models' users do
        if any(token in text for token in ("<s>", "</s>", "<unk>")):
            ids[number] = None
    write_gguf("sentencepiece", "llama", fields, ids)


def main():
    for make in (gguf_byte_level, gguf_sentencepiece):
        if len(sys.argv) < 2 or "gguf" in sys.argv[1:]:
            make()
    for family in FAMILIES:
        if len(sys.argv) < 2 or family.__name__ in sys.argv[1:]:
            write(family.__name__, family())
    if len(sys.argv) < 2 or "stages" in sys.argv[1:]:
        write_stages()


if __name__ == "__main__":
    main()
