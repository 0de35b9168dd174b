#!/usr/bin/env python3
"""Makes the golden files in tests/data with the field's own implementations, scikit-learn and openTSNE, in double.

    scripts/goldens.sh    runs this in its own environment (scripts/requirements-goldens.txt)

The same versions make the same files, byte for byte. Every golden belongs to points.npy, 200 points in 17 dimensions.
"""

import platform
import sys
from pathlib import Path

import numpy as np
import openTSNE
import openTSNE.affinity
import openTSNE.tsne
import scipy
import scipy.sparse
import sklearn
from scipy.spatial.distance import squareform
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.manifold import _t_sne
from sklearn.neighbors import NearestNeighbors

N, D, K, PERPLEXITY = 200, 17, 30, 10
DATA = Path(__file__).resolve().parent.parent / "tests" / "data"


def make_points():
    """Five blobs of unequal spread, off the origin: no two eigenvalues nearly equal, no two distances the same."""
    random = np.random.default_rng(17)
    centers = random.normal(0, 3, (5, D))
    spread = np.geomspace(2, 0.3, D)
    return (centers[random.integers(0, 5, N)] + random.normal(0, 1, (N, D)) * spread + 1).astype(np.float32)


def largest_component_positive(rows):
    """The sign that Lexiscope fixes for each vector."""
    largest = np.abs(rows).argmax(axis=1)
    return rows * np.sign(rows[np.arange(len(rows)), largest])[:, None]


def principal_components(points):
    centered = PCA(svd_solver="full").fit(points)
    # TruncatedSVD does not centre; ARPACK gives all directions but the last.
    uncentered = TruncatedSVD(n_components=D - 1, algorithm="arpack", tol=0, random_state=0).fit(points)
    components = largest_component_positive(centered.components_)
    return {
        "pca_mean": centered.mean_,
        # scikit-learn divides by N - 1, Lexiscope by N.
        "pca_eigenvalues": centered.explained_variance_ * (N - 1) / N,
        "pca_components": components,
        "pca_scores": (points - centered.mean_) @ components.T,
        "pca_uncentered_eigenvalues": uncentered.singular_values_**2 / N,
        "pca_uncentered_components": largest_component_positive(uncentered.components_),
    }


def nearest_neighbors(points, metric, k):
    search = NearestNeighbors(n_neighbors=k + 1, algorithm="brute", metric=metric)
    distances, indices = search.fit(points).kneighbors()
    gaps = np.diff(distances, axis=1) / distances[:, 1:]
    assert gaps.min() > 1e-6, "two distances that f32 may not tell apart: take other points"
    return indices[:, :k].astype(np.int32), np.ascontiguousarray(distances[:, :k])


def joint_probabilities(indices, distances):
    """openTSNE's p_ij on the distances as f32 holds them; scikit-learn's must be the same to its search's tolerance."""
    distances = distances.astype(np.float32).astype(np.float64)
    joint = openTSNE.affinity.joint_probabilities_nn(indices, distances, [PERPLEXITY]).tocsr()
    joint.sort_indices()
    squared = scipy.sparse.csr_array((distances.ravel() ** 2, indices.ravel(), np.arange(0, N * K + 1, K)), shape=(N, N))
    other = _t_sne._joint_probabilities_nn(squared, PERPLEXITY, 0).toarray()
    assert np.abs(joint.toarray() - other).max() < 1e-4 * other.max(), "openTSNE and scikit-learn disagree"
    return joint


def map_and_gradient(joint, dimensions):
    """scikit-learn's exact KL and gradient (4 times Lexiscope's and openTSNE's) at random positions."""
    positions = np.random.default_rng(dimensions).normal(0, 4, (N, dimensions)).astype(np.float32)
    dense = positions.astype(np.float64)
    kl, gradient = _t_sne._kl_divergence(
        dense.ravel(), squareform(joint.toarray(), checks=False), 1, N, dimensions
    )
    gradient = gradient.reshape(N, dimensions) / 4
    if dimensions == 2:  # Barnes-Hut with an opening angle of 0 opens every cell
        _, other = openTSNE.tsne.kl_divergence_bh(dense, joint, dof=1, bh_params={"theta": 0.0})
        assert np.abs(gradient - other).max() < 1e-9, "openTSNE and scikit-learn disagree"
    return positions, gradient, kl


README = """\
# Golden files

`scripts/goldens.sh` makes every file here with scikit-learn and openTSNE, in double; `tests/parity_test.cpp` holds each
engine against them. All belong to `points.npy`: 200 points in 17 dimensions, off the origin.

| file | shape | what | by |
|---|---|---|---|
| points | [200, 17] f32 | five Gaussian blobs | `numpy.random.default_rng(17)` |
| pca_mean, pca_eigenvalues, pca_components, pca_scores | [17], [17], [17, 17], [200, 17] | centred PCA; \
eigenvalues are scikit-learn's times (N - 1) / N; each component's largest entry is positive | `sklearn.decomposition.PCA` |
| pca_uncentered_eigenvalues, pca_uncentered_components | [16], [16, 17] | the same without centring | `TruncatedSVD` |
| euclidean_indices, euclidean_distances | [200, 30] | exact neighbours | `NearestNeighbors(algorithm="brute")` |
| cosine_indices, cosine_distances | [200, 10] | exact neighbours by 1 - cosine | `NearestNeighbors(algorithm="brute")` |
| affinities_offsets, affinities_columns, affinities_values | [201], [n], [n] | symmetric p_ij at perplexity 10 over \
the 30 neighbours, their distances rounded to f32 | `openTSNE.affinity.joint_probabilities_nn` |
| tsne_2d_positions, tsne_3d_positions | [200, 2 or 3] f32 | random maps | `numpy.random` |
| tsne_2d_gradient, tsne_3d_gradient | [200, 2 or 3] | exact gradient there, a quarter of scikit-learn's | \
`sklearn.manifold._t_sne._kl_divergence` |
| tsne_kl | [2] | true KL of the two maps, nats | the same |

Where two of them compute the same thing the script checks that they agree.

"""


def main():
    DATA.mkdir(parents=True, exist_ok=True)
    points = make_points()
    exact = points.astype(np.float64)
    arrays = {"points": points, **principal_components(exact)}
    indices, distances = nearest_neighbors(exact, "euclidean", K)
    arrays["euclidean_indices"], arrays["euclidean_distances"] = indices, distances
    arrays["cosine_indices"], arrays["cosine_distances"] = nearest_neighbors(exact, "cosine", 10)

    joint = joint_probabilities(indices, distances)
    arrays["affinities_offsets"] = joint.indptr.astype(np.int64)
    arrays["affinities_columns"] = joint.indices.astype(np.int32)
    arrays["affinities_values"] = joint.data
    kl = {}
    for dimensions in (2, 3):
        positions, gradient, kl[dimensions] = map_and_gradient(joint, dimensions)
        arrays[f"tsne_{dimensions}d_positions"], arrays[f"tsne_{dimensions}d_gradient"] = positions, gradient
    arrays["tsne_kl"] = np.array([kl[2], kl[3]])

    for name, array in arrays.items():
        np.save(DATA / f"{name}.npy", np.ascontiguousarray(array))
    versions = {"Python": platform.python_version(), "NumPy": np.__version__, "SciPy": scipy.__version__}
    versions |= {"scikit-learn": sklearn.__version__, "openTSNE": openTSNE.__version__}
    made_with = "Made with " + ", ".join(f"{name} {version}" for name, version in versions.items()) + "."
    (DATA / "README.md").write_text(README + made_with + "\n")
    print(f"{len(arrays)} arrays in {DATA}. {made_with}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
