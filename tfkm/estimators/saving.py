"""Saving a fitted estimator: to a model file, or for programs without tfkm."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from tfkm import checks
from tfkm._version import __version__
from tfkm.data import arrays
from tfkm.estimators import centers, state
from tfkm.saving import fields, model_files
from tfkm.types import Assignment

if TYPE_CHECKING:
    from typing_extensions import Self

# The dtype that each converted format computes in.
_CONVERTED = {"onnx": "float64", "tflite": "float32"}
_FLOATS = "float32 float64"
_FORMATS = ("saved_model", *_CONVERTED)


class Kept:
    """A mixin with `save` and `export`, for estimators with the attributes below."""

    cluster_centers_: np.ndarray  # or whatever a user has set; in a graph a variable
    n_features_in_: int
    labels_: Any
    _centers: Any
    backend: str | None
    _assigned_tensors: Callable[[Any], Assignment]
    _distances_tensors: Callable[[Any], Any]
    _in_metric: Callable[[Any], Any]

    # The names of the attributes that fit sets, with the class of those that are records.
    _LEARNT: dict[str, type | None] = {
        "cluster_centers_": None,
        "labels_": None,
        "inertia_": None,
        "n_features_in_": None,
        "feature_names_in_": None,
    }

    def save(self, path: str | os.PathLike, *, force: bool = False) -> None:
        """Write all that a fitted model knows to a file that `tfkm.load` reads.

        The file is an NPZ archive with JSON in it, and is written whole or not at all. Points and
        sample weights are left out, but `labels_` is kept. `callbacks`, `engine` and
        `checkpoint_dir` are left out.

        Args:
            path: Where to write, with any suffix.
            force: Whether a file that exists is overwritten.

        Raises:
            NotFittedError: There was no fit yet.
            FileExistsError: There is a file, and `force` is false.
            FileNotFoundError: The folder does not exist.
            OSError: The file cannot be written. A file that was there before stays.
            TypeError: `init` is a callable of your own, or the estimator is of a class of your own.

        Examples:
            >>> import tempfile, numpy as np, tfkm
            >>> path = tempfile.mkdtemp() + "/model.npz"
            >>> tfkm.KMeans(2, random_state=0).fit(np.float32([[0.0], [1.0], [9.0]])).save(path)
            >>> tfkm.load(path).n_iter_
            2
        """
        check_is_fitted(self)
        if not type(self).__module__.startswith("tfkm."):
            raise TypeError(f"{type(self).__name__}: only estimators of tfkm itself can be saved")
        model = state.model_of(self, self._settled()._known())
        model_files.write(path, model, version=__version__, force=force)

    def _known(self) -> dict[str, Any]:
        """Return the attributes that fit has set."""
        return {name: vars(self)[name] for name in self._LEARNT if name in vars(self)}

    def _settled(self) -> Self:
        """Return a shallow copy in which all fitted attributes belong to the current centers."""
        settled = copy.copy(self)
        settled.cluster_centers_ = centers.finite(self._centers)
        k, settled.n_features_in_ = settled.cluster_centers_.shape
        labels = vars(self).get("labels_")
        # Labels of clusters that no longer exist.
        if labels is not None and labels.max(initial=0) >= k:
            del settled.labels_
        return settled

    def _check_learnt(self) -> None:
        """Check that the fitted attributes are as a fit leaves them, and belong together.

        Raises:
            ValueError: They are not; the message names the attribute.
        """
        own = fields.rows("cluster_centers_", self.cluster_centers_, _FLOATS, None, None)
        fields.check(own.size, "cluster_centers_", "at least one")
        (k, d), known = own.shape, vars(self)
        fields.count("n_features_in_", known["n_features_in_"], d, d)
        centers.finite(self._centers)  # with metric="cosine" raises for a center of zeros
        if known.get("labels_") is not None:  # None after a fit of a stream
            labels = fields.array("labels_", known["labels_"], "int32", None)
            fields.within("labels_", labels, 0, k - 1, f"numbers from 0 to {k - 1}")
        if "feature_names_in_" in known:
            names = known["feature_names_in_"]
            is_texts = isinstance(names, np.ndarray) and names.dtype.hasobject
            fields.check(is_texts and names.shape == (d,), "feature_names_in_", f"{d} texts")
        inertia = known.get("inertia_", 0.0)
        fields.check(isinstance(inertia, float) and inertia >= 0, "inertia_", "a number ≥ 0")
        for name in ("n_iter_", "n_steps_"):
            fields.count(name, known.get(name, 0))

    def export(
        self,
        path: str | os.PathLike,
        *,
        format: str = "saved_model",
        dtypes: Sequence[str] | None = None,
        backend: str = "portable",
    ) -> None:
        """Write the model for programs that do not have tfkm, with its labels and distances.

        A SavedModel needs TensorFlow alone. Its signatures take `points` (n, d), n unknown:
        `predict` gives `labels` (n,) int32 and `distances` (n,) to the center of that label,
        `transform` gives `distances` (n, k), and `serving_default` is `predict`. They take the
        first dtype; `predict_uint8` and the like take the others. What `tf.saved_model.load`
        returns also has functions that choose by dtype, `predict(points)` and `transform(points)`,
        and `cluster_centers`. A bad value in points raises `tf.errors.InvalidArgumentError` when
        the model runs.

        ONNX and TFLite files have `predict` alone, as one matrix product: they hold n×k distances,
        and a value that is not finite may get any label. ONNX computes in float64, and counts
        centers that it cannot tell apart as tied. TFLite computes in float32, where a point may get
        another label if its distances to two centers agree to some 10⁻⁶. The tree of a
        `tfkm.BisectingKMeans` is converted to neither.

        Args:
            path: A folder for a SavedModel, whose files in it are replaced; else a file, which is
                replaced if it exists. If the disk is full, what was there before stays.
            format: "saved_model", "onnx" (needs the extra `onnx`) or "tflite".
            dtypes: Of points; None for float32 and uint8, and float64 if the centers are. Centers
                in float64 make all distances float64, but a point that was rounded to float32
                before may have another label. ONNX and TFLite take one dtype, None for float32.
            backend: "portable" is stock ops in float64 and bounded memory. Another name gives the
                graph of that backend: "native" is several times faster, and loads only after
                `import tfkm; tfkm.backends()`; "xla" loads only where TensorFlow has XLA.

        Raises:
            NotFittedError: There was no fit yet.
            ValueError: The format, a dtype or the backend is not one of these.
            RuntimeError: The backend cannot be used here.
            ImportError: tf2onnx or TensorFlow is not installed.
            OSError: The path cannot be written.

        Examples:
            >>> import numpy as np, tempfile, tensorflow as tf, tfkm
            >>> model = tfkm.KMeans(2, random_state=0).fit(np.float32([[0.0], [1.0], [9.0]]))
            >>> path = tempfile.mkdtemp()
            >>> model.export(path)
            >>> served = tf.saved_model.load(path)
            >>> out = served.signatures["serving_default"](points=tf.constant([[8.0], [0.5]]))
            >>> bool((out["labels"].numpy() == model.predict([[8.0], [0.5]])).all())
            True
            >>> out["distances"].numpy()
            array([1., 0.], dtype=float32)
        """
        check_is_fitted(self)
        checks.path("path", path)
        if format not in _FORMATS:
            raise ValueError(f"format: {format!r}; allowed are {', '.join(map(repr, _FORMATS))}")
        arrays.tensorflow_for("export")
        from tfkm.saving import export

        if format != "saved_model":
            self._convert(path, format, export.one_dtype(dtypes, format), backend)
            return
        served = self._settled()
        served.backend = backend
        variables = served._hold_variables()

        def predict(points) -> dict[str, Any]:
            labels, sq_distances = served._assigned_tensors(points)
            return {"labels": labels, "distances": served._in_metric(sq_distances)}

        def transform(points) -> dict[str, Any]:
            return {"distances": served._distances_tensors(points)}

        if dtypes is None:
            wide = ["float64"] * (self._centers.dtype == np.float64)
            dtypes = ["float32", "uint8", *wide]
        functions = {"predict": predict, "transform": transform}
        export.saved_model(path, functions, variables, dtypes, backend)

    def _convert(self, path: str | os.PathLike, format: str, dtype: str, backend: str) -> None:
        """Write the model as an ONNX or TFLite file."""
        if backend != "portable":
            raise ValueError(f"backend: {backend!r}; format={format!r} has none but 'portable'")
        from tfkm.saving import export, flat_graph

        metric = getattr(self, "metric", "euclidean")
        own = self._settled().cluster_centers_
        function = flat_graph.predict(own, metric, _CONVERTED[format])
        getattr(export, format)(path, function, own.shape[1], dtype)

    def _hold_variables(self) -> dict[str, Any]:
        """Put the fitted attributes into variables for a graph, and return these by name."""
        import tensorflow as tf

        self.cluster_centers_ = tf.Variable(self.cluster_centers_, trainable=False)
        return {"cluster_centers": self.cluster_centers_}
