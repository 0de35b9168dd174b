"""Plants each kind of wrong include in an empty tree and expects scripts/check_layers.py to name it."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from check_layers import violations  # noqa: E402


def violations_of(path, line):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / path
        file.parent.mkdir(parents=True)
        file.write_text(f"#pragma once\n{line}\n")
        return violations(Path(folder))


class Layers(unittest.TestCase):
    def test_names_a_wrong_arrow(self):
        for path, line in [
            ("include/lexiscope/tensor.h", '#include "host/core/require.h"'),
            ("include/lexiscope/tensor.h", '#include "kernels/cpu/context.h"'),
            ("include/lexiscope/tensor.h", "#include <fmt/format.h>"),
            ("kernels/cpu/linear.cpp", '#include "host/core/require.h"'),
            ("kernels/cpu/linear.cpp", '  #  include "host/core/require.h"  // indented'),
            ("kernels/cpu/linear.cpp", '#include "kernels/reference/linear.h"'),
            ("kernels/reference/linear.cpp", '#include "kernels/cpu/linear.h"'),
            ("kernels/reference/linear.cpp", "#include <cblas.h>"),
            ("kernels/newcomer/linear.cpp", "#include <vector>"),
            ("kernels/cuda/linear.cu", '#include "host/core/require.h"'),
            ("kernels/cuda/linear.cuh", '#include "kernels/cpu/linear.h"'),
            ("kernels/cuda/linear.cu", '#include "simt/grid.h"'),
            ("kernels/cpu/linear.cpp", '#include "simt/cuda.h"'),
            ("simt/grid.cpp", '#include "host/core/require.h"'),
            ("simt/grid.cpp", '#include "kernels/cuda/launch.h"'),
            ("simt/grid.cpp", '#include "lexiscope/error.h"'),
            ("host/engines/linear.cpp", '#include "kernels/cuda/linear.h"'),
            ("host/engines/cuda/linear.cpp", '#include "kernels/cpu/linear.h"'),
            ("host/engines/cuda/linear.cpp", '#include "simt/cuda.h"'),
            ("host/model/transformer.cpp", '#include "kernels/cuda/linear.h"'),
            ("host/io/npy.cpp", '#include "kernels/cpu/linear.h"'),
            ("host/io/npy.cpp", '#include "tests/support/compare.h"'),
            ("host/engines/linear.cpp", '#include "host/cli/options.h"'),
            ("bench/linear_bench.cpp", '#include "tests/support/compare.h"'),
        ]:
            with self.subTest(path=path, line=line):
                found = violations_of(path, line)
                self.assertEqual(len(found), 1)
                self.assertTrue(found[0].startswith(path), found[0])

    def test_accepts_the_right_ones(self):
        for path, line in [
            ("include/lexiscope/engine.h", '#include "lexiscope/tensor.h"'),
            ("include/lexiscope/engine.h", "#include <string_view>"),
            ("kernels/cpu/linear.cpp", "#include <hwy/highway.h>"),
            ("kernels/cpu/linear.cpp", '#define HWY_TARGET_INCLUDE "kernels/cpu/linear.cpp"'),
            ("kernels/cuda/linear.cu", '#include "simt/cuda.h"'),
            ("kernels/cuda/linear.cuh", '#include "kernels/cuda/instructions.h"'),
            ("simt/grid.cpp", '#include "simt/grid.h"'),
            ("host/engines/linear.cpp", '#include "kernels/cpu/linear.h"'),
            ("host/engines/cuda/linear.cpp", '#include "kernels/cuda/linear.h"'),
            ("tests/simt_threads_test.cpp", '#include "simt/grid.h"'),
            ("host/cli/main.cpp", '#include "host/io/npy.h"'),
            ("tests/linear_test.cpp", '#include "kernels/cpu/linear.h"'),
        ]:
            with self.subTest(path=path, line=line):
                self.assertEqual(violations_of(path, line), [])


if __name__ == "__main__":
    unittest.main()
