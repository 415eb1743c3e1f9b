"""Coverings: few combinations in which all parts meet that can be together."""

import pytest

from lvmbench.checks.contract import BUILT
from lvmbench.checks.covering import Covering
from lvmbench.checks.partners import Bench
from lvmbench.checks.sources import everywhere
from lvmbench.registry.loader import load_catalogue

BENCH = Bench(load_catalogue())
NAMES = {("prior", "linear_dynamics"), ("posterior", "filtering"), ("decoder", "linear_gaussian")}
PARTS = [(kind, ref) for kind in BUILT for ref in BENCH.offers[kind] if (kind, ref.name) in NAMES]


@pytest.fixture(scope="module")
def covering():
    return Covering(BENCH, PARTS)


def contents(cases):
    return {thing for case in cases for thing in (case.source, *case.refs.items())}


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_each_part_meets_every_other_and_all_data_that_it_can_be_with(covering, part):
    kind, ref = part
    others = [(k, other) for k in BUILT if k != kind for other in BENCH.offers[k]]
    due = {(k, other) for k, other in others if BENCH.find({kind: ref, k: other})}
    due |= {source for source in everywhere() if BENCH.find({kind: ref}, sources=(source,))}
    found = covering.of(part)
    assert due <= contents(found)
    assert all(case.refs[kind] == ref for case in found)


def test_parts_share_combinations(covering):
    alone = [case for part in PARTS for case in Covering(BENCH, [part]).of(part)]
    assert len(covering.cases) == len(set(covering.cases)) < len(set(alone))


def test_combinations_depend_on_what_is_examined_alone(covering):
    bench = Bench(BENCH.catalogue)
    bench.examined |= NAMES
    for part in PARTS[::-1]:
        assert list(map(str, bench.covering(part))) == list(map(str, covering.of(part)))
    (other,) = {ref for ref in bench.offers["prior"] if str(ref) == "standard_normal"}
    assert all(case.refs["prior"] == other for case in bench.covering(("prior", other)))


def test_any_part_is_met_once_by_name():
    found = Covering(BENCH, [None], frozenset(), lambda ref: ref.name).of(None)
    names = {(kind, ref.name) for case in found for kind, ref in case.refs.items()}
    assert names == {(kind, ref.name) for kind in BUILT for ref in BENCH.offers[kind]}
