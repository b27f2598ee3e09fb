"""The state of an estimator, converted to the model of `tfkm.saving.model_files` and back."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tfkm import seeding
from tfkm.ops import backends
from tfkm.saving import fields, model_files

_RANDOM = "MT19937"
# Parameters that are not saved. A file must not choose a folder to write to.
_OF_THE_PROCESS = ("callbacks", "engine", "checkpoint_dir")


def model_of(estimator, learnt: dict[str, Any]) -> model_files.Model:
    """Return the model of an estimator with these fitted attributes.

    Raises:
        TypeError: A parameter cannot be saved, such as a user's callable; the message names it.
    """
    arrays: dict[str, np.ndarray] = {}
    parameters = {
        name: _encoded(name, value, arrays)
        for name, value in estimator.get_params(deep=False).items()
        if name not in _OF_THE_PROCESS
    }
    values = {name: _encoded(name, value, arrays) for name, value in learnt.items()}
    return model_files.Model(type(estimator).__name__, parameters, values, arrays)


def estimator_of(model: model_files.Model, kind: Any):
    """Return the fitted estimator of a class from its model.

    Raises:
        ValueError, TypeError, KeyError: `model_of` cannot have made this model.
    """
    decoded = functools.partial(_decoded, arrays=model.arrays)
    parameters = {name: decoded(value, {}) for name, value in model.parameters.items()}
    if forbidden := parameters.keys() & set(_OF_THE_PROCESS):
        raise ValueError(f"it has {min(forbidden)!r}, which a file must not set")
    for name, default in kind().get_params(deep=False).items():
        given = parameters.get(name)
        if isinstance(given, bool) and not isinstance(default, bool) and name != "verbose":
            raise ValueError(
                f"{name}: {given!r}; it needs {default!r} or what else is no truth value"
            )
    estimator = kind(**parameters)
    estimator._validate_params()
    backends.check_name(estimator.backend)
    if unknown := set(model.learnt) - set(kind._LEARNT):
        raise ValueError(f"it has {sorted(unknown)[0]!r}, which {kind.__name__} does not learn")
    if missing := [
        name for name in ("cluster_centers_", "n_features_in_") if name not in model.learnt
    ]:
        raise ValueError(f"it has no {missing[0]}")
    for name, value in model.learnt.items():
        setattr(estimator, name, decoded(value, kind._LEARNT[name]))
    estimator._check_learnt()
    return estimator


def _encoded(name: str, value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return the JSON form of a value; its arrays are put into `arrays` under its name."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.dtype):
        return {"dtype": value.name}
    if isinstance(value, np.random.RandomState):
        kind, keys, *rest = value.get_state(legacy=True)
        if kind == _RANDOM:
            arrays[name] = np.asarray(keys)
            return {"random_state": [{"array": name}, *rest]}
    if hasattr(value, "_asdict"):
        fields = value._asdict().items()
        return {"fields": {part: _encoded(f"{name}.{part}", v, arrays) for part, v in fields}}
    if callable(value):
        return _encoded_seeding(name, value, arrays)
    array = np.asarray(value)
    if array.dtype == object and array.ndim == 1 and all(isinstance(text, str) for text in array):
        return {"texts": array.tolist()}
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name}: {type(value).__name__} cannot be saved")
    same = next((known for known, other in arrays.items() if other is array), None)
    arrays.setdefault(same or name, np.ascontiguousarray(array))
    return {"array": same or name}


def _encoded_seeding(name: str, value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return the JSON form of a seeding of this package and its settings."""
    if not seeding.is_own(value):
        raise TypeError(
            f"{name}: {value!r} is a callable of your own, which cannot be saved, since loading never "
            f"runs code; call set_params({name}='k-means++') before saving"
        )
    settings = value.keywords if isinstance(value, functools.partial) else {}
    return {
        "seeding": seeding.name_of(value),
        "settings": {s: _encoded(f"{name}.{s}", v, arrays) for s, v in settings.items()},
    }


def _decoded(value: Any, record: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return the value of a JSON form; `record` is the class of a value with fields."""
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise ValueError("it has a list where none is allowed")
        return value
    match value:
        case {"array": str(name)}:
            fields.check(name in arrays, name, "an array of this name in the file")
            return arrays[name]
        case {"dtype": "float32" | "float64" as name}:
            return np.dtype(name)
        case {"texts": [*texts]} if all(isinstance(text, str) for text in texts):
            return np.array(texts, dtype=object)
        case {"random_state": [{"array": str(name)}, at, has_normal, normal]} if name in arrays:
            random = np.random.RandomState()
            random.set_state(fields.random_state(name, arrays[name], at, has_normal, normal))
            return random
        case {"fields": dict(parts)} if record:
            return record(**{name: _decoded(part, {}, arrays) for name, part in parts.items()})
        case {"seeding": str(name), "settings": dict(settings)}:
            function = seeding.function_of(name)
            kept = {s: _decoded(part, {}, arrays) for s, part in settings.items()}
            seeding.check_settings(name, kept)
            return functools.partial(function, **kept) if kept else function
    raise ValueError(f"it has {sorted(value)[:3]} where that is not allowed")
