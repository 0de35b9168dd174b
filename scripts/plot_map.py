#!/usr/bin/env python3
"""Draws the token map of a finished run as a picture: one dot a token, brighter where tokens crowd, coloured by kind.

    scripts/plot_map.py RUN [--out PICTURE]    RUN-map.png by default; needs matplotlib (scripts/requirements.txt)

The picture lies beside the run: a run directory in which other files lie is not replaced by --overwrite.

Reads manifest.json, tokens.tsv and tsne.npy as docs/formats.md describes them.
"""

import argparse
import json
import re
import unicodedata
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib import patheffects  # noqa: E402
from matplotlib.font_manager import FontProperties, findfont, get_font  # noqa: E402

WIDTH, HEIGHT, DPI = 1600, 1200, 100
BACKGROUND = np.array([0.055, 0.065, 0.090])
INK, FAINT_INK = "#f2f4f8", "#9aa5b8"
KINDS = {  # in the order of the legend
    "words": "#ffb454",
    "word parts": "#4fb3ff",
    "numbers": "#7be0a3",
    "other scripts": "#ff6f91",
    "punctuation and symbols": "#c9a2ff",
    "unused and special": "#75809a",
}
ESCAPED = {"\\t": "\t", "\\n": "\n", "\\r": "\r", "\\\\": "\\"}
WORD_START = "\u0120\u2581"  # how GPT-2's and SentencePiece's vocabularies write the space before a word


def read_run(run):
    manifest = json.loads((run / "manifest.json").read_text())
    positions = np.load(run / manifest["arrays"]["tsne"]["file"])
    tokens = [""] * len(positions)
    if (run / "tokens.tsv").exists():
        for line in (run / "tokens.tsv").read_text(encoding="utf-8").split("\n"):
            index, tab, token = line.partition("\t")
            if tab and index.isdigit():
                tokens[int(index)] = re.sub(r"\\[tnr\\]", lambda match: ESCAPED[match[0]], token)
    return manifest, positions[:, :2], tokens


def kind_of(token, words_are_marked):
    """One of KINDS, from the token's form and the Unicode category of its first letter or digit."""
    bare = token.removeprefix("##").lstrip(WORD_START)
    if not bare or re.fullmatch(r"\[.{2,}\]|<.+>", bare):
        return "unused and special"
    first = next((character for character in bare if unicodedata.category(character)[0] in "LN"), None)
    if first is None:
        return "punctuation and symbols"
    if unicodedata.category(first)[0] == "N":
        return "numbers"
    if not unicodedata.name(first, "").startswith("LATIN"):
        return "other scripts"
    continues = token[0] not in WORD_START if words_are_marked else token.startswith("##")
    return "word parts" if continues else "words"


def to_pixels(positions):
    """The middle of the map filling the picture, its proportions kept; row 0 is the top."""
    low, high = np.percentile(positions, [0.02, 99.98], axis=0)
    scale = min((WIDTH - 80) / (high[0] - low[0]), (HEIGHT - 170) / (high[1] - low[1]))
    pixels = (positions - (low + high) / 2) * scale
    return np.stack([pixels[:, 0] + WIDTH / 2, HEIGHT / 2 + 15 - pixels[:, 1]], axis=1)


