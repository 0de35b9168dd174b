#!/usr/bin/env python3
"""Writes tests/data/npy and tests/data/safetensors with NumPy and the safetensors package, the formats' own writers.

Any Python 3 with NumPy and safetensors 0.4 (whose serialize_file takes bytes): python3 scripts/goldens_io.py. The versions that made the committed files are in
tests/data/io_versions.txt. Values follow formulas that the tests repeat: element k of a float array is k / 2 - 2, of a
signed array k - 5, of an unsigned one k.
"""

import importlib.metadata
import pathlib

import numpy as np
import safetensors

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data"


def values(dtype, shape):
    k = np.arange(int(np.prod(shape)))
    kind = np.dtype(dtype).kind
    return (k / 2 - 2 if kind == "f" else k - 5 if kind == "i" else k).astype(dtype).reshape(shape)


def write_npy(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for code in ("f2", "f4", "f8", "i4", "i8", "u1"):
        array = values(code, (3, 4))
        np.save(folder / f"c_{code}.npy", array)
        np.save(folder / f"fortran_{code}.npy", np.asfortranarray(array))
    for name, shape in {"scalar": (), "vector": (5,), "cube": (2, 3, 4), "no_rows": (0, 3), "no_columns": (3, 0)}.items():
        np.save(folder / f"{name}.npy", values("f4", shape))
    np.save(folder / "fortran_cube.npy", np.asfortranarray(values("f4", (2, 3, 4))))
    for version in ((1, 0), (2, 0), (3, 0)):
        with open(folder / f"version_{version[0]}.npy", "wb") as file:
            np.lib.format.write_array(file, values("f4", (3, 4)), version=version)
    np.save(folder / "big_endian.npy", values("f4", (3, 4)).astype(">f4"))
    np.save(folder / "complex.npy", values("f4", (3, 4)).astype("c8"))
    np.save(folder / "bool.npy", values("u1", (3, 4)) > 5)
    np.save(folder / "text.npy", np.array(["a", "bc"]))
    np.save(folder / "record.npy", np.zeros(2, dtype=[("x", "f4"), ("y", "i4")]))
    np.save(folder / "object.npy", np.array([{}], dtype=object), allow_pickle=True)


def write_safetensors(folder):
    folder.mkdir(parents=True, exist_ok=True)

    def tensor(dtype, array):
        return {"dtype": dtype, "shape": list(array.shape), "data": array.tobytes()}

    matrix = values("f4", (3, 2))
    bfloat16 = (matrix.view("u4") >> 16).astype("u2")  # every value here is exact in bfloat16
    tensors = {
        "bool": tensor("bool", values("u1", (3, 2)) > 2),
        "empty": tensor("float32", values("f4", (0, 2))),
        "matrix.BF16": tensor("bfloat16", bfloat16),
        "matrix.F16": tensor("float16", values("f2", (3, 2))),
        "matrix.F32": tensor("float32", matrix),
        "matrix.F64": tensor("float64", values("f8", (3, 2))),
        "matrix.I32": tensor("int32", values("i4", (3, 2))),
        "matrix.I64": tensor("int64", values("i8", (3, 2))),
        "matrix.U8": tensor("uint8", values("u1", (3, 2))),
        "scalar": tensor("float32", values("f4", ())),
    }
    safetensors.serialize_file(tensors, str(folder / "every_type.safetensors"), metadata={"format": "np"})


def main():
    write_npy(DATA / "npy")
    write_safetensors(DATA / "safetensors")
    versions = [f"{package} {importlib.metadata.version(package)}\n" for package in ("numpy", "safetensors")]
    (DATA / "io_versions.txt").write_text("".join(versions))


if __name__ == "__main__":
    main()
