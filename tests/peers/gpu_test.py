"""The page of bench/peers/gpu.py from figures that were measured elsewhere: it needs no GPU and no PyTorch."""

import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "peers"))
import gpu  # noqa: E402

CARD = {"card": "NVIDIA T1", "arch": "sm_90", "driver": "1.2", "cuda": "13.0", "torch": "2.0",
        "limits": {"copy": 4e12, "mma.sync": 600e12, "cuBLAS f32": 50e12, "cuBLAS bf16": 800e12}}
MODEL = """| share | sm_80 | sm_90 |
|---|---|---|
| d = 64 | 83 % | 80 % |
| FlashAttention-2, d = 64 (as published) | 64 % (61 %) | 53 % (52 %) |

| time | A100 | T1 |
|---|---|---|
| 60,000 | 0.2 ms | 0.1 ms (2 ms) |
"""


def record(name, milliseconds, clock="real_time", **counters):
    return {"name": f"{name}/iterations:5/{clock}", "real_time": milliseconds, "time_unit": "ms", **counters}


class Page(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder, root = Path(folder.name), gpu.ROOT
        (self.folder / "docs").mkdir()
        (self.folder / "docs" / "gpu_performance.md").write_text(MODEL)
        gpu.ROOT = self.folder
        self.addCleanup(setattr, gpu, "ROOT", root)

    def report(self, records, peers):
        (self.folder / "bench.json").write_text(json.dumps({"benchmarks": records}))
        return list(gpu.report(CARD, gpu.records_in(self.folder), peers))

    def test_names_the_card_and_its_limits(self):
        lines = self.report([], {})
        self.assertEqual(lines[0], "NVIDIA T1, driver 1.2, CUDA 13.0; PyTorch 2.0.")
        self.assertIn("copy 4.00 TB/s, mma.sync 600 TFLOP/s", lines[1])

    def test_puts_attention_beside_each_peer_its_limit_and_the_model(self):
        name = "attention_cuda/bf16/T:16384/d:64"
        lines = self.report([record(name, 2, "manual_time", **{"FLOP/s": 300e12})],
                            {name: {"FlashAttention-2": 4e-3, "cuDNN": 1e-3}})
        self.assertIn("| attention, bf16, 16 heads | Lexiscope | rate | FlashAttention-2 | ratio | cuDNN | ratio | of mma.sync "
                      "| modelled |", lines)
        self.assertIn("| T = 16,384, d = 64 | 2.00 ms | 300 TFLOP/s | 4.00 ms | 0.50 | 1.00 ms | 2.00 | 50 % | 80 % |", lines)
        text = " ".join(lines)
        self.assertIn("d = 64: Lexiscope 300 TFLOP/s, 50 % of mma.sync's limit (modelled: 80 %); FlashAttention-2 150 TFLOP/s, "
                      "25 % of mma.sync's limit (modelled: 53 %); cuDNN 600 TFLOP/s, 100 % of mma.sync's limit.", text)

    def test_counts_one_iteration_of_tsne_and_its_aim(self):
        lines = self.report([record("tsne_iteration_cuda/N:60000/dimensions:2", 1.6, **{"iterations/s": 6250.0}),
                             record("tsne_iteration_cuda/N:60000/dimensions:3", 12, **{"iterations/s": 800.0})], {})
        self.assertIn("| an iteration of t-SNE | Lexiscope | modelled | at most |", lines)
        self.assertIn("| N = 60,000, dimensions = 2 | 0.160 ms | 0.1 ms | 0.200 ms |", lines)
        self.assertIn("| N = 60,000, dimensions = 3 | 1.25 ms |  |  |", lines)

    def test_puts_the_projects_kernels_beside_what_is_chosen(self):
        shape = "T:4096/in:4096/out:4096/activation:0"
        lines = self.report([record(f"linear_cuda/bf16/{shape}", 0.2, **{"FLOP/s": 400e12}),
                             record(f"linear_cuda/bf16_own/{shape}", 0.4, **{"FLOP/s": 200e12})],
                            {f"linear_cuda/bf16/{shape}": {"PyTorch": 0.25e-3}})
        header = "| linear, bf16 weights | Lexiscope | rate | PyTorch | ratio | our kernels alone | ratio | of cuBLAS bf16 |"
        row = "| T = 4,096, in = 4,096, out = 4,096 | 0.200 ms | 400 TFLOP/s | 0.250 ms | 0.80 | 0.400 ms | 0.50 | 50 % |"
        self.assertEqual(lines[-3:], [header, "|---|---|---|---|---|---|---|---|", row])

    def test_takes_the_benchmarks_own_share_of_an_upload(self):
        lines = self.report([record("covariance_cuda/N:30522/d:384", 1500, **{"bytes/s": 8e9, "of_upload": 0.9})], {})
        self.assertIn("| N = 30,522, d = 384 | 1.50 s | 8.00 GB/s | 90 % |", lines)

    def test_leaves_out_what_failed(self):
        failed = record("covariance_cuda/N:1/d:1", 0) | {"error_occurred": True}
        self.assertFalse(any(line.startswith("|") for line in self.report([failed], {})))


if __name__ == "__main__":
    unittest.main()
