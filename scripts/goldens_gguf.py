#!/usr/bin/env python3
"""Writes tests/data/gguf: one file with a tensor of every supported type, and the f32 values that they stand for.

Needs NumPy and the gguf package (0.19), ggml's own reader and writer: python3 scripts/goldens_gguf.py
"""

import pathlib

import gguf
import numpy as np

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "gguf"
ROWS, COLUMNS = 3, 512
TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K")
HALVES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q4_K": [0, 2], "Q6_K": [208]}  # where a block has its f16 scales


def stored(random, name):
    """Rows of random bytes as blocks of that type; the scales and floats in them finite, some of them subnormal."""
    kind = gguf.GGMLQuantizationType[name]
    block, size = gguf.GGML_QUANT_SIZES[kind]
    if name in ("F32", "F16", "BF16"):
        values = (random.normal(0, 1, (ROWS, COLUMNS)) * 10.0 ** random.integers(-7, 4, (ROWS, COLUMNS))).astype("f4")
        if name == "BF16":
            return (values.view("u4") >> 16).astype("u2")
        return values.astype("f2" if name == "F16" else "f4")
    blocks = random.integers(0, 256, (ROWS * COLUMNS // block, size), dtype="u1")
    for at in HALVES[name]:
        scales = (random.normal(0, 1, len(blocks)) * 10.0 ** random.integers(-6, 2, len(blocks))).astype("f2")
        blocks[:, at : at + 2] = scales.view("u1").reshape(-1, 2)
    return blocks.reshape(ROWS, -1)


def main():
    DATA.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(5)
    writer = gguf.GGUFWriter(DATA / "types.gguf", "llama")
    writer.add_uint32("test.count", 7)
    writer.add_int32("test.negative", -7)
    writer.add_float32("test.float", 0.5)
    writer.add_bool("test.flag", True)
    writer.add_array("test.texts", ["a", "", "ü"])
    writer.add_array("test.integers", [1, -2, 3])
    writer.add_array("test.floats", [0.5, -1.5])
    writer.add_array("tokenizer.ggml.tokens", ["<s>", "a", "▁b"])
    values = {}
    for name in TYPES:
        raw, kind = stored(random, name), gguf.GGMLQuantizationType[name]
        shape = raw.shape if raw.dtype == np.uint8 else None
        writer.add_tensor(name.lower(), raw, raw_shape=shape, raw_dtype=kind)
        values[name.lower()] = gguf.quants.dequantize(raw.view("u1"), kind).reshape(ROWS, COLUMNS).astype("f4")
    writer.add_tensor("token_embd.weight", values["f32"][:, :8].copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    for name, array in values.items():
        np.save(DATA / f"{name}.npy", array)


if __name__ == "__main__":
    main()
