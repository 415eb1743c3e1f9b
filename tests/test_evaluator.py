"""What an evaluator tells of how far it is."""

from lvmbench import Subject


def told(work):
    """The shares that some work with a subject tells."""
    shares = []
    work(Subject(None, None, {}, None, 0, tell=shares.append))
    return shares


def test_followed_items_tell_how_many_are_done():
    assert told(lambda subject: list(subject.followed("abcd"))) == [0, 0.25, 0.5, 0.75]


def test_a_stage_tells_its_share_of_the_whole():
    assert told(lambda subject: list(subject.stage(0.5, 1).stage(0, 0.5).followed("ab"))) == [0.5, 0.625]
