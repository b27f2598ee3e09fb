"""Run in an environment that has tfkm from a wheel or an sdist: that all of it is there and works."""

import importlib.metadata
import importlib.resources
import sys
from pathlib import Path

import numpy as np

import tfkm

for wanted in Path(sys.argv[1]).read_text().split():
    assert importlib.resources.files("tfkm").joinpath(wanted).is_file(), f"missing: {wanted}"
assert importlib.metadata.version("tfkm") == tfkm.__version__
names = [file.name for file in importlib.metadata.files("tfkm")]
assert "LICENSE" in names, "missing: LICENSE"
points = np.float32([[0], [1], [10], [11]])
for backend in "native", None:
    model = tfkm.KMeans(2, random_state=0, backend=backend).fit(points)
    assert model.inertia_ == 1.0 and (model.predict(points) == model.labels_).all()
print(f"tfkm {tfkm.__version__} of {tfkm.__file__} works")
