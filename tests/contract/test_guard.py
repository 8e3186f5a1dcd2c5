"""The guard's turns, one by one: what is saved is in force from the start, and stays, on the fakes and the real kernel.

The domains are containers of docker's, whose records are below a root of the test's own; its kernel is the lab's.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cputune.app.forget import forget_job
from cputune.app.tuner import Tuner
from cputune.core.errors import Refused
from cputune.guard.backoff import MAX_REPAIRS
from cputune.guard.inotify import OVERFLOW, Event
from cputune.planning.plan import Plan
from cputune.transaction.journal import Page
from tests.support.fakekernel import FakeKernel
from tests.support.guarded import Guarded
from tests.support.lab import Lab, docker_id
from tests.support.locks import held_in


@pytest.fixture
def guarded(lab: Lab, tmp_path: Path) -> Iterator[Guarded]:
    found = Guarded(lab, tmp_path)
    lab.make("docker")
    yield found
    if found.dispatcher:
        found.dispatcher.tree.close()


def test_what_is_saved_is_in_force_when_a_container_starts(guarded: Guarded) -> None:
    guarded.save("docker:web", quota=50000, weight=200)
    guarded.begin()
    cgroup = guarded.start("web", 1)
    guarded.until(lambda: guarded.quota(cgroup) == 50000)
    state = guarded.lab.state(cgroup)
    assert 200 in (state.weight, (state.shares or 0) * 100 // 1024)
    assert guarded.actions() == ["started"]
    assert guarded.tuner.history() == []  # nobody has changed anything


def test_what_runs_already_gets_it_when_the_guard_begins(guarded: Guarded) -> None:
    cgroup = guarded.start("web", 1)
    guarded.has_started("web", cgroup)
    guarded.save("docker:web", quota=50000)
    guarded.begin()
    assert guarded.quota(cgroup) == 50000


def test_what_is_being_started_when_the_guard_begins_is_not_missed(guarded: Guarded) -> None:
    guarded.save("docker:web", quota=50000)
    cgroup = guarded.start("web", 1)  # and no record says that it runs
    guarded.begin()
    guarded.until(lambda: guarded.quota(cgroup) == 50000)


def test_what_was_set_by_cputune_since_the_start_is_left_as_it_is(guarded: Guarded) -> None:
    cgroup = guarded.start("web", 1)
    guarded.has_started("web", cgroup)
    guarded.save("docker:web", quota=50000)
    guarded.set("docker:web", "live", quota=70000)
    guarded.begin(enforce=True)
    guarded.set("docker:web", "live", burst=1000)
    guarded.calm()
    assert guarded.quota(cgroup) == 70000
    assert guarded.told == []


def test_a_container_that_comes_back_under_its_name_and_one_that_a_pattern_fits(guarded: Guarded) -> None:
    guarded.save("docker:web", quota=50000)
    guarded.save("docker:web-*", quota=20000)
    guarded.begin()
    first = guarded.start("web", 1)
    guarded.until(lambda: guarded.quota(first) == 50000)
    guarded.lab.remove(first)
    guarded.until(lambda: not guarded.dispatcher.registry.by_cgroup)  # type: ignore[union-attr]
    again, other = guarded.start("web", 2), guarded.start("web-7", 3)
    guarded.until(lambda: (guarded.quota(again), guarded.quota(other)) == (50000, 20000))
    alien = guarded.start("cache", 4)
    guarded.until(lambda: not guarded.dispatcher.startup.pending and not guarded.dispatcher.startup.overdue)  # type: ignore[union-attr]
    assert guarded.lab.state(alien).limit_cpus is None


def test_what_is_saved_while_the_guard_runs_counts_from_the_next_start(guarded: Guarded) -> None:
    cgroup = guarded.start("web", 1)
    guarded.has_started("web", cgroup)
    dispatcher = guarded.begin()  # there is no directory of configurations so far
    guarded.until(lambda: not dispatcher.startup.pending)
    guarded.save("docker:web", quota=50000)
    guarded.save("docker:db-*", quota=30000)
    other = guarded.start("db-1", 2)
    guarded.until(lambda: guarded.quota(other) == 30000)
    assert guarded.lab.state(cgroup).limit_cpus is None


def test_many_that_start_at_once(guarded: Guarded) -> None:
    guarded.save("docker:web-*", quota=50000)
    guarded.begin()
    cgroups = [guarded.start(f"web-{number}", number) for number in range(100)]
    guarded.until(lambda: all(guarded.quota(cgroup) == 50000 for cgroup in cgroups))
    assert guarded.actions() == ["started"] * 100


def test_one_that_cannot_be_does_not_keep_the_others_from_theirs(guarded: Guarded) -> None:
    guarded.save("docker:web-*", quota=50000)
    guarded.save("docker:bad-*", quota=5000, burst=4000, period=1000)
    bad = guarded.records.parents[3] / "etc" if isinstance(guarded.host, FakeKernel) else guarded.records.parents[4]
    files = list(bad.rglob("bad-%2A.yaml"))
    files[0].write_text("version: 1\nquota: 5\n")
    guarded.begin()
    broken, good = guarded.start("bad-1", 1), guarded.start("web-1", 2)
    guarded.until(lambda: guarded.quota(good) == 50000)
    guarded.until(lambda: "unreadable" in guarded.actions())
    assert guarded.lab.state(broken).limit_cpus is None


def test_what_the_runtime_writes_last_at_the_start_does_not_stay(guarded: Guarded) -> None:
    guarded.save("docker:web", quota=50000)
    guarded.begin()  # without --enforce
    cgroup = guarded.start("web", 1)
    guarded.until(lambda: guarded.quota(cgroup) == 50000)
    guarded.lab.put(cgroup, quota=90000)
    guarded.until(lambda: guarded.actions().count("repaired") and guarded.quota(cgroup) == 50000)


def test_a_change_by_somebody_else_is_reported_once_and_stays(guarded: Guarded) -> None:
    guarded.save("docker:web", quota=50000)
    guarded.begin()
    cgroup = guarded.start("web", 1)
    guarded.until(lambda: guarded.quota(cgroup) == 50000)
    guarded.pass_time()
    guarded.lab.put(cgroup, quota=90000)
    guarded.until(lambda: "reported" in guarded.actions())
    message, fields = guarded.told[-1]
    assert message == "docker:web: quota: applied 50000, live 90000 (somebody else changed it): not put back"
    assert fields == {
        "domain": "docker:web",
        "action": "reported",
        "key": "quota",
        "applied": "50000",
        "live": "90000",
        "cause": "somebody else changed it",
    }
    guarded.lab.write("quota", guarded.lab.words(90000), cgroup)
    guarded.calm()
    assert guarded.actions() == ["started", "reported"]
    assert guarded.quota(cgroup) == 90000


def test_with_enforce_it_is_put_back_and_the_cause_named(guarded: Guarded) -> None:
    guarded.save("docker:web", quota=50000, weight=300)
    guarded.begin(enforce=True)
    cgroup = guarded.start("web", 1)
    guarded.until(lambda: guarded.quota(cgroup) == 50000)
    guarded.pass_time()
    host_config = guarded.records / cgroup.rpartition("/")[2] / "hostconfig.json"
    host_config.write_text(json.dumps({"CpuQuota": 90000, "CpuPeriod": 100000}))
    guarded.lab.put(cgroup, quota=90000)
    guarded.until(lambda: guarded.quota(cgroup) == 50000)
    assert guarded.told[-1][0] == (
        "docker:web: quota: applied 50000, live 90000 (docker put back what it remembers): put back"
    )


def test_what_is_set_through_cputune_is_no_drift_and_is_kept_from_then_on(guarded: Guarded) -> None:
    guarded.save("docker:web", quota=50000)
    guarded.begin(enforce=True)
    cgroup = guarded.start("web", 1)
    guarded.has_started("web", cgroup)
    guarded.until(lambda: guarded.quota(cgroup) == 50000)
    guarded.pass_time()
    guarded.set("docker:web", "live", quota=70000)
    guarded.calm()
    assert guarded.quota(cgroup) == 70000
    guarded.lab.put(cgroup, quota=90000)
    guarded.until(lambda: guarded.quota(cgroup) == 70000)
    assert guarded.actions() == ["started", "repaired"]


def test_what_only_set_has_put_there_is_kept_too(guarded: Guarded) -> None:
    cgroup = guarded.start("web", 1)
    guarded.has_started("web", cgroup)
    guarded.begin(enforce=True)
    guarded.set("docker:web", "live", quota=70000)
    guarded.until(lambda: guarded.dispatcher.registry.by_cgroup)  # type: ignore[union-attr]
    guarded.lab.put(cgroup, quota=90000)
    guarded.until(lambda: guarded.quota(cgroup) == 70000)


def test_of_a_cgroup_with_two_names_the_change_of_one_is_no_drift_of_the_other(guarded: Guarded) -> None:
    cgroup = guarded.start("web", 1)
    guarded.has_started("web", cgroup)
    other = guarded.lab.name(cgroup)
    guarded.set("docker:web", "live", quota=70000)
    guarded.set(other, "live", quota=60000, shares=512)
    guarded.set("docker:web", "live", burst=1000)  # its record is the newest, and has 70000
    guarded.begin(enforce=True)
    guarded.calm()
    assert guarded.quota(cgroup) == 60000
    guarded.set(other, "live", quota=50000)
    guarded.calm()
    assert guarded.quota(cgroup) == 50000
    assert guarded.actions() == []
    guarded.lab.put(cgroup, quota=90000)
    guarded.until(lambda: guarded.quota(cgroup) == 50000)


def test_what_was_suspected_under_one_name_is_compared_under_the_next_one(guarded: Guarded) -> None:
    cgroup = guarded.start("web", 1)
    guarded.has_started("web", cgroup)
    guarded.set("docker:web", "live", quota=70000)
    guarded.begin(enforce=True)
    guarded.calm()
    guarded.lab.put(cgroup, shares=2048)
    guarded.set(guarded.lab.name(cgroup), "live", quota=60000)
    guarded.lab.put(cgroup, quota=90000)
    guarded.until(lambda: guarded.quota(cgroup) == 60000)


def test_what_a_killed_guard_had_begun_is_put_back_and_then_begun_anew(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded.save("docker:web-*", quota=50000)
    guarded.begin()
    cgroups = [guarded.start(f"web-{number}", number) for number in (1, 2)]
    with monkeypatch.context() as patch:
        patch.setattr(Page, "remove", lambda _: None)  # killed when all was done but that
        guarded.until(lambda: all(guarded.quota(cgroup) == 50000 for cgroup in cgroups))
    assert guarded.dispatcher
    guarded.dispatcher.tree.close()
    guarded.begin()
    third = guarded.start("web-3", 3)  # with it, whatever is left would be put back
    guarded.until(lambda: guarded.quota(third) == 50000)
    guarded.calm()
    assert [guarded.quota(cgroup) for cgroup in cgroups] == [50000, 50000]


def test_what_the_runtime_sets_after_the_guard_is_what_forget_brings_back(guarded: Guarded) -> None:
    guarded.save("docker:web", quota=50000)
    guarded.begin()
    cgroup = guarded.start("web", 1)
    guarded.until(lambda: guarded.quota(cgroup) == 50000)
    guarded.lab.put(cgroup, quota=25000, period=50000)
    guarded.has_started("web", cgroup)
    guarded.until(lambda: guarded.quota(cgroup) == 50000)
    guarded.calm()
    assert "set during the start, probably by the runtime" in guarded.told[-1][0]
    tuner = Tuner(guarded.host)
    tuner.change([forget_job(tuner, tuner.find("docker:web"), live=True)])
    state = guarded.lab.state(cgroup)
    assert (state.quota, state.period) == (25000, 50000)


def test_what_an_ancestor_refused_is_tried_again_once_that_was_raised(guarded: Guarded) -> None:
    guarded.save("docker:web", quota=50000)
    guarded.lab.put("docker", quota=30000)
    guarded.begin()
    cgroup = guarded.start("web", 1)
    if guarded.lab.version == 2:
        guarded.until(lambda: guarded.quota(cgroup) == 50000)
        return
    guarded.until(lambda: "failed" in guarded.actions())
    guarded.lab.put("docker", quota=90000)
    guarded.until(lambda: guarded.quota(cgroup) == 50000)
    assert guarded.actions() == ["failed", "started"]


def test_it_does_not_fight(guarded: Guarded) -> None:
    guarded.save("docker:web", quota=50000)
    guarded.begin(enforce=True)
    cgroup = guarded.start("web", 1)
    guarded.has_started("web", cgroup)
    guarded.until(lambda: guarded.quota(cgroup) == 50000)
    guarded.pass_time()
    for turn in range(MAX_REPAIRS):
        guarded.lab.put(cgroup, quota=90000)
        guarded.until(lambda turn=turn: guarded.actions().count("repaired") == turn + 1)  # type: ignore[misc]
    guarded.lab.put(cgroup, quota=90000)
    guarded.until(lambda: guarded.actions()[-1] == "left-alone")
    assert guarded.quota(cgroup) == 90000
    assert guarded.told[-1][0].endswith(
        "left alone, since it is changed back again and again; to resume: cputune apply docker:web"
    )
    guarded.set("docker:web", "live", quota=50000)  # the same again, and yet it begins anew
    guarded.calm()
    guarded.lab.put(cgroup, quota=90000)
    guarded.until(lambda: guarded.quota(cgroup) == 50000)


def test_drift_from_before_it_began_is_found(guarded: Guarded) -> None:
    cgroup = guarded.start("web", 1)
    guarded.has_started("web", cgroup)
    guarded.set("docker:web", "live", quota=70000)
    guarded.lab.put(cgroup, quota=90000)
    guarded.begin(enforce=True)
    guarded.until(lambda: guarded.quota(cgroup) == 70000)


def test_while_another_cputune_works_on_a_domain_it_is_no_drift(guarded: Guarded) -> None:
    guarded.save("docker:web", quota=50000)
    guarded.begin(enforce=True)
    cgroup = guarded.start("web", 1)
    guarded.until(lambda: guarded.quota(cgroup) == 50000)
    guarded.pass_time()
    with held_in(guarded.host.state_dir, "docker:web"):
        guarded.lab.put(cgroup, quota=90000)
        guarded.turn_for(10)
        assert guarded.quota(cgroup) == 90000
    guarded.until(lambda: guarded.quota(cgroup) == 50000)


def test_lost_events_are_made_up_for(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    guarded.save("docker:web-*", quota=50000)
    dispatcher = guarded.begin(enforce=True)
    first = guarded.start("web-1", 1)
    guarded.until(lambda: guarded.quota(first) == 50000)
    guarded.pass_time()
    second = guarded.start("web-2", 2)
    guarded.lab.put(first, quota=90000)
    while dispatcher.tree.queue.read():  # nobody hears of these
        pass
    told = iter([[Event(-1, OVERFLOW, "")]])
    really = dispatcher.tree.queue.read
    monkeypatch.setattr(dispatcher.tree.queue, "read", lambda: next(told, None) or really())
    guarded.until(lambda: (guarded.quota(first), guarded.quota(second)) == (50000, 50000))
    assert "rescan" in guarded.actions()
    third = guarded.start("web-3", 3)
    guarded.until(lambda: guarded.quota(third) == 50000)


def test_a_cgroup_that_somebody_else_called_like_roots_container_is_not_its(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded.save("docker:web", quota=50000)
    dispatcher = guarded.begin()
    own = guarded.start("web", 1)
    guarded.until(lambda: guarded.quota(own) == 50000)
    fake = f"user/docker-{docker_id(1)}.scope"
    really = guarded.host.owner
    monkeypatch.setattr(guarded.host, "owner", lambda path: 1000 if "/user/" in path else really(path))
    guarded.lab.make(fake)
    guarded.until(lambda: not dispatcher.startup.pending and not dispatcher.startup.overdue)
    assert guarded.lab.state(fake).limit_cpus is None
    assert set(dispatcher.registry.by_cgroup) == {guarded.lab.path(own)}


def test_without_a_watch_for_every_cgroup_it_looks_itself(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    guarded.save("docker:web-*", quota=50000)
    dispatcher = guarded.begin()
    really = dispatcher.tree.queue.add

    def full(directory: str, mask: int) -> int:
        if "/docker/" in directory and "cgroup" in directory:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return really(directory, mask)

    monkeypatch.setattr(dispatcher.tree.queue, "add", full)
    inner = guarded.start("web-1", 1)
    guarded.until(lambda: guarded.quota(inner) == 50000)
    guarded.until(lambda: guarded.actions().count("blind") == 1)
    guarded.lab.put(inner, quota=90000)
    dispatcher.registry.started.clear()
    guarded.until(lambda: "reported" in guarded.actions())  # and no event told of it
    monkeypatch.setattr(dispatcher.tree.queue, "add", really)
    guarded.until(lambda: not dispatcher._polling)


def test_what_was_refused_is_tried_again_and_told_once(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    guarded.save("docker:web", quota=50000)
    guarded.begin()
    really = guarded.tuner.change

    def refused(*_: object, **__: object) -> Plan:
        raise Refused("no room")

    monkeypatch.setattr(guarded.tuner, "change", refused)
    cgroup = guarded.start("web", 1)
    guarded.until(lambda: "failed" in guarded.actions())
    guarded.turn_for(300)
    assert guarded.actions() == ["failed"]
    monkeypatch.setattr(guarded.tuner, "change", really)
    guarded.until(lambda: guarded.quota(cgroup) == 50000)


def test_what_another_cputune_works_on_when_the_guard_begins_has_its_turn_later(guarded: Guarded) -> None:
    cgroup = guarded.start("web", 1)
    guarded.has_started("web", cgroup)
    guarded.save("docker:web", quota=50000)
    with held_in(guarded.host.state_dir, "docker:web"):
        guarded.begin()
        guarded.turn_for(1)
        assert guarded.lab.state(cgroup).limit_cpus is None
    guarded.until(lambda: guarded.quota(cgroup) == 50000)


def test_a_group_that_somebody_made_idle_is_put_right(guarded: Guarded) -> None:
    guarded.save("docker:web", quota=50000, weight=300)
    guarded.begin(enforce=True)
    cgroup = guarded.start("web", 1)
    guarded.until(lambda: guarded.quota(cgroup) == 50000)
    before = guarded.lab.state(cgroup)
    guarded.pass_time()
    guarded.lab.write("idle", "1", cgroup)
    guarded.until(lambda: guarded.lab.state(cgroup) == before)


def test_the_name_that_was_used_last_counts_where_a_cgroup_has_two(guarded: Guarded) -> None:
    cgroup = guarded.start("web", 1)
    guarded.has_started("web", cgroup)
    guarded.set(guarded.lab.name(cgroup), "live", quota=30000)
    guarded.age_records()
    guarded.set("docker:web", "live", quota=70000)
    guarded.begin(enforce=True)
    guarded.calm()
    assert guarded.quota(cgroup) == 70000


def test_nothing_is_left_of_what_went_away(guarded: Guarded) -> None:
    guarded.save("docker:web-*", quota=50000)
    dispatcher = guarded.begin()
    cgroups = [guarded.start(f"web-{number}", number) for number in range(3)]
    guarded.until(lambda: all(guarded.quota(cgroup) == 50000 for cgroup in cgroups))
    assert len(guarded.tuner.context.records.names()) == 3
    for cgroup in cgroups:
        guarded.lab.remove(cgroup)
    guarded.until(lambda: not guarded.tuner.context.records.names())
    registry = dispatcher.registry
    guarded.until(
        lambda: not any((registry.by_cgroup, registry.records, registry.started, registry.checks, registry.reported))
    )
    assert not {guarded.lab.path(cgroup) for cgroup in cgroups} & set(dispatcher.startup.pending)


def test_lost_events_end_no_truce(guarded: Guarded) -> None:
    guarded.save("docker:web", quota=50000)
    dispatcher = guarded.begin(enforce=True)
    cgroup = guarded.start("web", 1)
    guarded.until(lambda: guarded.quota(cgroup) == 50000)
    for turn in range(MAX_REPAIRS + 1):
        guarded.pass_time()
        guarded.lab.put(cgroup, quota=90000)
        guarded.until(lambda turn=turn: len(guarded.told) == turn + 2)  # type: ignore[misc]
    assert guarded.actions()[-1] == "left-alone"
    dispatcher.scan()
    guarded.calm()
    assert guarded.quota(cgroup) == 90000
    dispatcher.reload()
    guarded.until(lambda: guarded.quota(cgroup) == 50000)
