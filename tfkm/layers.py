"""Keras 3 layers, on Keras' TensorFlow backend.

Named as `keras.layers` is; a module `tfkm.keras` would hide Keras itself where both are imported.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfkm import checks
from tfkm.lloyd import spherical, update
from tfkm.lloyd.empty_clusters import refilled
from tfkm.ops import tensors as ops
from tfkm.ops import validate
from tfkm.types import Assignment, Statistics

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"tfkm.layers: Keras runs on {keras.backend.backend()!r}; it needs 'tensorflow'"
    )

_OUTPUTS = ("labels", "distances")


@keras.saving.register_keras_serializable(package="tfkm")
class NearestCentroid(keras.layers.Layer):
    """The nearest of centroids that do not change, or the distances to all.

    Args:
      centroids: (k, d) float32 or float64, as `KMeans.cluster_centers_`. They are a weight of the layer, in
        their own dtype under any policy, and nothing trains them.
      output: "labels", int32, without a derivative; or "distances" (not squared), differentiable with
        respect to the inputs, in the policy's compute dtype.
      metric: "euclidean" or "cosine", as for `KMeans`.
      backend: a name from `tfkm.backends()`; None takes the fastest usable one where the layer is called.

    Inputs (…, d) of any dtype that `tfkm.assign` takes, not cast before; outputs (…) or (…, k).

    Raises:
      ValueError, TypeError: an argument is not as above; an input is of another width or not finite, as
        `tfkm.assign` says. RuntimeError: the named backend cannot be used where the layer is called.

    >>> import numpy as np, tfkm
    >>> layer = tfkm.layers.NearestCentroid(np.float32([[0.0, 0.0], [9.0, 9.0]]))
    >>> layer(np.float32([[1.0, 0.0], [9.0, 8.0]])).numpy()
    array([0, 1], dtype=int32)
    """

    def __init__(
        self,
        centroids,
        *,
        output: str = "labels",
        metric: str = "euclidean",
        backend: str | None = None,
        **options: Any,
    ) -> None:
        for name, value, allowed in (
            ("output", output, _OUTPUTS),
            ("metric", metric, spherical.METRICS),
        ):
            if value not in allowed:
                raise ValueError(f"{name}: {value!r}; allowed are {', '.join(map(repr, allowed))}")
        given = validate.matrix("centroids", centroids, (tf.float32, tf.float64))
        super().__init__(**{"trainable": False, **options}, autocast=False)
        self.output_kind, self.metric, self.backend_name = output, metric, backend
        self.centroids = self.add_weight(
            shape=given.shape,
            initializer=lambda shape, dtype: tf.cast(given, dtype),
            dtype=given.dtype.name,
            trainable=False,
            autocast=False,
            name="centroids",
        )
        self.built = True

    def call(self, inputs):
        d = self.centroids.shape[1]
        points = tf.reshape(inputs, [-1, d])
        leading = tf.shape(inputs)[:-1]
        centroids, zeros = tf.convert_to_tensor(self.centroids), None
        if self.metric == "cosine":
            points, zeros = ops.unit_rows(points, self.backend_name)
        if self.output_kind == "labels":
            labels = ops.assign(points, centroids, backend=self.backend_name).labels
            labels = labels if zeros is None else tf.where(zeros, 0, labels)
            return tf.reshape(labels, leading)
        distances = ops.sq_distances(points, centroids, backend=self.backend_name)
        if zeros is None:
            distances = tf.sqrt(distances)
        else:
            distances = tf.where(zeros[:, None], tf.ones_like(distances), distances / 2)
        shape = tf.concat([leading, [centroids.shape[0]]], axis=0)
        return tf.cast(tf.reshape(distances, shape), self.compute_dtype)

    def compute_output_spec(self, inputs):
        leading = tuple(inputs.shape[:-1])
        if self.output_kind == "labels":
            return keras.KerasTensor(leading, dtype="int32")
        return keras.KerasTensor((*leading, self.centroids.shape[0]), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "shape": list(self.centroids.shape),
            "centroids_dtype": keras.backend.standardize_dtype(self.centroids.dtype),
            "output": self.output_kind,
            "metric": self.metric,
            "backend": self.backend_name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> NearestCentroid:
        """With centroids of zero, over which the weights are then loaded."""
        config = dict(config)
        zeros = np.zeros(config.pop("shape"), config.pop("centroids_dtype"))
        return cls(zeros, **config)


@keras.saving.register_keras_serializable(package="tfkm")
class VectorQuantizer(keras.layers.Layer):
    """Each vector becomes the nearest of k codes, which follow the vectors while the model trains.

    In training a code is the mean of the vectors that were ever nearest to it, those of t batches ago with
    weight decayᵗ; no optimiser touches it. A code is dead when it weighs less than one vector of
    `patience` batches ago, and then takes the vector of the batch that is farthest from its code, as an
    empty cluster of `KMeans` does. So at the first batch codes that nothing is near to move into the data;
    better to begin with codes that are spread over it, by
    `start_from(tfkm.kmeans_plusplus(vectors, k).centroids)`.

    Backwards, the layer is the identity (the straight-through estimator), and adds to the model's losses
    commitment · the mean of (x − code)², which pulls the vectors to their codes.

    Args:
      n_codes: k. decay: in [0, 1). commitment: ≥ 0. patience: ≥ 0, in batches.
      initializer: of the codes before the first batch, as a Keras layer takes it.
      backend: as for `NearestCentroid`.

    Inputs (…, d) of a float dtype; outputs the same. Codes are kept in the policy's variable dtype, their
    sums in float64: exact and in any order the same, so that equal seeds give equal codes to the bit. To
    move dead codes Python is called, so a training step is not one that XLA compiles (Keras' default,
    `jit_compile="auto"`, knows that). Replicas of a `tf.distribute` strategy learn as one, from all their
    batches, which each gathers in every step.

    Raises:
      ValueError, TypeError: an argument is not as above, or an input as `tfkm.assign` says.
      RuntimeError: the named backend cannot be used where the layer is called.

    Sources: van den Oord, Vinyals & Kavukcuoglu (2017), "Neural Discrete Representation Learning", appendix
    A.1; Bengio, Léonard & Courville (2013) for the straight-through estimator.

    >>> import numpy as np, tfkm
    >>> layer = tfkm.layers.VectorQuantizer(2, decay=0.9)
    >>> x = np.float32([[0.0], [1.0], [9.0]])
    >>> for _ in range(50):
    ...     _ = layer(x, training=True)
    >>> sorted(layer(x).numpy().round(2).ravel().tolist())
    [0.5, 0.5, 9.0]
    """

    def __init__(
        self,
        n_codes: int,
        *,
        decay: float = 0.99,
        commitment: float = 0.25,
        patience: int = 100,
        initializer: Any = "random_normal",
        backend: str | None = None,
        **options: Any,
    ) -> None:
        checks.check_number("n_codes", n_codes, Integral, 1)
        for name, value in ("decay", decay), ("commitment", commitment), ("patience", patience):
            checks.check_number(name, value, Real, 0)
        if decay >= 1:
            raise ValueError(f"decay: {decay!r}; it needs a number below 1")
        super().__init__(**options)
        self.supports_jit = False
        self.n_codes, self.decay, self.commitment = n_codes, decay, commitment
        self.patience, self.backend_name = patience, backend
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape) -> None:
        shape = (self.n_codes, input_shape[-1])

        def weight(name: str, shape, **options):
            # Replicas of a strategy all learn the same, so that of the first is taken.
            return self.add_weight(
                name=name,
                shape=shape,
                trainable=False,
                autocast=False,
                aggregation="only_first_replica",
                **options,
            )

        self.codes = weight("codes", shape, initializer=self.initializer)
        self.code_sums = weight("code_sums", shape, initializer="zeros", dtype="float64")
        self.code_weights = weight("code_weights", shape[:1], initializer="zeros", dtype="float64")

    def start_from(self, codes, weights=1.0) -> None:
        """Sets the codes (k, d), of a built layer, as means of vectors of these weights, () or (k,).

        Raises: ValueError: codes or weights have another shape. AttributeError: the layer is not built.

        >>> import numpy as np, tfkm
        >>> layer = tfkm.layers.VectorQuantizer(2)
        >>> layer.build((None, 1))
        >>> layer.start_from([[0.0], [9.0]])
        >>> layer(np.float32([[1.0], [8.0]])).numpy().ravel()
        array([0., 9.], dtype=float32)
        """
        codes = np.asarray(codes, np.float64)
        weights = np.broadcast_to(np.asarray(weights, np.float64), len(codes))
        self.codes.assign(codes)
        self.code_weights.assign(weights)
        self.code_sums.assign(codes * weights[:, None])

    def encode(self, inputs) -> tf.Tensor:
        """(…) int32, the code of each vector (…, d).

        Raises: as `tfkm.assign`. AttributeError: the layer is not built.

        >>> import numpy as np, tfkm
        >>> layer = tfkm.layers.VectorQuantizer(2)
        >>> layer.build((None, 1))
        >>> layer.start_from([[0.0], [9.0]])
        >>> layer.encode(np.float32([[[1.0], [8.0]]])).numpy()
        array([[0, 1]], dtype=int32)
        """
        points = tf.reshape(inputs, [-1, self.codes.shape[1]])
        labels = ops.assign(points, self.codes, backend=self.backend_name).labels
        return tf.reshape(labels, tf.shape(inputs)[:-1])

    def call(self, inputs, training: bool = False):
        points = tf.reshape(inputs, [-1, self.codes.shape[1]])
        codes = tf.convert_to_tensor(self.codes)
        if training:
            assignment, statistics = ops.accumulate(points, codes, backend=self.backend_name)
            self._learn(points, assignment, statistics)
        else:
            assignment = ops.assign(points, codes, backend=self.backend_name)
        loss = tf.reduce_mean(assignment.sq_distances) / points.shape[1]
        self.add_loss(self.commitment * loss)
        quantized = tf.cast(tf.gather(codes, assignment.labels), inputs.dtype)
        return _straight_through(inputs, tf.reshape(quantized, tf.shape(inputs)))

    def compute_output_spec(self, inputs, training: bool = False):
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def _learn(self, points: tf.Tensor, assignment: Assignment, statistics: Statistics) -> None:
        points, sums, weights = tf.cast(points, tf.float32), statistics.sums, statistics.weights
        replica = tf.distribute.get_replica_context()
        if replica is not None and replica.num_replicas_in_sync > 1:
            sums, weights = replica.all_reduce(tf.distribute.ReduceOp.SUM, [sums, weights])
            parts = (points, *assignment)  # for dead codes, the farthest of all
            points, *own = (replica.all_gather(part, axis=0) for part in parts)
            assignment = Assignment(*own)
        arguments = [
            points, *assignment, sums, weights,
            *map(tf.convert_to_tensor, (self.code_sums, self.code_weights, self.codes)),
        ]  # fmt: skip
        dtypes = [tf.float64, tf.float64, tf.float64]
        results = tf.numpy_function(self._learnt, arguments, dtypes, stateful=False)
        for variable, value in zip(
            (self.code_sums, self.code_weights, self.codes), results, strict=True
        ):
            variable.assign(tf.cast(tf.ensure_shape(value, variable.shape), variable.dtype))

    def _learnt(self, points, labels, sq_distances, sums, weights, old_sums, old_weights, codes):
        """Sums, weights and codes after a batch, of which each vector is worth 1 − decay."""
        share = 1 - self.decay
        sums, weights = (
            self.decay * old_sums + share * sums,
            self.decay * old_weights + share * weights,
        )
        dead = weights < share * self.decay**self.patience
        sums[dead], weights[dead] = 0.0, 0.0
        shares = np.full(len(points), share)
        learnt = refilled(
            Statistics(sums, weights, np.nan),
            labels,
            sq_distances,
            shares,
            lambda rows: points[rows],
        )
        return learnt.sums, learnt.weights, update.means(learnt, codes)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "n_codes": self.n_codes,
            "decay": self.decay,
            "commitment": self.commitment,
            "patience": self.patience,
            "initializer": keras.initializers.serialize(self.initializer),
            "backend": self.backend_name,
        }


@tf.custom_gradient
def _straight_through(inputs: tf.Tensor, outputs: tf.Tensor):
    """outputs; backwards, inputs."""
    return tf.identity(outputs), lambda upstream: (upstream, None)