def blurred(image, sigma):
    reach = int(3 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        image = np.apply_along_axis(np.convolve, axis, image, kernel, mode="same")
    return image


def counted(pixels):
    return np.histogram2d(pixels[:, 1], pixels[:, 0], bins=(HEIGHT, WIDTH), range=((0, HEIGHT), (0, WIDTH)))[0]


def shaded(pixels, kinds):
    """Light adds up: each token is a small dot with a faint halo, in its kind's colour."""
    light = np.zeros((HEIGHT, WIDTH, 3))
    for kind, color in KINDS.items():
        count = counted(pixels[kinds == kind])
        dots = 5.5 * blurred(count, 1.0) + 13 * blurred(count, 6)
        light += dots[..., None] * np.array(matplotlib.colors.to_rgb(color)) ** 1.6
    return BACKGROUND + (1 - BACKGROUND) * (1 - np.exp(-0.95 * light))


def readable(token):
    bare = token.removeprefix("##").lstrip(WORD_START)
    glyphs = get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap()
    left_to_right = all(unicodedata.bidirectional(character) not in ("R", "AL") for character in bare)
    return bare and left_to_right and bare.isprintable() and all(ord(character) in glyphs for character in bare)


def labels(pixels, tokens, kinds):
    """One token for each crowd: at the peaks of the density of each kind, the first readable token close by (the first
    in a vocabulary are the commonest), spread over the picture so that no two overlap."""
    allowed = dict(zip(KINDS, (34, 7, 4, 4, 0, 1)))
    chosen = []
    for kind, most in sorted(allowed.items(), key=lambda item: item[1]):
        of_kind = np.flatnonzero(kinds == kind)
        density = blurred(counted(pixels[of_kind]), 9)
        shortest = {"words": 3, "numbers": 3, "word parts": 4}.get(kind, 1)
        found = 0
        for peak in np.argsort(density, axis=None)[::-1][:400_000:7]:
            at = np.array([peak % WIDTH, peak // WIDTH])
            if found == most:
                break
            if any(abs(at[0] - x) < 105 and abs(at[1] - y) < 44 for _, (x, y), _ in chosen):
                continue
            near = of_kind[np.abs(pixels[of_kind] - at).max(axis=1) < 14]
            names = [
                token
                for token in near
                if len(tokens[token]) >= shortest
                and readable(tokens[token])
                and (kind == "word parts" or not tokens[token].startswith("##"))
            ]
            if names and 60 < at[0] < WIDTH - 60 and 110 < at[1] < HEIGHT - 70:
                chosen.append((tokens[names[0]].lstrip(WORD_START), pixels[names[0]], kind))
                found += 1
    return chosen


def caption(manifest, count):
    parameters, seconds = manifest.get("parameters", {}), manifest.get("seconds", {})
    parts = [f"{count:,} tokens"]
    if "perplexity" in parameters:
        parts.append(f"t-SNE at perplexity {parameters['perplexity']:g}")
    if "kl" in manifest:
        parts.append(f"KL {manifest['kl']:.3f}")
    if "total" in seconds:
        parts.append(f"{seconds['total']:.1f} s on {manifest.get('threads', '?')} threads")
    return "   ·   ".join(parts)


def draw(run, out):
    manifest, positions, tokens = read_run(run)
    if "tsne_kl" in manifest["arrays"]:
        manifest["kl"] = float(np.load(run / manifest["arrays"]["tsne_kl"]["file"])[-1, 1])
    words_are_marked = any(token[:1] in WORD_START for token in tokens if token)
    kinds = np.array([kind_of(token, words_are_marked) for token in tokens])
    pixels = to_pixels(positions)

    figure = plt.figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(HEIGHT, 0))
    axes.axis("off")
    axes.imshow(shaded(pixels, kinds), extent=(0, WIDTH, HEIGHT, 0), interpolation="nearest", aspect="auto")
    outline = [patheffects.withStroke(linewidth=3.2, foreground=BACKGROUND, alpha=0.85)]
    for text, (x, y), kind in labels(pixels, tokens, kinds):
        axes.text(x, y, text, color=INK, fontsize=12.5, ha="center", va="center", path_effects=outline, parse_math=False)

    source = Path(manifest.get("source", {}).get("path", "")).resolve()
    model = source.parent.name if source.suffix else source.name
    axes.text(44, 48, f"The vocabulary of {model}", color=INK, fontsize=24, fontweight="bold", va="center")
    axes.text(44, 86, caption(manifest, len(tokens)), color=FAINT_INK, fontsize=14.5, va="center")
    x = 44
    for kind, color in KINDS.items():
        if (kinds == kind).any():
            axes.plot(x + 6, HEIGHT - 36, "o", color=color, markersize=8.5)
            label = f"{kind}  {np.count_nonzero(kinds == kind):,}"
            drawn = axes.text(x + 20, HEIGHT - 36, label, color=FAINT_INK, fontsize=13.5, va="center_baseline")
            x += 20 + drawn.get_window_extent().width + 34
    figure.savefig(out, dpi=DPI, metadata={"Software": None}, pil_kwargs={"optimize": True})


def main():
    parser = argparse.ArgumentParser(description="Draws the token map of a finished run.")
    parser.add_argument("run", type=Path, help="the folder that `lexiscope project --out` wrote")
    parser.add_argument("-o", "--out", type=Path, help="the picture (default: RUN-map.png)")
    arguments = parser.parse_args()
    out = arguments.out or arguments.run.with_name(arguments.run.resolve().name + "-map.png")
    draw(arguments.run, out)
    print(f"map drawn to {out}")


if __name__ == "__main__":
    main()
