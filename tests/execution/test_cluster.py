"""What a job takes, and which machines have it."""

import sys

import pytest

from lvmbench.errors import UserError
from lvmbench.execution.cluster import GIB, Need, Node, library, need_of, require_place
from lvmbench.execution.host import put, taken

SMALL, LARGE = Node(4, 0, 16 * GIB), Node(16, 2, 64 * GIB)


@pytest.mark.parametrize(
    ("need", "places"),
    [
        (Need(), (4, 16)),
        (Need(memory=6 * GIB), (2, 10)),
        (Need(gpus=1.0), (0, 2)),
        (Need(gpus=1 / 3), (0, 6)),
        (Need(gpus=0.5, memory=40 * GIB), (0, 1)),
    ],
)
def test_a_node_has_places_for_as_many_jobs_as_it_has_resources(need, places):
    assert (SMALL.places(need), LARGE.places(need)) == places


@pytest.mark.parametrize(
    ("device", "nodes", "gpus"),
    [
        ("cpu", [LARGE], 0.0),
        ("auto", [SMALL], 0.0),
        ("auto", [SMALL, LARGE], 0.5),
        ("cuda", [SMALL], 0.5),
    ],
)
def test_a_job_takes_a_part_of_a_gpu_where_it_may(device, nodes, gpus):
    assert need_of(device, 2, GIB, nodes) == (1.0, gpus, GIB)


@pytest.mark.parametrize("device", ["cuda:1", "mps", "nonsense"])
def test_a_device_of_one_machine_is_refused(device):
    with pytest.raises(UserError, match="is a device of one machine.*use auto, cpu or cuda"):
        need_of(device, 1, 0, [LARGE])


def test_what_no_node_has_is_refused_with_what_there_is():
    require_place(Need(gpus=1.0), [SMALL, LARGE])
    with pytest.raises(UserError) as refused:
        require_place(Need(memory=100 * GIB), [SMALL, LARGE, LARGE])
    assert "takes 1 CPU, 0 GPU, 100.0 GiB, which no node has" in str(refused.value)
    assert "2 x (16 CPU, 2 GPU, 64.0 GiB), 1 x (4 CPU, 0 GPU, 16.0 GiB)" in str(refused.value)
    with pytest.raises(UserError, match="no node has"):
        require_place(Need(), [])


def test_a_missing_library_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"the package ray is missing: pip install 'lvmbench\[ray\]'"):
        library()


def test_files_are_the_same_elsewhere(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    files = {"weights/a.safetensors": b"1", "weights/a/b.safetensors": b"2"}
    put(files, here)
    assert taken(here.rglob("*"), here) == files
    assert taken([here / "weights" / "missing"], here) == {}
    put(taken(here.rglob("*"), here, apart=["weights/a.safetensors"]), there)
    assert [file.name for file in there.rglob("*.safetensors")] == ["b.safetensors"]
