import io
import pickle
import random
from pathlib import Path

import numpy as np
import pytest

from lifting.errors import DataError
from lifting.files.pickles import Inert, read_pickle


def nested() -> dict:
    rng = np.random.default_rng(0)
    return {
        "S1": {
            "Walking": rng.normal(size=(5, 32, 3)).astype(np.float32),
            "Eating 1": [
                rng.normal(size=(4, 17, 2)),
                np.asfortranarray(np.arange(6).reshape(2, 3)),
            ],
        },
        "metadata": {"num_joints": 17, "fps": np.float64(50), "names": np.array(["a", "bc"])},
        "flags": (True, None, b"zz", {1, 2}, -(2**70)),
    }


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("boxed", [False, True], ids=["plain", "object-array"])
def test_every_protocol_gives_the_data_back(protocol, boxed):
    data = nested()
    stored = np.array(data, dtype=object) if boxed else data
    got = read_pickle(pickle.dumps(stored, protocol=protocol), "file")
    if boxed:
        (got,) = got
    np.testing.assert_array_equal(got["S1"]["Walking"], data["S1"]["Walking"])
    for a, b in zip(got["S1"]["Eating 1"], data["S1"]["Eating 1"], strict=True):
        np.testing.assert_array_equal(a, b)
    assert got["metadata"]["fps"] == 50
    assert got["metadata"]["names"].tolist() == ["a", "bc"]
    assert got["flags"] == data["flags"]


def test_python_2_text_is_read_as_latin1():
    raw = b"\x80\x02}q\x01U\x03keyq\x02U\x02\xe9tq\x03s."
    assert read_pickle(raw, "file") == {"key": "ét"}


def test_code_is_refused_and_not_run(trap):
    raw = pickle.dumps({"positions_3d": trap})
    with pytest.raises(DataError, match=r"plain arrays and containers in bad\.npz.*\.system"):
        read_pickle(raw, "bad.npz")
    assert not trap.mark.exists()


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (pickle.dumps(Path("x")), "it asks for pathlib"),
        (b"cnumpy\nndarray\n(I1000000\ntR.", "made directly"),
        (b"cbuiltins\nbytes\n(I100000000000\ntR.", "unexpected arguments of bytes"),
        (b"c_codecs\nencode\n}(V__defaults__\nNub.", "sets the state of something that has none"),
        (b"cbuiltins\neval\n.", "it asks for builtins.eval"),
        (b"Pother\n.", "outside the file"),
        (b"\x80\x04]\x94h\x00a.", "contains itself"),
        (b"]" * 40 + b"a" * 39 + b".", "deeper"),
        (b"c_codecs\nencode\n.", "it holds a function"),
        (b"", "EOFError"),
    ],
)
def test_every_other_trick_is_refused_in_words(raw, reason):
    with pytest.raises(DataError, match=reason):
        read_pickle(raw, "file")


def test_a_memo_index_cannot_ask_for_memory(memory_below):
    raw = b"\x80\x02]r\xff\xff\xff\x7f."  # a list stored under memo index 2**31 - 1
    with memory_below(1e6):
        assert read_pickle(raw, "file") == []


def test_a_claimed_length_cannot_ask_for_memory(memory_below):
    raw = b"\x80\x05\x96" + (6 << 30).to_bytes(8, "little") + b"."  # a bytearray of 6 GB
    with memory_below(1e6), pytest.raises(DataError, match="end early"):
        read_pickle(raw, "file")


def test_a_stream_is_read_up_to_the_end_of_its_pickle():
    stream = io.BytesIO(pickle.dumps(nested()["S1"]) + b"more")
    assert set(read_pickle(stream, "file")) == {"Walking", "Eating 1"}
    assert stream.read() == b"more"


def test_shared_references_do_not_multiply():
    value: list = [1]
    for _ in range(25):
        value = [value, value]
    got = read_pickle(pickle.dumps(value), "file")
    assert got[0] is got[1]


def test_named_classes_become_inert():
    raw = b"cchumpy.ch\nCh\n)\x81}Vx\n]K\x01asb."
    got = read_pickle(raw, "model", inert=[("chumpy.ch", "Ch")])
    assert isinstance(got, Inert)
    assert got.name == "chumpy.ch.Ch"
    assert got.state == {"x": [1]}


def test_damaged_bytes_raise_nothing_but_data_errors(damage_count):
    rng = random.Random(1)
    bases = [pickle.dumps(np.array(nested(), dtype=object), protocol=p) for p in (2, 3, 4, 5)]
    refused = 0
    for _ in range(damage_count):
        raw = bytearray(rng.choice(bases))
        for _ in range(rng.randint(1, 6)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        if rng.random() < 0.2:
            del raw[rng.randrange(len(raw)) :]
        try:
            read_pickle(bytes(raw), "file")
        except DataError:
            refused += 1
    assert refused > damage_count / 10
