"""The frozen values that travel between the layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from cputune.core.knobs import IN_KERNEL, KNOB, LIMIT, MAX_QUOTA, WEIGHT, Quota, Value

if TYPE_CHECKING:
    from typing_extensions import Self


class KnobValues:
    """Values of knobs by key, immutable. A knob that has no value is None."""

    __slots__ = ("_values",)

    KEYS: ClassVar[tuple[str, ...]] = tuple(KNOB)
    """The knobs that can have a value here, in the order of the table."""
    _KNOWN: ClassVar[frozenset[str]] = frozenset(KEYS)

    def __init__(self, **values: Value) -> None:
        """Take values by key. Raises TypeError for a key that is no knob's."""
        if not values.keys() <= self._KNOWN:
            raise TypeError(f"no knobs: {', '.join(sorted(values.keys() - self._KNOWN))}")
        self._values: dict[str, Any] = values
        if None in values.values():
            self._values = {key: value for key, value in values.items() if value is not None}

    def __getitem__(self, key: str) -> Value:
        """Return the value of a knob, or None. Raises KeyError for a key that is no knob's."""
        if key not in self._KNOWN:
            raise KeyError(key)
        value: Value = self._values.get(key)
        return value

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._values == other._values

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.named().items())})"

    def named(self) -> dict[str, Value]:
        """Return the values by key, in the order of the table, without those that are None."""
        return {key: self._values[key] for key in self.KEYS if key in self._values}

    def replace(self, **values: Value) -> Self:
        """Return a copy with other values of some knobs; None removes a value."""
        return type(self)(**{**self._values, **values})

    def replace_from(self, other: KnobValues, keys: Iterable[str]) -> Self:
        """Return a copy with the values that `other` has for these knobs."""
        return self.replace(**{key: other[key] for key in keys})

    def only(self, keys: Iterable[str]) -> Self:
        """Return a copy with the values of these knobs alone."""
        return type(self)(**{key: self[key] for key in keys})

    def differing(self, other: KnobValues) -> tuple[str, ...]:
        """Return the knobs whose values differ, in the order of the table."""
        return tuple(key for key in self.KEYS if self._values.get(key) != other._values.get(key))

    @property
    def shares(self) -> int | None:
        """The relative weight in the unit of cgroup v1."""
        return self._number("shares")

    @property
    def weight(self) -> int | None:
        """The relative weight in the unit of cgroup v2."""
        return self._number("weight")

    @property
    def period(self) -> int | None:
        """The CFS period in microseconds."""
        return self._number("period")

    @property
    def quota(self) -> Quota | None:
        """CPU time per period in microseconds."""
        quota: Quota | None = self._values.get("quota")
        return quota

    @property
    def burst(self) -> int | None:
        """What may be saved up and spent above the quota, in microseconds."""
        return self._number("burst")

    @property
    def idle(self) -> bool | None:
        """Whether it is a SCHED_IDLE group."""
        idle: bool | None = self._values.get("idle")
        return idle

    def _number(self, key: str) -> int | None:
        number: int | None = self._values.get(key)
        return number


class Change(KnobValues):
    """What is to be changed, or what is saved. A knob without a value is left alone."""

    __slots__ = ()

    @property
    def cpus(self) -> Quota | None:
        """A limit in millionths of a CPU: the quota is this x the period that will be in force."""
        cpus: Quota | None = self._values.get("cpus")
        return cpus

    def updated(self, change: Change) -> Self:
        """Return a copy with the values of another change; a value in the other unit of one of them is removed."""
        named = change.named()
        return self.replace(**{KNOB[key].alternative: None for key in named if KNOB[key].alternative}).replace(**named)


class CpuTune(KnobValues):
    """What one cgroup has in force: shares on v1, weight on v2; no value where the kernel has no such file."""

    __slots__ = ()

    KEYS = IN_KERNEL
    _KNOWN = frozenset(IN_KERNEL)

    @property
    def limit_cpus(self) -> float | None:
        """The limit in CPUs; None where there is none: the largest quota stands for that in libvirt and podman."""
        quota, period = self.quota, self.period
        return quota / period if isinstance(quota, int) and quota < MAX_QUOTA and period else None


class Request(NamedTuple):
    """What the command line asked for: values, and the knobs given as 0 ("no value")."""

    change: Change
    zeros: frozenset[str] = frozenset()


class Scale(Enum):
    """How a runtime reads a number of shares on cgroup v2."""

    KERNEL = "kernel"
    """weight = shares x 100 / 1024, as kernel/sched/core.c does."""
    WEIGHT = "weight"
    """Unconverted: libvirt's LXC driver writes it as the weight."""
    OCI = "oci"
    """The curve of runc 1.3.2 and crun 1.23, and later: 1024 shares are weight 100, 512 are 59."""
    OCI_LINEAR = "oci-linear"
    """What runc and crun did before: 2..262144 on 1..10000, so that 1024 shares are weight 39."""


