"""Files with changed fields, some of what `nox -s fuzz` tries: refused by name, or of use."""

import fuzz_files
import numpy as np
import pytest

MODELS, CHECKPOINTS = 300, 60


def test_changed_model_files(tmp_path):
    saved = fuzz_files.saved_models()
    refused = 0
    for number in range(MODELS):
        rng = np.random.default_rng(number)
        content = fuzz_files.changed_model(rng, saved[fuzz_files.pick(rng, saved)])
        refused += fuzz_files.try_model(content, tmp_path)
    assert MODELS // 2 < refused < MODELS


def test_changed_checkpoints(tmp_path, monkeypatch):
    fuzz_files.small_shards(monkeypatch.setattr)
    saved = fuzz_files.saved_checkpoints()
    assert any(b"part/shards" in content for _, content in saved)  # within a pass, too
    refused = 0
    for number in range(CHECKPOINTS):
        rng = np.random.default_rng(number)
        options, content = fuzz_files.pick(rng, saved)
        content = fuzz_files.changed_checkpoint(rng, content)
        refused += fuzz_files.try_checkpoint(content, tmp_path, options)
    assert CHECKPOINTS // 2 < refused < CHECKPOINTS


@pytest.mark.parametrize("name", fuzz_files.MODELS)
def test_files_as_they_were_are_not_refused(tmp_path, name):
    assert not fuzz_files.try_model(fuzz_files.saved_models()[name], tmp_path)


@pytest.mark.parametrize("number", [232, 4166])
def test_model_files_that_once_got_through(number, tmp_path):
    """A huge integer, and a truth value for a number."""
    saved, rng = fuzz_files.saved_models(), np.random.default_rng(number)
    fuzz_files.try_model(
        fuzz_files.changed_model(rng, saved[fuzz_files.pick(rng, saved)]), tmp_path
    )


def test_a_checkpoint_with_an_inertia_beyond_float64(tmp_path, monkeypatch):
    """Digits that are integers, each in its range."""
    fuzz_files.small_shards(monkeypatch.setattr)
    saved, rng = fuzz_files.saved_checkpoints(), np.random.default_rng(8694)
    options, content = fuzz_files.pick(rng, saved)
    assert fuzz_files.try_checkpoint(fuzz_files.changed_checkpoint(rng, content), tmp_path, options)
