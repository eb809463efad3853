"""`make demo` as a person starts it: with what is built in, with a track and a picture of one's own, and with a track that is refused."""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """One folder for all: a second telling goes on in the ward of the first, as a second `make demo` does."""
    return tmp_path_factory.mktemp("demo")


def told(data, **environment):
    """How the demo ended, and what it printed."""
    known = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    known |= {"DATA": str(data), "LISTEN": "127.0.0.1:0", "ONCE": "1"} | environment
    ended = subprocess.run([ROOT / "target/debug/demo"], cwd=data, env=known, capture_output=True, text=True, timeout=600)
    return ended.returncode, ended.stdout


def steps(out):
    return [int(number) for number in re.findall(r"^ *(\d+)  \S", out, re.M)]


def test_the_story_is_told_to_its_end(data):
    code, out = told(data)
    assert (code, out.splitlines()[-1]) == (0, "demo: ok"), out
    assert steps(out) == list(range(1, len(steps(out)) + 1)) and len(steps(out)) > 10, out
    killed = next(line for line in out.splitlines() if "SIGKILL" in line)
    assert "1 vụ việc" in killed and "1 tệp" in killed and "Đã lưu trên máy" in killed, killed


def test_it_is_told_with_a_track_and_a_picture_of_ones_own(data):
    picture = ROOT / "tests/tests/picture.jpg"
    code, out = told(data, TRACK=str(HERE / "evening.gpx"), PHOTO=str(picture))
    assert (code, out.splitlines()[-1]) == (0, "demo: ok"), out
    # The patrol is when the track was, and the picture is this one.
    assert "05/07/2026 03:00" in out and "04/07/2026 20:00" not in out, out
    size = -(-picture.stat().st_size // 1024)
    assert f"image/jpeg {size} KB" in out, out


def test_a_track_without_times_is_refused_by_name_before_anything_starts(data, tmp_path):
    track = HERE / "without-times.gpx"
    code, out = told(tmp_path, TRACK=str(track))
    assert code == 1 and "demo: ok" not in out, out
    assert f"TRACK={track}: track: without-times: " in out and "export it again with a time for each point" in out, out
    assert list(tmp_path.iterdir()) == [], "nothing was started or written"
