#!/usr/bin/env python3
"""Writes tests/data/tokenizers: small tokenizers of every family, trained on the texts of strings.json, and what Hugging
Face's `tokenizers` makes of each text.

Needs tokenizers (0.23.3), for the families unigram also sentencepiece (0.2.3), for gguf that and gguf
(0.19.0):

    python3 scripts/goldens_tokenizers.py [NAME...]

NAME/tokenizer.json    the tokenizer
NAME/golden.jsonl      a line for each text: "ids"; "spans", for each token the number of its bytes of the text, after a
                       step such as +1 or -3 where they do not begin at the end of the token before; "decoded", where it
                       is not the text itself
"""

import collections
import io
import json
import sys
import tempfile
import unicodedata
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


def common_characters(count, normalizer):
    """The most frequent characters of the texts, ties in the order of their codes: trainers take any of the tied."""
    counts = collections.Counter("".join(normalizer.normalize_str(text) for text in TEXTS))
    return sorted(counts, key=lambda character: (-counts[character], character))[:count]


def train(tokenizer, size, tokens=(), alphabet=None, spelled=(), trainer=trainers.BpeTrainer, **options):
    """`spelled` belong to the vocabulary from the start, as `tokens` do, but are not looked for in a text: bytes, and
    the alphabet with its prefixes and suffixes, which trainers would number in an order that changes."""
    alphabet = pre_tokenizers.ByteLevel.alphabet() if alphabet is None else alphabet
    trainer = trainer(
        vocab_size=size, show_progress=False, initial_alphabet=sorted(alphabet), limit_alphabet=len(alphabet),
        special_tokens=[*tokens, *spelled], **options,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = state["added_tokens"][: len(tokens)]
    return Tokenizer.from_str(json.dumps(state))


def gpt2():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer = train(tokenizer, 1000)
    tokenizer.add_special_tokens(special("<|endoftext|>"))
    return tokenizer


def roberta():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer = train(tokenizer, 900, special("<s>", "<pad>", "</s>", "<unk>"))
    tokenizer.add_special_tokens(special("<mask>", lstrip=True))
    tokenizer.add_tokens([AddedToken("Yesterday", single_word=True), AddedToken("def", rstrip=True), "world"])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def llama3():
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split(LLAMA3), pre_tokenizers.ByteLevel(False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer = train(tokenizer, 1000)
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
    tokenizer = train(tokenizer, 1000)
    tokenizer.add_special_tokens(special("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    return tokenizer


def llama2():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokens = special("<unk>", "<s>", "</s>")
    spelled = [f"<0x{byte:02X}>" for byte in range(256)]
    alphabet = common_characters(300, tokenizer.normalizer)
    tokenizer = train(tokenizer, 1200, tokens, alphabet, spelled, max_token_length=12)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def word_bpe():
    """The first kind of BPE: words with a suffix at their end, a prefix within, and an unknown token."""
    ends = {"continuing_subword_prefix": "##", "end_of_word_suffix": "</w>"}
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", fuse_unk=False, **ends))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(True)])
    tokenizer.decoder = decoders.BPEDecoder()
    alphabet = common_characters(120, tokenizer.normalizer)
    spelled = [form.format(c) for c in sorted(alphabet) for form in ("##{}", "{}</w>", "##{}</w>")]
    tokenizer = train(tokenizer, 900, special("[UNK]", "[CLS]", "[SEP]"), alphabet, spelled, **ends)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return tokenizer


def bert(size=700, **normalizer):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20))
    tokenizer.normalizer = normalizers.BertNormalizer(**normalizer)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokens = special("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    alphabet = common_characters(200, tokenizer.normalizer)
    spelled = [f"##{character}" for character in sorted(alphabet)]
    tokenizer = train(tokenizer, size, tokens, alphabet, spelled, trainers.WordPieceTrainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def bert_uncased():
    return bert()


def bert_cased():
    return bert(lowercase=False, strip_accents=False)


def bert_accents():
    """The parts of the normalizer the other way round."""
    return bert(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)


def protobuf_fields(message):
    """{number: value} of a message whose fields are numbers and bytes; of a repeated field the last."""
    at, fields = 0, {}

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while at < len(message):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            fields[number] = varint()
            continue
        size = {1: 8, 5: 4}.get(kind) or varint()
        fields[number], at = message[at : at + size], at + size
    return fields


def sentencepiece_model(**options):
    """Trained on the texts: its processor, and the normalizer compiled into it."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_writer=model, character_coverage=0.98, minloglevel=2, num_threads=1,
        **options,
    )
    normalizer = protobuf_fields(protobuf_fields(model.getvalue())[3])
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()), normalizer.get(2, b"")


def small_rules():
    """NFKC and lower case of a few hundred characters and of letters with marks: the compiled rules that sentencepiece
    brings are ten times as long."""
    blocks = [(0x41, 0x5A), (0xA0, 0x17F), (0x2070, 0x209F), (0x2122, 0x2122), (0x2460, 0x2473), (0xFB00, 0xFB06),
              (0xFF01, 0xFF5E)]
    characters = [chr(code) for first, last in blocks for code in range(first, last + 1)]
    rules = {c: unicodedata.normalize("NFKC", c).lower() for c in characters}
    rules |= {unicodedata.normalize("NFD", c): lower for c, lower in rules.items() if 0xC0 <= ord(c) < 0x180}
    rules |= {chr(code): "" for code in (0x1, 0x7F, 0xAD, 0x301)} | {"\t": " ", "\u200b": " ", "\ufdfa": "صلى الله"}
    changing = [rule for rule in sorted(rules.items()) if rule[0] != rule[1]]
    return "".join("\t".join(" ".join(f"{ord(c):X}" for c in side) for side in rule) + "\n" for rule in changing)


def unigram(scheme="always", byte_fallback=False, **options):
    """As transformers converts a sentencepiece model."""
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        rules.write(small_rules())
        rules.flush()
        pieces, charsmap = sentencepiece_model(
            model_type="unigram", byte_fallback=byte_fallback, normalization_rule_tsv=rules.name, **options
        )
    vocabulary = [(pieces.id_to_piece(i), pieces.get_score(i)) for i in range(pieces.get_piece_size())]
    tokenizer = Tokenizer(models.Unigram(vocabulary, pieces.unk_id(), byte_fallback))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Precompiled(charsmap), normalizers.Strip(False, True), normalizers.Replace(Regex(" {2,}"), "▁")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", scheme)
    tokenizer.decoder = decoders.Metaspace("▁", scheme)
    tokenizer.add_special_tokens(special("<unk>", "<s>", "</s>"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>",
        special_tokens=[("<s>", pieces.bos_id()), ("</s>", pieces.eos_id())],
    )
    return tokenizer


def unigram_bytes():
    return unigram("first", True, vocab_size=1700)


def unigram_words():
    return unigram(vocab_size=1300)


FAMILIES = [gpt2, roberta, llama3, qwen2, llama2, word_bpe, bert_uncased, bert_cased, bert_accents,
            unigram_bytes, unigram_words]


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


if __name__ == "__main__":
    main()
