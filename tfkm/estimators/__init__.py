"""The scikit-learn face: estimators that hold parameters and results, and no arithmetic."""

from tfkm.estimators.bisecting import BisectingKMeans as BisectingKMeans
from tfkm.estimators.kmeans import KMeans as KMeans
from tfkm.estimators.minibatch import MiniBatchKMeans as MiniBatchKMeans
