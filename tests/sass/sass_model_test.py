"""Takes a small kernel's machine code apart (sample_sm_80.sass, of sample.cu) and models loops made by hand."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import sass_model  # noqa: E402
from sass_model import Instruction, cycles_an_iteration, kind_of, share_of_peak  # noqa: E402

SAMPLE = (Path(__file__).resolve().parent / "sample_sm_80.sass").read_text()


def product(first_register, **control):
    text = f"HMMA.16816.F32.BF16 R{first_register}, R80, R84, R{first_register}"
    return Instruction("HMMA.16816.F32.BF16", text, registers=[first_register, 80, 84, first_register], **control)


class Parser(unittest.TestCase):
    def setUp(self):
        functions = sass_model.parse(SAMPLE)
        self.assertEqual(list(functions), ["_Z6samplePK5uint4Pfif"])
        self.sample = functions["_Z6samplePK5uint4Pfif"]

    def test_reads_every_instruction(self):
        self.assertEqual(len(self.sample), 0x400 // 16)
        self.assertEqual(self.sample[0].opcode, "IMAD.MOV.U32")
        self.assertTrue(self.sample[5].predicated)
        self.assertEqual(self.sample[5].target, 0x2E0 // 16)

    def test_reads_control_bits(self):
        load = next(x for x in self.sample if x.opcode.startswith("LDSM"))
        use = next(x for x in self.sample if x.opcode.startswith("HMMA"))
        self.assertLess(load.sets_write, 6)  # the product waits for what the load brings
        self.assertTrue(use.waits >> load.sets_write & 1)
        self.assertEqual(use.registers, [4, 12, 12, 4])
        self.assertTrue(all(1 <= x.stall <= 15 for x in self.sample))

    def test_finds_the_main_loop_and_its_usual_path(self):
        loop = sass_model.main_loop(self.sample)
        self.assertEqual(loop, (0xB0 // 16, 0x2D0 // 16))
        path = sass_model.usual_path(self.sample, loop)
        self.assertFalse(any(x.kind == "mufu" for x in path))  # doubling is rare
        self.assertEqual([x.kind for x in path].count("tensor"), 1)
        self.assertEqual(path[-1].opcode, "BRA")

    def test_counts_pipes(self):
        path = sass_model.usual_path(self.sample, sass_model.main_loop(self.sample))
        cycles = sass_model.occupied(path, "sm_80")
        self.assertEqual(cycles["tensor"], 8)
        self.assertEqual(cycles["shared"], 32)  # ldmatrix.x4 and a copy of 16 bytes a lane
        self.assertEqual(cycles["issue"], len(path))


def jump(target, predicated=True):
    return Instruction("BRA", f"@P0 BRA {target}", predicated=predicated, target=target)


class Loops(unittest.TestCase):
    def test_leaves_out_what_returns_from_code_out_of_the_way(self):
        body = [Instruction("FADD", "FADD R1, R1, R1") for _ in range(6)]
        code = [body[0], jump(8), *body[:3], jump(0), Instruction("EXIT", "EXIT"), body[0], body[1], jump(2, False)]
        self.assertEqual(sass_model.loops(code), [(0, 5)])

    def test_goes_around_an_inner_loop_as_often_as_its_products_ask(self):
        other = Instruction("FADD", "FADD R1, R1, R1")
        code = [other, product(4), product(8), other, product(12), product(16), jump(4), other, jump(0)]
        self.assertEqual(sass_model.main_loop(code), (4, 6))
        for products, inner in ((2, 1), (6, 2), (10, 4)):
            path = sass_model.path_around(code, products)
            self.assertEqual(sum(x.kind == "tensor" for x in path), products)
            self.assertEqual(path.count(code[6]), inner)
        self.assertEqual(len(sass_model.path_around(code, 2)), 3)  # the inner loop alone does that


class Kinds(unittest.TestCase):
    def test_tells_instructions_apart(self):
        for opcode, kind in [("LDGSTS.E.BYPASS.128", "copy"), ("LDGDEPBAR", "commit"), ("LDG.E.128", "global"),
                             ("DEPBAR.LE", "await"), ("BAR.SYNC.DEFER_BLOCKING", "barrier"), ("LDL.64", "local"),
                             ("FFMA2", "fma"), ("DFMA", "double"), ("UIADD3", "control"), ("FMNMX", "alu")]:
            self.assertEqual(kind_of(Instruction(opcode, opcode)), kind, opcode)
        self.assertEqual(kind_of(Instruction("LDS", "@!PT LDS RZ, [RZ]", never=True)), "control")

    def test_knows_widths(self):
        for opcode, width in [("LDG.E.128", 16), ("LDG.E.64.CONSTANT", 8), ("STG.E", 4), ("LDG.E.U16", 2),
                              ("LDSM.16.MT88.4", 16)]:
            self.assertEqual(sass_model.bytes_a_lane(opcode), width, opcode)


class Schedule(unittest.TestCase):
    def test_independent_products_fill_the_pipe(self):
        path = [product(4 * k, stall=2) for k in range(16)]
        self.assertAlmostEqual(share_of_peak(path, "sm_80", 2, 4, "tensor"), 1, delta=0.02)

    def test_dependent_products_wait_for_each_other(self):
        path = [product(4, stall=2)] * 16
        cycles = cycles_an_iteration(path, "sm_80", 1, 4)  # one warp a scheduler
        self.assertAlmostEqual(cycles, 16 * sass_model.LATENCY["tensor"], delta=16)

    def test_shared_memory_bounds_what_reads_too_much(self):
        load = Instruction("LDSM.16.M88.4", "LDSM.16.M88.4 R80, [R90]", stall=1)
        path = [load, product(4), load, product(8)]  # 16 cycles of shared memory for 8 of products
        self.assertAlmostEqual(share_of_peak(path, "sm_80", 4, 4, "tensor"), 0.5, delta=0.02)

    def test_a_barrier_joins_the_warps_of_a_block(self):
        barrier = Instruction("BAR.SYNC", "BAR.SYNC 0x0", stall=1)
        with_barrier = [product(4 * k) for k in range(4)] + [barrier]
        self.assertGreater(cycles_an_iteration(with_barrier, "sm_80", 1, 4),
                           cycles_an_iteration(with_barrier[:-1], "sm_80", 1, 4))


if __name__ == "__main__":
    unittest.main()
