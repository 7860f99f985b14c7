"""What routes ask of a caller's token, compared: whether one asks less than another. Pure.

A demand is compared by itself: of two routes each may ask less than the other by a key of its own.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from sidecar.model.route import SubjectPolicy


def laxer_keys(policy: SubjectPolicy, than: SubjectPolicy) -> list[str]:
    """Return the keys by which a policy lets through all that another does, and more."""
    if policy == than:
        return []
    return [key for key, at_most in _AT_MOST.items() if at_most(policy, than) and not at_most(than, policy)]


def _claims_at_most(policy: SubjectPolicy, than: SubjectPolicy) -> bool:
    mine, theirs = dict(policy.require_claims), dict(than.require_claims)
    return all(path in theirs and _typed(theirs[path]) <= _typed(values) for path, values in mine.items())


def _typed(values: tuple[Any, ...]) -> frozenset[tuple[type, Any]]:
    return frozenset((type(value), value) for value in values)  # true is not 1 in a token


def _one_of_at_most(mine: Collection[str], theirs: Collection[str]) -> bool:
    return not mine or (bool(theirs) and set(theirs) <= set(mine))


def _actors_at_most(policy: SubjectPolicy, than: SubjectPolicy) -> bool:
    mine, theirs = policy.allowed_actors, than.allowed_actors
    return not mine or (bool(theirs) and all(any(each.covers(other) for each in mine) for other in theirs))


def _age_at_most(policy: SubjectPolicy, than: SubjectPolicy) -> bool:
    return policy.max_age is None or (than.max_age is not None and than.max_age <= policy.max_age)


#: By key, whether a policy asks nothing that another doesn't.
_AT_MOST: Final[Mapping[str, Callable[[SubjectPolicy, SubjectPolicy], bool]]] = MappingProxyType(
    {
        "issuers": lambda policy, than: policy.issuers >= than.issuers,
        "require_scope": lambda policy, than: set(policy.require_scope) <= set(than.require_scope),
        "require_claims": _claims_at_most,
        "clients": lambda policy, than: _one_of_at_most(policy.clients, than.clients),
        "acr_values": lambda policy, than: _one_of_at_most(policy.acr_values, than.acr_values),
        "max_age": _age_at_most,
        "require_actor": lambda policy, than: than.require_actor or not policy.require_actor,
        "allowed_actors": _actors_at_most,
        "max_actor_depth": lambda policy, than: policy.max_actor_depth >= than.max_actor_depth,
    }
)


class Supersets:
    """Sets of names; finds one that has all of another's names, and more."""

    def __init__(self, sets: Iterable[frozenset[str]]) -> None:
        self._largest: frozenset[str] = frozenset()
        self._with: dict[str, list[frozenset[str]]] = {}
        for each in dict.fromkeys(sets):
            self._largest = max(self._largest, each, key=len)
            for name in each:
                self._with.setdefault(name, []).append(each)

    def of(self, names: frozenset[str]) -> frozenset[str] | None:
        """Return a set that has all these names and more; None where there is none."""
        if self._largest > names:
            return self._largest
        rarest = min((self._with.get(name, ()) for name in names), key=len, default=())
        return next((each for each in rarest if each > names), None)
