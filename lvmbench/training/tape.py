"""A step as a list of operators, done again without the Python and the gradient graph that led to them."""

from __future__ import annotations

import functools
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar, NamedTuple, final

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from lvmbench.kernels.eager import EagerMode
from lvmbench.stages import recording

aten = torch.ops.aten
EMPTY = {aten.empty, aten.empty_like, aten.empty_strided, aten.new_empty, aten.new_empty_strided}
"""What makes a tensor and puts nothing in it."""


class Call(NamedTuple):
    """An operator with the tensors that it was given, and those new ones that it gave."""

    operator: Any
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    results: list[Tensor]

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors that it reads or writes."""
        return _tensors((self.arguments, self.options, self.results))


class Pool:
    """Memory that tapes share of which one is replayed at a time."""

    def __init__(self) -> None:
        self._places: list[torch.UntypedStorage] = []

    @property
    def all(self) -> dict[int, list[torch.UntypedStorage]]:
        """All of it, by size."""
        found = defaultdict(list)
        for place in self._places:
            found[place.nbytes()].append(place)
        return found

    def more(self, size: int) -> torch.UntypedStorage:
        """Memory of this size that no tape has had."""
        self._places.append(torch.UntypedStorage(size))
        return self._places[-1]


@final
class Tape(EagerMode):
    """Records the operators of a call on a processor, below gradients and ``torch.vmap``, to do them again.

    A replay is a list of kernels that write to memory which is given out once: what was a view of a tensor, a
    node of the gradient graph or a line of Python does not come back. It does to the same tensors what the
    recorded call did, to the last bit.

    Arguments:
        pool: Its memory, shared with tapes that are never replayed at the same time.
    """

    missed: ClassVar = logging.INFO

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool
        self._calls: list[Call] = []
        self._before: list[tuple[Tensor, Tensor]] = []
        self._own: set[int] = set()
        self._program: list[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]] = []

    def prepare(self, call: Callable[[], Tensor]) -> Tensor:
        """Do the work of a call that comes before the recorded one."""
        return call()

    def record(self, call: Callable[[], Tensor]) -> Tensor:
        """Record the work of a call, and leave what it wrote to as it was; where its result will be.

        It is called twice: what counts its calls in Python does something else the second time. Raises
        `RuntimeError` for work that cannot be recorded.
        """
        self._take(call)
        before = self._traits()
        result = self._take(call)
        if self._traits() != before:
            raise RuntimeError(
                "two calls in a row are not alike, as where Python counts them or changes numbers"
            )
        calls = list(_without_repeats(self._calls, result))
        placed = _Memory(self._pool, calls, self._own, result)
        self._program = [_instruction(placed(called)) for called in calls if _matters(called)]
        self._calls.clear()
        self._own.clear()
        return placed.result

    def _take(self, call: Callable[[], Tensor]) -> Tensor:
        """The result of a call, whose operators are noted and whose writing is undone."""
        self._calls.clear()
        self._own.clear()
        try:
            with ExitStack() as around:
                # innermost, so that what they make of an operator is noted
                for mode in (self, *_get_current_dispatch_mode_stack()):
                    around.enter_context(mode)
                around.enter_context(recording(self._note))
                return call()
        finally:
            for tensor, value in reversed(self._before):
                tensor.copy_(value)
            self._before.clear()

    def _traits(self) -> list[tuple[Any, ...]]:
        """What the operators are that were noted, and what they were given."""
        return [(c.operator, *map(self._trait, _leaves((c.arguments, c.options)))) for c in self._calls]

    def _trait(self, given: Any) -> Any:
        """A number of Python's, its own or in a tensor; of other tensors which they are, or their shape if
        they were made meanwhile.
        """
        if not isinstance(given, Tensor):
            return repr(given)
        if _memory(given) in self._own:
            return given.shape
        return repr(given.item()) if given.numel() == 1 else (given.data_ptr(), given.shape)

    def _note(self, action: Callable[[], None]) -> None:
        """Have something done again that is no operator."""
        self._calls.append(Call(action, (), {}, []))

    @torch.no_grad()
    def replay(self) -> None:
        """Do the recorded work."""
        # past what Python has to say about operators now: it has had its say when they were recorded
        with torch._C._DisableTorchDispatch():
            for operator, arguments, options in self._program:
                operator(*arguments, **options)

    @torch.no_grad()
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        _refuse(func, args)
        if torch.Tag.inplace_view in func.tags:  # another shape of the same memory
            return func(*args, **kwargs)
        # aliases: shapes may be changed in place later
        arguments, options = _mapped(aten.alias.default, (args, kwargs))
        given = {_memory(t) for t in _tensors((args, kwargs))}
        written = list(_written(func, arguments, options))
        self._before += [(t, t.clone()) for t in written if _memory(t) not in self._own]
        result = func(*args, **kwargs)
        given_back = _tensors(result)
        new = [t for t in given_back if _memory(t) not in given]
        if 0 < len(new) < len(given_back):
            raise RuntimeError(f"{func} gives views beside other tensors")
        if new or written:  # else it gave views
            self._own |= {_memory(t) for t in new}
            self._calls.append(Call(func, arguments, options, [aten.alias.default(t) for t in new]))
        return result


def _refuse(func: Any, args: Any) -> None:
    """Raise `RuntimeError` for what depends on values, is random, or takes numbers from Python."""
    masks = any(t.dtype == torch.bool for t in _tensors(args[1:]))
    waits = torch.Tag.dynamic_output_shape in func.tags and (masks or "index" not in str(func))
    waits |= func is aten.lift_fresh.default
    if waits or {torch.Tag.data_dependent_output, torch.Tag.nondeterministic_seeded} & set(func.tags):
        raise RuntimeError(f"{func} cannot be recorded")


def _leaves(given: Any) -> list[Any]:
    """What lists, tuples and dictionaries hold; torch's own search took most of the time of a recording."""
    if isinstance(given, dict):
        given = [*given.values()]
    return [leaf for each in given for leaf in _leaves(each)] if isinstance(given, list | tuple) else [given]


