"""Clusters handwritten digits in a space that is learnt together with the clusters.

    python -m tfkm.examples.deep_clusters             # 50 s of processor time

scikit-learn's 1797 digits of 8×8, without their labels, which serve only to judge what comes out. First
an autoencoder learns to restore images that were turned, moved and scaled a little, and k-means clusters
what it makes of the images. Then these clusters become the codes of a `tfkm.layers.VectorQuantizer`, and
encoder and codes train on together: a distorted image should be nearest to the code of the image itself, by
the cross entropy of softmax(−squared distance / temperature). Codes follow as moving averages, no gradient
pulls them together. The idea is that of Caron et al. (2018), "Deep Clustering for Unsupervised Learning of
Visual Features"; the distances are `tfkm.ops.sq_distances`, which are differentiable.
"""

from __future__ import annotations

import time

import click
import numpy as np
from tqdm.auto import tqdm

import tfkm
from tfkm import cli, datasets

PROGRAM = "python -m tfkm.examples.deep_clusters"
CLUSTERS, SIDE, WIDTH, BATCH = 10, 8, 10, 256
TEMPERATURE, WEIGHT = 2.0, 0.02  # of the cross entropy
DISTORTED = 12  # versions of each image, which the epochs take in turn


@click.command()
@click.option(
    "--epochs", type=click.IntRange(1), default=200, show_default=True, help="Of the autoencoder."
)
@click.option(
    "--further", type=click.IntRange(1), default=80, show_default=True, help="With the codes."
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
def command(epochs, further, seed) -> None:
    """Cluster digits in a space that is learnt together with the clusters."""
    cli.import_quietly(tensorflow=True)
    digits = datasets.load("digits")
    assert digits.labels is not None
    images = digits.points.astype(np.float32) / np.float32(digits.points.max())
    click.echo(f"{len(images):,} images of {images.shape[1]} pixels\n")
    click.echo("clusters of                     NMI     ARI   accuracy")
    began = time.perf_counter()
    for name, labels in results(images, epochs, further, seed):
        nmi, ari, accuracy = scores(labels, digits.labels)
        click.echo(f"{name:<27}{nmi:8.3f}{ari:8.3f}{accuracy:11.3f}")
    click.echo(f"\n{time.perf_counter() - began:.0f} s")


def results(images: np.ndarray, epochs: int, further: int, seed: int):
    """Names of what was clustered, and the clusters (n,)."""
    import keras

    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    versions = [distorted(images, rng) for _ in range(DISTORTED)]

    kmeans = tfkm.KMeans(CLUSTERS, n_init=10, random_state=seed)
    yield "pixels", kmeans.fit_predict(images)

    encoder, decoder = _networks(keras)
    model = keras.Sequential([encoder, decoder])
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    for epoch in _shown(epochs, "autoencoder"):
        model.fit(versions[epoch % DISTORTED], images, batch_size=BATCH, verbose=0)
    yield "an autoencoder's space", kmeans.fit_predict(encoder.predict(images, verbose=0))

    quantizer = tfkm.layers.VectorQuantizer(CLUSTERS, decay=0.9, commitment=0.0)
    quantizer.build((None, WIDTH))
    in_a_batch = np.bincount(kmeans.labels_, minlength=CLUSTERS) * BATCH / len(images)
    quantizer.start_from(kmeans.cluster_centers_, in_a_batch)
    together = _together(keras, encoder, decoder, quantizer)
    together.compile(keras.optimizers.Adam(5e-4), "mse")
    for epoch in _shown(further, "together with codes"):
        pairs = [images, versions[epoch % DISTORTED]]
        together.fit(pairs, images, batch_size=BATCH, verbose=0)
    codes = quantizer.encode(encoder.predict(images, verbose=0))
    yield "space and codes together", codes.numpy()


def _shown(epochs: int, name: str):
    """The numbers of the epochs, with a bar on a terminal."""
    return tqdm(range(epochs), name, unit=" epochs", disable=None, leave=False)


def _networks(keras):
    """The encoder, whose outputs keep their scale, and the decoder."""
    layers = keras.layers

    def network(width: int, *last):
        hidden = [layers.Dense(256, "relu"), layers.Dense(256, "relu")]
        return keras.Sequential([keras.Input((width,)), *hidden, *last])

    normed = layers.BatchNormalization(center=False, scale=False)
    pixels = layers.Dense(SIDE * SIDE, "sigmoid")
    return network(SIDE * SIDE, layers.Dense(WIDTH), normed), network(WIDTH, pixels)


def _together(keras, encoder, decoder, quantizer):
    """A model of pairs (images, distorted images) -> restored images, with the loss of the codes."""

    class Together(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder, self.quantizer = encoder, decoder, quantizer

        def call(self, pairs, training: bool = False):
            images, others = (self.encoder(some, training=training) for some in pairs)
            self.quantizer(images, training=training)
            labels = self.quantizer.encode(images)
            logits = -tfkm.ops.sq_distances(others, self.quantizer.codes) / TEMPERATURE
            entropy = keras.ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
            self.add_loss(WEIGHT * keras.ops.mean(entropy))
            return self.decoder(others)

    return Together()


def distorted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each image (n, 64) turned by about 10°, moved by half a pixel and scaled by 5 %."""
    from scipy import ndimage

    middle, result = (SIDE - 1) / 2, np.empty_like(images)
    for image, out in zip(images.reshape(-1, SIDE, SIDE), result, strict=True):
        angle, scale = np.deg2rad(10 * rng.normal()), 1 + 0.05 * rng.normal()
        cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
        turn = np.array([[cosine, -sine], [sine, cosine]])
        offset = middle - turn @ [middle, middle] + 0.5 * rng.normal(size=2)
        out[:] = ndimage.affine_transform(image, turn, offset, order=1).ravel()
    return result


def scores(clusters: np.ndarray, digits: np.ndarray) -> tuple[float, float, float]:
    """Normalised mutual information, adjusted Rand index, and the share that is right if each cluster is
    given a digit of its own (Kuhn 1955).

    >>> scores(np.array([1, 1, 0]), np.array([0, 0, 1]))
    (1.0, 1.0, 1.0)
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn import metrics

    counts = metrics.cluster.contingency_matrix(digits, clusters)
    rows, columns = linear_sum_assignment(-counts)
    return (
        float(metrics.normalized_mutual_info_score(digits, clusters)),
        float(metrics.adjusted_rand_score(digits, clusters)),
        float(counts[rows, columns].sum() / len(digits)),
    )


if __name__ == "__main__":
    cli.run(command, PROGRAM)
