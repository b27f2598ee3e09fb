"""Keras 3 layers, on Keras' TensorFlow backend.

The name follows `keras.layers`. A module `tfkm.keras` would hide Keras where both are imported.
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
    """Give the nearest of fixed centroids, or the distances to all of them.

    Inputs are (…, d) of any dtype that `tfkm.assign` takes, and are not cast before; outputs are
    (…) or (…, k).

    Args:
        centroids: (k, d) float32 or float64, such as `KMeans.cluster_centers_`. They are a weight
            of the layer, keep their dtype under any policy, and are not trained.
        output: "labels" are int32 and have no derivative. "distances" (not squared) are
            differentiable with respect to the inputs, in the compute dtype of the policy.
        metric: "euclidean" or "cosine", as for `tfkm.KMeans`.
        backend: A name from `tfkm.backends`; None takes the fastest usable one where the layer is
            called.
        **options: Options of `keras.layers.Layer`, such as `name`.

    Raises:
        ValueError: An argument has a value that is not allowed; or, when the layer is called, an
            input has another width or is not finite.
        TypeError: An argument or an input has a wrong type or dtype.
        RuntimeError: The named backend cannot be used where the layer is called.

    Examples:
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
        """Return a layer whose centroids are zeros; Keras then loads the weights."""
        config = dict(config)
        zeros = np.zeros(config.pop("shape"), config.pop("centroids_dtype"))
        return cls(zeros, **config)


@keras.saving.register_keras_serializable(package="tfkm")
class VectorQuantizer(keras.layers.Layer):
    """Replace each vector by the nearest of k codes, which follow the vectors in training.

    Inputs are (…, d) of a float dtype; outputs have the same shape and dtype.

    In training a code is the mean of the vectors that were ever nearest to it, those of t batches
    ago with weight decayᵗ; no optimiser touches it. A code is dead when it weighs less than one
    vector of `patience` batches ago. It then takes the vector of the batch that is farthest from
    its code, as an empty cluster of `tfkm.KMeans` does. So at the first batch, codes that no vector
    is near to move into the data. It is better to begin with codes that are spread over it:
    `start_from(tfkm.kmeans_plusplus(vectors, k).centroids)`.

    Backwards the layer is the identity (the straight-through estimator). It adds commitment · the
    mean of (x − code)² to the losses of the model, which pulls the vectors to their codes.

    Codes are kept in the variable dtype of the policy, their sums in float64. The sums are exact,
    so equal seeds give equal codes to the bit. Moving dead codes calls Python, so XLA cannot
    compile a training step (Keras' default, `jit_compile="auto"`, knows that). Replicas of a
    `tf.distribute` strategy learn as one, from all their batches, which each of them gathers in
    every step.

    Args:
        n_codes: k, ≥ 1.
        decay: How much of a vector's weight is left after a batch, in [0, 1).
        commitment: The factor of the loss, ≥ 0.
        patience: After how many batches without a vector a code is dead, ≥ 0.
        initializer: The codes before the first batch, as a Keras layer takes it.
        backend: A name from `tfkm.backends`; None takes the fastest usable one where the layer is
            called.
        **options: Options of `keras.layers.Layer`, such as `name`.

    Raises:
        ValueError: An argument has a value that is not allowed; or, when the layer is called, an
            input has another width or is not finite.
        TypeError: An argument or an input has a wrong type or dtype.
        RuntimeError: The named backend cannot be used where the layer is called.

    References:
        van den Oord, Vinyals & Kavukcuoglu (2017), "Neural Discrete Representation Learning",
        appendix A.1.

        Bengio, Léonard & Courville (2013), "Estimating or propagating gradients through stochastic
        neurons for conditional computation", for the straight-through estimator.

    Examples:
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
            # All replicas learn the same, so the first one's value is taken.
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
        """Set the codes of a layer that is built, as means of vectors of these weights.

        Args:
            codes: (k, d) real numbers.
            weights: () or (k,), how many vectors each code counts for.

        Raises:
            ValueError: Codes or weights have another shape.
            AttributeError: The layer is not built.

        Examples:
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
        """Return the index of the code of each vector.

        Args:
            inputs: (…, d) of a float dtype.

        Returns:
            (…) int32.

        Raises:
            ValueError: As for `tfkm.assign`.
            TypeError: As for `tfkm.assign`.
            AttributeError: The layer is not built.

        Examples:
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
        """Update the codes from a batch, or from the batches of all replicas."""
        points, sums, weights = tf.cast(points, tf.float32), statistics.sums, statistics.weights
        replica = tf.distribute.get_replica_context()
        if replica is not None and replica.num_replicas_in_sync > 1:
            sums, weights = replica.all_reduce(tf.distribute.ReduceOp.SUM, [sums, weights])
            parts = (points, *assignment)  # a dead code takes the farthest vector of all replicas
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
        """Return sums, weights and codes after a batch in which each vector has weight 1 − decay."""
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
    """Return outputs; the gradient is that of inputs."""
    return tf.identity(outputs), lambda upstream: (upstream, None)