def _tensors(given: Any) -> list[Tensor]:
    return [leaf for leaf in _leaves(given) if isinstance(leaf, Tensor)]


def _mapped(change: Callable[[Tensor], Tensor], given: Any) -> Any:
    """The same lists, tuples and dictionaries, with each tensor changed."""
    if isinstance(given, dict):
        return {name: _mapped(change, each) for name, each in given.items()}
    if isinstance(given, list | tuple):
        changed = [_mapped(change, each) for each in given]
        return changed if isinstance(given, list) else tuple(changed)
    return change(given) if isinstance(given, Tensor) else given


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _written(func: Any, args: Any, kwargs: Any) -> Iterator[Tensor]:
    """The tensors that an operator writes to."""
    for i, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[i] if i < len(args) else kwargs.get(argument.name)
            yield from _tensors(value)


def _matters(call: Call) -> bool:
    return not isinstance(call.operator, OpOverload) or call.operator.overloadpacket not in EMPTY


def _without_repeats(calls: Sequence[Call], result: Tensor) -> Iterator[Call]:
    """The calls, but for conversions that were made before of numbers that are still the same.

    Those stay whose result is changed later, or is that of all.
    """
    kept = {_memory(t) for call in calls for t in _changed(call)} | {_memory(result)}
    made: dict[tuple[Any, ...], Tensor] = {}  # by the memory of the numbers, and how they lie there
    stead: dict[int, Tensor] = {}

    def instead(tensor: Tensor) -> Tensor:
        first = stead.get(_memory(tensor))
        return tensor if first is None else _laid_out(tensor, first.untyped_storage())

    for call in calls:
        operator, arguments, options, results = Call(call.operator, *_mapped(instead, call[1:]))
        if _converts(operator, arguments) and _memory(results[0]) not in kept:
            (source,) = arguments
            key = _memory(source), source.storage_offset(), source.shape, source.stride(), repr(options)
            if key in made:
                stead[_memory(results[0])] = made[key]
                continue
            made[key] = results[0]
        changed = {_memory(t) for t in _changed(call)}
        made = {key: first for key, first in made.items() if key[0] not in changed}
        if not isinstance(operator, OpOverload):
            made.clear()  # nobody knows what it writes to
        yield Call(operator, arguments, options, results)


