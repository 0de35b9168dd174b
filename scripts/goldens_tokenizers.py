#!/usr/bin/env python3
"""Writes tests/data/tokenizers: small tokenizers of every family, trained on the texts of strings.json, and what Hugging
Face's `tokenizers` makes of each text.

Needs tokenizers (0.23.3): python3 scripts/goldens_tokenizers.py [NAME...]

NAME/tokenizer.json    the tokenizer
NAME/golden.jsonl      a line for each text: "ids"; "spans", for each token the number of its bytes of the text, after a
                       step such as +1 or -3 where they do not begin at the end of the token before; "decoded", where it
                       is not the text itself
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


FAMILIES = [gpt2, roberta, llama3, qwen2, llama2, word_bpe]


def in_bytes(text, offsets):
    """Spans in bytes from offsets in characters, as this file's docstring says."""
    places = [0]
    for character in text:
        places.append(places[-1] + len(character.encode()))
    spans, last = [], 0
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


def main():
    for family in FAMILIES:
        if len(sys.argv) < 2 or family.__name__ in sys.argv[1:]:
            write(family.__name__, family())


if __name__ == "__main__":
    main()
