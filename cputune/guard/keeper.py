"""What the guard does: puts what is saved into force where a domain starts, and sees to it that it stays.

A cgroup that is made is some domain's, or will soon turn out to be: it is looked at again until its runtime's records
tell. What is saved for the domain then goes straight into the kernel, for all that start at once in one transaction;
after that systemd is told where the cgroup is a unit's, which takes longer. A knob that is written makes its domain a
suspect: a moment later it is compared with what cputune itself put there.
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from cputune import memory, runtimes
from cputune.drafts import Job
from cputune.drift import SOMEBODY, Facts, explain, text
from cputune.errors import CpuTuneError, Gone, NoSuchDomain, Unsupported, WrongState
from cputune.guard import service
from cputune.guard.fights import Fights
from cputune.guard.inotify import CREATE, DELETE, MODIFY, MOVED_TO
from cputune.guard.saved import Configurations
from cputune.guard.tree import Tree
from cputune.locks import Busy, keys_of
from cputune.model import Change, Domain, Request
from cputune.names import name_of
from cputune.reasons import facts_of
from cputune.report import words
from cputune.systemd import unit_of

if TYPE_CHECKING:
    from cputune.drift import Difference
    from cputune.guard.service import Log
    from cputune.guard.tree import Seen
    from cputune.tune import Tuner

_KNOB_FILES = frozenset(
    (
        "cpu.max", "cpu.max.burst", "cpu.weight", "cpu.weight.nice", "cpu.idle",
        "cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us",
    )
)  # fmt: skip
_FILES = CREATE | MOVED_TO | DELETE | MODIFY
_RECOGNIZED = 3.0
"""Seconds for which a new cgroup is looked at, until its runtime has to be asked for a list."""
_STARTING = 5.0
"""Seconds for which what a runtime writes is a part of the start: it sets its own values last."""
_LAST_LOOK = 4.5
"""Seconds after which one that starts is looked at in any case."""
_SETTLED = 0.05
"""Seconds after a write: whoever changes several knobs has done so by then."""
_REMEMBERED = 1.0
"""Seconds after which a runtime has taken down what it changed."""
_FIRST_NAP, _LONGEST_NAP = 0.005, 0.2
_BLIND = 10.0
"""Seconds between two looks at the whole tree, where the kernel has no watches left for us."""
_AT_ONCE = 16
"""Domains in one transaction."""
_PATIENCE = 0.2
"""Seconds for which another cputune that works on a domain is waited for, before others have their turn."""


class Unknown(NamedTuple):
    """A cgroup of which nobody can tell so far whose it is."""

    since: float
    due: float
    nap: float


class Keeper:
    """The guard's mind; `step` is one turn of it. Times are seconds of the monotonic clock."""

    def __init__(self, tuner: Tuner, log: Log, *, enforce: bool) -> None:
        self.tuner = tuner
        self.site = tuner.site
        self.log = log
        self.enforce = enforce
        self.fights = Fights()
        self.tree = Tree(self.site)
        tuner.patience = _PATIENCE
        self._saved = Configurations(self._complain_of)
        self._wanted: tuple[str, ...] = ()
        """The runtimes that anything is saved for."""
        self._unknown: dict[str, Unknown] = {}
        self._late: set[str] = set()
        self._known: dict[str, Domain] = {}
        """What is kept, by each of its cgroups."""
        self._records: dict[str, object] = {}
        """The newest record of a domain that the guard knows of, by its name: another one is somebody else's doing."""
        self._started: dict[str, float] = {}
        self._untold: deque[Domain] = deque()
        self._suspects: dict[str, float] = {}
        self._reported: dict[str, list[str]] = {}
        self._doubtful: set[str] = set()
        """The domains that a runtime may have changed which has not taken it down so far."""
        self._blind_since: float | None = None

    # --- what is there ------------------------------------------------------------------------------------------------

    @staticmethod
    def warm() -> None:
        """Load what the first start would have to wait for."""
        from cputune.cgroup import v1, v2
        from cputune.transaction import codec, history, journal, recovery

        del v1, v2, codec, history, journal, recovery

    def begin(self) -> None:
        """Look at everything: at first, and where events were lost. Nothing is missed, since watching began before."""
        self.reload()
        cgroups = self.tree.look()
        self._mention_blindness()
        now = time.monotonic()
        there = set(cgroups)
        for gone in [cgroup for cgroup in self._known if cgroup not in there]:
            self._forget(gone)
        starting = [domain for domain in self._listed() if domain.running]
        claimed = {seat.cgroup for domain in starting for seat in domain.seats()}
        self._start(starting, now)
        # One that is being started may be there already, and not in any list so far.
        self._unknown = {cgroup: Unknown(now, now, _FIRST_NAP) for cgroup in cgroups if cgroup not in claimed}

    def reload(self) -> None:
        """Read the saved configurations anew; what was left alone is fought for again."""
        self._renew()
        self.fights = Fights()
        self._reported.clear()
        now = time.monotonic()
        self._suspects.update(dict.fromkeys({domain.qualified for domain in self._known.values()}, now))

    def _renew(self) -> None:
        store = self.tuner.store()
        for folder in (store.directory, self.tuner.tools.state.records):
            self.tree.watch(folder, _FILES)
            for runtime in runtimes.RUNTIMES:
                if os.path.isdir(os.path.join(folder, runtime)):
                    self.tree.watch(os.path.join(folder, runtime), _FILES)
        self._saved.renew(store)
        self._wanted = tuple(runtime for runtime in runtimes.PERSISTENT if runtime in self._saved.runtimes)

    def _complain_of(self, what: str, error: CpuTuneError) -> None:
        """A configuration that cannot be read counts as none."""
        self.log(service.ERROR, f"{what}: {error.message}", domain=what, action="unreadable")

    def _listed(self) -> list[Domain]:
        """All domains that something is saved for or was put into force in, as far as lists and records tell."""
        recorded = self.tuner.tools.state.recorded()
        of = {runtime for runtime, _ in recorded}
        found: dict[str, Domain] = {}
        try:
            listing = tuple(runtime for runtime in runtimes.RUNTIMES if runtime in of or runtime in self._wanted)
            found = {domain.qualified: domain for domain in runtimes.domains(self.site, listing)} if listing else {}
        except CpuTuneError as error:
            self.log(service.ERROR, error.message)
        for runtime, file in recorded:
            name = name_of(file)
            if runtime in runtimes.BY_PREFIX_ONLY and name is not None and (domain := self._found(runtime, name)):
                found[domain.qualified] = domain
        return list(found.values())

    def _found(self, runtime: str, name: str) -> Domain | None:
        try:
            return self.tuner.find(f"{runtime}:{name}")
        except CpuTuneError:
            return None

    def summary(self) -> str:
        """How it stands, in a few words."""
        kept = {domain.qualified for domain in self._known.values()}
        alone = sum(map(self.fights.is_over, kept))
        return f"{len(kept)} domains kept{f', {alone} left alone' if alone else ''}"

    # --- a turn -------------------------------------------------------------------------------------------------------

    def timeout(self) -> float | None:
        """For how many seconds there is nothing to do but wait for events; None: for ever."""
        if self._untold or self._late:
            return 0.0
        due = [unknown.due for unknown in self._unknown.values()]
        due += self._suspects.values()
        due += [self._blind_since + _BLIND] if self._blind_since is not None else []
        return max(0.0, min(due) - time.monotonic()) if due else None

    def step(self) -> None:
        """Do what is to be done by now: first what starts, then the rest, one slow thing at a time."""
        self._take(self.tree.read())
        now = time.monotonic()
        if self._blind_since is not None and now - self._blind_since >= _BLIND:
            self.begin()
        self._recognize(now)
        if self._late:
            self._ask_for_lists(now)
        elif self._untold:
            self._tell(self._untold.popleft())
        for name in [name for name, due in self._suspects.items() if due <= now]:
            self._examine(name, now)
            if self.timeout_is_over():
                break  # new ones start: they come first

    def timeout_is_over(self) -> bool:
        """Whether the kernel has events for us."""
        import select

        return bool(select.select([self.tree.queue.fd], [], [], 0)[0])

    def _take(self, seen: Seen) -> None:
        if seen.lost:
            self.log(service.WARNING, "the kernel dropped events: looking at everything", action="rescan")
            self.begin()
            return
        now = time.monotonic()
        for cgroup in seen.gone:
            self._forget(cgroup)
        for cgroup in seen.made:
            self._unknown[cgroup] = Unknown(now, now, _FIRST_NAP)
        for cgroup, file in seen.written:
            if cgroup in self._unknown:  # its runtime is at work there
                self._unknown[cgroup] = self._unknown[cgroup]._replace(due=now, nap=_FIRST_NAP)
            if file in _KNOB_FILES and (domain := self._known.get(cgroup)):
                starting = now - self._started.get(domain.qualified, -_STARTING) < _STARTING
                self._suspects[domain.qualified] = now + (0.0 if starting else _SETTLED)
        self._take_files(seen.others)
        if self.tree.full:
            self._mention_blindness()

    def _take_files(self, others: tuple[tuple[str, str], ...]) -> None:
        """What changed in the directories of configurations and records."""
        records = self.tuner.tools.state.records
        renew = False
        for folder, name in others:
            if name.startswith("."):
                continue  # being written
            runtime = os.path.basename(folder)
            own_name = name_of(name)
            if os.path.dirname(folder) == records and own_name is not None:
                self._recorded(runtime, own_name)
            else:
                renew = True
        if renew:
            self._renew()
            for runtime, file in self.tuner.tools.state.recorded():  # those in a folder that was just made
                own_name = name_of(file)
                if own_name is not None and f"{runtime}:{own_name}" not in self._records:
                    self._recorded(runtime, own_name)

    def _recorded(self, runtime: str, name: str) -> None:
        """Somebody told cputune something else, unless it was the guard itself: so it is no drift."""
        qualified = f"{runtime}:{name}"
        domain = next((domain for domain in self._known.values() if domain.qualified == qualified), None)
        domain = domain or self._found(runtime, name)
        record = self.tuner.tools.state.newest(domain) if domain else None
        if record == self._records.get(qualified):
            return
        self.fights.forget(qualified)
        self._reported.pop(qualified, None)
        self._records[qualified] = record
        if record is None:
            for cgroup in [cgroup for cgroup, known in self._known.items() if known.qualified == qualified]:
                self._forget(cgroup)
        elif domain and domain.running:
            self._keep(domain)

    def _mention_blindness(self) -> None:
        if self.tree.full is None:
            self._blind_since = None
            return
        if self._blind_since is None:
            self.log(
                service.ERROR,
                f"cannot watch every cgroup: {self.tree.full.strerror}; looking at all of them every {_BLIND:g} s; "
                "sysctl fs.inotify.max_user_watches=1048576",
                action="blind",
            )
        self._blind_since = time.monotonic()

    def _forget(self, cgroup: str) -> None:
        self._unknown.pop(cgroup, None)
        self._late.discard(cgroup)
        domain = self._known.pop(cgroup, None)
        if domain and not any(known.qualified == domain.qualified for known in self._known.values()):
            for kept in (self._started, self._suspects, self._reported, self._records):
                kept.pop(domain.qualified, None)
            self._doubtful.discard(domain.qualified)
            self.fights.forget(domain.qualified)

    # --- at start -----------------------------------------------------------------------------------------------------

    def _recognize(self, now: float) -> None:
        """Find out whose the new cgroups are, and put into force what is saved for them."""
        found: dict[str, Domain] = {}
        for cgroup, (since, due, nap) in list(self._unknown.items()):
            if due > now:
                continue
            domain = self._owner(cgroup)
            if domain:
                del self._unknown[cgroup]
                found.setdefault(domain.qualified, domain)
            elif not self._wanted:
                del self._unknown[cgroup]
            elif now - since > _RECOGNIZED:
                del self._unknown[cgroup]
                self._late.add(cgroup)
            else:
                self._unknown[cgroup] = Unknown(since, now + nap, min(nap * 2, _LONGEST_NAP))
            if len(found) == _AT_ONCE:  # so that the first need not wait for the last
                self._start(list(found.values()), now)
                found.clear()
        if found:
            self._start(list(found.values()), now)

    def _owner(self, cgroup: str) -> Domain | None:
        """The domain whose own cgroup this is; of several, the first that something is saved for."""
        owners = runtimes.of_cgroup(self.site, cgroup, self._wanted)
        return next((domain for domain in owners if self._saved.of(domain).named()), None)

    def _ask_for_lists(self, now: float) -> None:
        """Ask the runtimes for their lists, once for all cgroups whose names say nothing."""
        late, self._late = self._late, set()
        found = (domain for domain in self._listed() if domain.running and late & {domain.limit, domain.weight})
        self._start(list(found), now)

    def _start(self, domains: list[Domain], now: float) -> None:
        """Put what is saved into force where cputune has not put anything yet, and keep what it has."""
        jobs = []
        for domain in domains:
            if self.tuner.has_put(domain):
                self._note(domain)
                self._keep(domain)
                self._suspects.setdefault(domain.qualified, now)
            elif (change := self._saved.of(domain)).named():
                jobs.append(Job(domain, Request(change), "live"))
        if len(jobs) > 1 and self._put(jobs, now):
            return
        for job in jobs:
            self._put([job], now)

    def _put(self, jobs: list[Job], now: float) -> bool:
        """Put some into force as one transaction, or none; what fails of a single one is tried again for a while."""
        try:
            self.tuner.change(list(jobs), enter=False, tell=False)
        except CpuTuneError as error:
            if len(jobs) == 1:
                self._not_yet(jobs[0], error, now)
            return False
        for job in jobs:
            self._has_started(job.domain, job.request.change, now)
            if self._is_unit(job.domain):
                self._untold.append(job.domain)
        return True

    def _has_started(self, domain: Domain, change: Change, now: float) -> None:
        name = domain.qualified
        self._started[name] = now
        self._note(domain)
        self._suspects[name] = now + _LAST_LOOK
        self.fights.forget(name)
        self._keep(domain)
        values = " ".join(f"{key}={words(key, value)}" for key, value in change.named().items())
        self.log(service.INFO, f"{name}: started; put into force: {values}", domain=name, action="started")

    def _not_yet(self, job: Job, error: CpuTuneError, now: float) -> None:
        domain = job.domain
        passing = isinstance(error, (Busy, Unsupported, WrongState, NoSuchDomain, Gone))
        cgroup = domain.limit or ""
        if isinstance(error, Unsupported) and self._is_unit(domain) and self._tell(domain, starting=True):
            return  # systemd has enabled the controller
        since = self._started.setdefault(domain.qualified, now)
        if passing and now - since < _RECOGNIZED and self.site.exists(cgroup):
            self._unknown[cgroup] = Unknown(since, now + _SETTLED, _SETTLED)
            return
        self._started.pop(domain.qualified, None)
        if self.site.exists(cgroup):
            self._complain(domain, "not put into force", error)

    def _complain(self, domain: Domain, what: str, error: CpuTuneError) -> None:
        hint = f" (hint: {error.hint})" if error.hint else ""
        self.log(
            service.ERROR,
            f"{domain.qualified}: {what}: {error.message}{hint}",
            domain=domain.qualified,
            action="failed",
        )

    def _note(self, domain: Domain) -> None:
        """Know the record that is there now."""
        self._records[domain.qualified] = self.tuner.tools.state.newest(domain)

    def _keep(self, domain: Domain) -> None:
        self._known.update(dict.fromkeys((seat.cgroup for seat in domain.seats()), domain))

    def _is_unit(self, domain: Domain) -> bool:
        return self.tuner.tools.systemd.booted() and any(unit_of(seat.cgroup) for seat in domain.seats())

    def _tell(self, domain: Domain, *, starting: bool = False) -> bool:
        """Have systemd hold what was put into force, so that it stays; whether that is done."""
        applied = self.tuner.tools.state.applied(domain)
        change = self._saved.of(domain) if starting or applied is None else applied.change
        try:
            self.tuner.change([Job(domain, Request(change), "live")], enter=False)
        except Busy:
            self._untold.append(domain)
            return False
        except CpuTuneError as error:
            if not starting and self.site.exists(domain.limit or ""):
                self._complain(domain, "systemd was not told", error)
            return False
        if starting:
            self._has_started(domain, change, time.monotonic())
        self._note(domain)
        return True

    # --- kept ---------------------------------------------------------------------------------------------------------

    def _examine(self, name: str, now: float) -> None:
        """Compare a domain with what cputune put there, while no other cputune works on it."""
        self._suspects.pop(name, None)
        domain = next((domain for domain in self._known.values() if domain.qualified == name), None)
        if domain is None:
            return
        try:
            with self.tuner.serialised(lambda _: keys_of(self.site, [domain])):
                found, change = self._differences(domain)
        except Busy:
            self._suspects[name] = now + 1
            return
        except CpuTuneError:
            if self.site.exists(domain.limit or ""):  # else its end is an event, too
                self._suspects[name] = now + _LAST_LOOK
            return
        last_look = self._started.get(name, -_STARTING) + _LAST_LOOK
        if now < last_look:
            self._suspects[name] = last_look
        if not found:
            self._reported.pop(name, None)
            return
        if now - self._started.get(name, -_STARTING) < _STARTING:
            self._put_back(domain, change, found, "the runtime's own values at the start", service.INFO)
        else:
            self._judge(domain, change, found, now)

    def _differences(self, domain: Domain) -> tuple[list[Difference], Change]:
        """What differs from what cputune put into force in this very cgroup, and that."""
        applied = self.tuner.tools.state.applied(domain) if self.tuner.has_put(domain) else None
        if applied is None:
            return [], Change()
        state = self.tuner.read(domain)
        version = self.site.hierarchy.version
        if not any(one.drift for one in explain(Facts(domain, version, state, applied=applied.change))):
            return [], applied.change
        facts = facts_of(self.tuner, domain, state, Change(), self.tuner.remembered(domain))
        return [one for one in explain(facts) if one.drift], applied.change

    def _judge(self, domain: Domain, change: Change, found: list[Difference], now: float) -> None:
        """Report what somebody else has changed, or put it back."""
        name, writer = domain.qualified, found[0].cause
        if writer.startswith(SOMEBODY) and memory.of(domain) and name not in self._doubtful:
            # A runtime writes to the kernel first, and what it remembers a moment later.
            self._doubtful.add(name)
            self._suspects[name] = now + _REMEMBERED
            return
        self._doubtful.discard(name)
        lines = [text(one) for one in found]
        if self.enforce and self.fights.may_go_on(name, writer, now):
            self._put_back(domain, change, found, writer, service.WARNING)
        elif lines != self._reported.get(name):
            self._reported[name] = lines
            given_in = self.enforce and self.fights.is_over(name)
            why = (
                f"left alone, being changed back again and again: cputune apply {name}" if given_in else "not put back"
            )
            priority = service.ERROR if given_in else service.WARNING
            self._tell_drift(domain, found, why, "left-alone" if given_in else "reported", priority)

    def _put_back(self, domain: Domain, change: Change, found: list[Difference], writer: str, priority: int) -> None:
        try:
            self.tuner.change([Job(domain, Request(change), "live")], enter=False)
        except Busy:
            self._suspects[domain.qualified] = time.monotonic() + 1
            return
        except CpuTuneError as error:
            if self.site.exists(domain.limit or ""):
                self._complain(domain, f"{writer}; not put back", error)
            return
        self._note(domain)
        self._reported.pop(domain.qualified, None)
        self._tell_drift(domain, found, "put back", "repaired", priority)

    def _tell_drift(self, domain: Domain, found: list[Difference], what: str, action: str, priority: int) -> None:
        for one in found:
            self.log(
                priority,
                f"{domain.qualified}: {text(one)}: {what}",
                domain=domain.qualified,
                action=action,
                key=one.key,
                applied=words(one.key, one.applied),
                live=words(one.key, one.live),
                cause=one.cause,
            )