OCI_SCALES = (Scale.OCI, Scale.OCI_LINEAR)


class Details(NamedTuple):
    """What else a runtime's records tell of a domain, in the order in which `status DOMAIN` prints it.

    The field's name is the name there, and in JSON's "facts"; None, False and () are left out.
    """

    id: str | None = None
    """The runtime's own: 64 hexadecimal digits of most containers, the number of a libvirt domain that runs."""
    uuid: str | None = None
    unit: str | None = None
    """The systemd unit that a machine is registered with."""
    pid: int | None = None
    """Of its first process; of a libvirt domain it is the id."""
    started_by: str | None = None
    """What registered a machine: "systemd-nspawn", ..."""
    records: str | None = None
    """The directory of the container's own records: it tells containers apart, where ids can be copied."""
    namespace: str | None = None
    """containerd's."""
    bundle: str | None = None
    """The directory of its OCI configuration."""
    lxcpath: str | None = None
    """The directory in which LXC has the container's."""
    conversion: str | None = None
    """How shares are converted, where that is a guess."""
    pod: str | None = None
    """The id of podman's pod that it is in."""
    owner: int | None = None
    """The user id whose records tell of it; None for root's. They are read with that user's rights."""
    paused: bool = False
    process: str | None = None
    """The name of a process (its comm)."""
    threads_also_in: tuple[str, ...] = ()
    """The cgroups that some of its threads are in, and the process itself is not."""


class Domain(NamedTuple):
    """One container, unit or cgroup, as its runtime knows it. Cgroup paths are those of the cpu hierarchy."""

    runtime: str
    name: str
    running: bool
    persistent: bool
    limit_cgroup: str | None = None
    """The cgroup that carries quota, period and burst: the one that the runtime's own command writes."""
    weight_cgroup: str | None = None
    """The cgroup that carries shares, weight and idle; most often the same."""
    scale: Scale = Scale.KERNEL
    details: Details = Details()
    mirrored: bool = False
    """`limit_cgroup` is inside `weight_cgroup`, and the runtime writes all knobs to both: crun under systemd."""
    obstacle: str | None = None
    """Why it runs and yet has no cgroup that could be limited."""

    @property
    def qualified(self) -> str:
        """RUNTIME:NAME."""
        return f"{self.runtime}:{self.name}"

    @property
    def cgroups(self) -> tuple[str, ...]:
        """All its cgroups, outermost first; none if it does not run, or has none that could be limited."""
        return tuple(knob_cgroup.cgroup for knob_cgroup in self.knob_cgroups())

    def state(self, states: Mapping[str, CpuTune]) -> CpuTune:
        """Return the domain's state from the states of its cgroups: bandwidth of the one, the rest of the other."""
        if self.limit_cgroup is None or self.weight_cgroup is None:
            return CpuTune()
        limit = states[self.limit_cgroup]
        if (
            self.mirrored
            and (outer := states[self.weight_cgroup].limit_cpus) is not None
            and outer < (limit.limit_cpus or outer + 1)
        ):
            limit = states[self.weight_cgroup]  # both are to have the same: the tighter one counts
        return states[self.weight_cgroup].replace_from(limit, LIMIT)

    def knob_cgroups(self) -> tuple[KnobCgroup, ...]:
        """Return the cgroups to write, outermost first, each with the knobs that it carries; none as for `cgroups`."""
        if self.limit_cgroup is None or self.weight_cgroup is None:
            return ()
        if self.limit_cgroup == self.weight_cgroup:
            return (KnobCgroup(self.limit_cgroup, LIMIT + WEIGHT),)
        if self.mirrored:
            return (
                KnobCgroup(self.weight_cgroup, LIMIT + WEIGHT),
                KnobCgroup(self.limit_cgroup, LIMIT + WEIGHT),
            )
        return (KnobCgroup(self.weight_cgroup, WEIGHT), KnobCgroup(self.limit_cgroup, LIMIT))


class KnobCgroup(NamedTuple):
    """One cgroup of a domain and the knobs that live there."""

    cgroup: str
    carries: tuple[str, ...]


class KnobChange(NamedTuple):
    """One knob of one domain, before and after a change: None where it had, or has, no value."""

    domain: str
    """RUNTIME:NAME."""
    where: Literal["live", "config", "native"]
    """In force (in the terms of the kernel), saved, or remembered by the runtime."""
    key: str
    before: Value = None
    after: Value = None
    given: Value = None
    """What was given, where that was in the knob's other unit: shares, where the kernel counts in weight."""


class Write(NamedTuple):
    """One write into one kernel file."""

    path: str
    value: str
    before: str


class Stats(NamedTuple):
    """Counters of one cgroup since it was made; times in microseconds. None = the kernel does not count it here."""

    usage: int | None = None
    periods: int | None = None
    throttled: int | None = None
    throttled_usec: int | None = None


Source = Literal["live", "config"]
