"""The scikit-learn interface: estimators that hold parameters and results, and do no arithmetic."""

import os

from tfkm.estimators import state
from tfkm.estimators.bisecting import BisectingKMeans as BisectingKMeans
from tfkm.estimators.kmeans import KMeans as KMeans
from tfkm.estimators.minibatch import MiniBatchKMeans as MiniBatchKMeans
from tfkm.saving import model_files

_KINDS = {kind.__name__: kind for kind in (BisectingKMeans, KMeans, MiniBatchKMeans)}


def load(path: str | os.PathLike) -> BisectingKMeans | KMeans | MiniBatchKMeans:
    """Return the fitted estimator that `save`, or the command `tfkm fit`, has written to a file.

    It predicts, transforms and scores as the one that was saved, bit for bit, and a
    `MiniBatchKMeans` goes on learning so. Loading runs nothing that is in the file, and takes no
    more memory than a few times its size, so a file may come from anyone.

    Args:
        path: The file.

    Returns:
        An estimator of the class that was saved.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is something else, damaged, of another version of the format, or holds
            what no estimator can have learnt. The message names the file.

    Examples:
        >>> import tempfile, numpy as np, tfkm
        >>> path = tempfile.mkdtemp() + "/model.npz"
        >>> model = tfkm.MiniBatchKMeans(2, random_state=0).fit(np.float32([[0.0], [1.0], [9.0]]))
        >>> model.save(path)
        >>> tfkm.load(path).predict([[8.0]]) == model.predict([[8.0]])
        array([ True])
    """
    model = model_files.read(path)
    if not isinstance(model.kind, str) or model.kind not in _KINDS:
        raise ValueError(f"{path}: kind {model.kind!r}; this tfkm has {', '.join(_KINDS)}")
    try:
        return state.estimator_of(model, _KINDS[model.kind])
    except Exception as error:  # a field of any type may be where another is expected
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: not what a {model.kind} is saved as: {reason}") from error