def _converts(operator: Any, arguments: tuple[Any, ...]) -> bool:
    return operator is aten._to_copy.default and isinstance(arguments[0], Tensor)


def _changed(call: Call) -> list[Tensor]:
    """The tensors that a call writes to, other than those that it makes."""
    is_known = isinstance(call.operator, OpOverload)
    return list(_written(call.operator, call.arguments, call.options)) if is_known else []


def _laid_out(tensor: Tensor, place: torch.UntypedStorage) -> Tensor:
    """A tensor of the same shape elsewhere in memory."""
    offset, size, stride = tensor.storage_offset(), tensor.size(), tensor.stride()
    return torch.empty(0, dtype=tensor.dtype).set_(place, offset, size, stride)


class _Memory:
    """Gives out memory to what a recorded call made, and takes it back after its last use."""

    def __init__(self, pool: Pool, calls: Sequence[Call], own: set[int], result: Tensor) -> None:
        last = {_memory(t): i for i, call in enumerate(calls) for t in call.tensors}
        last[_memory(result)] = len(calls)
        self._places: dict[int, torch.UntypedStorage] = {}
        free = pool.all
        for i, call in enumerate(calls):
            for made in map(_memory, call.results):
                size = _rounded(call.results[0].untyped_storage().nbytes())
                self._places[made] = free[size].pop() if free[size] else pool.more(size)
            for used in {_memory(t) for t in call.tensors} & own:
                if last[used] == i:
                    free[self._places[used].nbytes()].append(self._places[used])
        self.result = self._placed(result)

    def __call__(self, call: Call) -> Call:
        """The same call, on the memory that is given out."""
        return Call(call.operator, *_mapped(self._placed, call[1:]))

    def _placed(self, tensor: Tensor) -> Tensor:
        place = self._places.get(_memory(tensor))
        return tensor if place is None else _laid_out(tensor, place)


def _rounded(size: int) -> int:
    """A size of memory that somewhat smaller tensors have, too."""
    step = max(64, 1 << max(0, size.bit_length() - 3))
    return -(-size // step) * step


def _instruction(call: Call) -> tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]:
    """What does a call again, and leaves its results where they were."""
    operator, arguments, options, results = call
    if not results:
        return operator._op if isinstance(operator, OpOverload) else operator, arguments, options
    if operator is aten._to_copy.default:  # the type, which it takes too, is that of where it writes
        return aten.copy_.default._op, (results[0], arguments[0]), {}
    writing, names = _writing(operator)
    if len(names) == len(results):  # else some results are not asked for
        return writing._op, arguments, {**options, **dict(zip(names, results, strict=True))}
    return _copied, (operator._op, results, *arguments), options


def _copied(operator: Callable[..., object], results: list[Tensor], *arguments: Any, **options: Any) -> None:
    for kept, new in zip(results, _tensors(operator(*arguments, **options)), strict=True):
        kept.copy_(new)


@functools.cache
def _writing(operator: Any) -> tuple[Any, list[str]]:
    """The form of an operator that writes its results to given tensors, and what it calls these: no names
    where it has none.
    """
    taken = [(a.name, str(a.type)) for a in operator._schema.arguments]
    for name in operator.overloadpacket.overloads():
        other = getattr(operator.overloadpacket, name)
        given = [(a.name, str(a.type)) for a in other._schema.arguments if not a.is_out]
        outs = [a.name for a in other._schema.arguments if a.is_out]
        if given == taken and outs:
            return other, outs
    return operator, []
