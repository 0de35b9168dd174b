#!/usr/bin/env python3
"""Compares lexiscope's tokens with those of Hugging Face's `tokenizers` on random texts: ids, bytes and decoded text.

Needs tokenizers (0.23.3) and a built program:

    scripts/compare_tokenizers.py [--program build/cpu-release/lexiscope] [--texts 100000] [--seed 0] [--every-character]
                                   [MODEL...]

MODEL: folders with a tokenizer.json; by default those of tests/data/tokenizers. Prints the first differences of each,
and exits with 1 where there are any. A text joins pieces of the texts in tests/data/tokenizers with characters from all
of Unicode, favouring those that tokenizers treat specially. --every-character takes texts with each character of
Unicode among letters, spaces and marks instead.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data" / "tokenizers"
SHOWN = 5
SPECIAL = (
    list(" \t\n\r\u00a0\u3000\u2028\u200b\u200d\ufeff'’.,!?-_<>|[]#@▁ĠĊ0123456789²½٣") + ["  ", "\r\n", "   ", "'s", "'Re", "ſ"]
    + ["<s>", "</s>", "<mask>", "<|endoftext|>", "<|im_start|>", "[CLS]", "[MASK]", "<unk>", "<0x41>"]
    + list("\u0300\u0301\u0308\u0323\u0327\u0345\u0f71\u0f72\u3099\u1100\u1161\u11a8가각e\u212bﬁßİΣς①㌀ﷺ") + list("👍🏽👩🇩🇪🏴\ufe0f\u20e3")
)
RANGES = [(0x20, 0x7E), (0, 0x24F), (0x250, 0x52F), (0x300, 0x36F), (0x530, 0xFFF), (0x1000, 0x1FFF), (0x2000, 0x2BFF),
          (0x3000, 0x9FFF), (0xA000, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x1FFFF), (0x20000, 0x10FFFF)]


class Texts:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.samples = [text for text in json.loads((DATA / "strings.json").read_text()) if text]

    def piece(self):
        kind = self.random.random()
        if kind < 0.35:
            sample = self.random.choice(self.samples)
            begin = self.random.randrange(len(sample))
            return sample[begin : begin + self.random.randint(1, 12)]
        if kind < 0.65:
            return self.random.choice(SPECIAL) * (1 if self.random.random() < 0.9 else self.random.randint(2, 6))
        low, high = self.random.choice(RANGES)
        return "".join(chr(self.random.randint(low, high)) for _ in range(self.random.randint(1, 4)))

    def next(self):
        return "".join(self.piece() for _ in range(self.random.randint(0, 8)))


def every_character():
    """Eight to a text, so that each stands beside a letter, a space, a digit, marks of several classes and Hangul."""
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    for begin in range(0, len(characters), 8):
        yield "".join(
            f"a{c}b {c} 1{c}{c}\u0334\u0301\u0323{c}'s\u1100{c}\u11a8" for c in characters[begin : begin + 8]
        )


def in_bytes(text, offsets):
    places = [0]
    for character in text:
        places.append(places[-1] + len(character.encode()))
    return [[places[min(begin, len(text))], places[min(end, len(text))]] for begin, end in offsets]


def expected(tokenizer, text):
    """What `tokenizers` makes of the text; None where it fails itself (a panic, which is no Exception)."""
    try:
        encoding = tokenizer.encode(text)
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        return None
    return {
        "ids": encoding.ids,
        "offsets": in_bytes(text, encoding.offsets),
        "decoded": tokenizer.decode(encoding.ids, skip_special_tokens=False),
    }


def differences(program, model, texts, lines):
    """The number of texts that differ; prints the first of them."""
    if not (model / "tokenizer.json").is_file():
        sys.exit(f"{model} has no tokenizer.json")
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    count = 0
    command = [program, "tokenize", str(model), "--file", lines, "--lines"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        for text in texts:
            line = process.stdout.readline()
            if not line:
                sys.exit(f"{program} stopped before {json.dumps(text)}")
            found, needed = json.loads(line), expected(tokenizer, text)
            if needed is None:
                continue
            wrong = [key for key in needed if found[key] != needed[key]]
            if wrong and count < SHOWN:
                print(f"{model.name}: {json.dumps(text)}")
                for key in wrong:
                    print(f"  {key}: lexiscope {json.dumps(found[key])}\n  {key}: tokenizers {json.dumps(needed[key])}")
            count += bool(wrong)
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", type=Path, default=sorted(p.parent for p in DATA.glob("*/tokenizer.json")))
    parser.add_argument("--program", default=str(ROOT / "build" / "cpu-release" / "lexiscope"))
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every-character", action="store_true")
    options = parser.parse_args()
    source = Texts(options.seed)
    texts = list(every_character()) if options.every_character else [source.next() for _ in range(options.texts)]
    total = 0
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as lines:
        lines.writelines(json.dumps(text) + "\n" for text in texts)
        lines.flush()
        for model in options.models:
            count = differences(options.program, model, texts, lines.name)
            print(f"{model.name}: {len(texts)} texts, {count} differ", flush=True)
            total += count
    sys.exit(1 if total else 0)


if __name__ == "__main__":
    main()
