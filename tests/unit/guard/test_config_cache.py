"""The configurations that the guard keeps in memory."""

from __future__ import annotations

from cputune.config.store import Store
from cputune.core.model import Change
from cputune.guard.config_cache import ConfigCache
from tests.support.containers import save
from tests.support.fakekernel import FakeKernel
from tests.support.saved import WEB


def test_configurations_are_those_of_the_store(v2: FakeKernel) -> None:
    told: list[str] = []
    saved = ConfigCache(lambda what, error: told.append(f"{what}: {error.message}"))
    saved.refresh(Store(v2))
    assert (saved.effective(WEB), saved.runtimes) == (Change(), frozenset())
    save(v2, "web", "version: 1\nquota: 50000\n")
    save(v2, "w%2A", "version: 1\nquota: 60000\n")
    broken = save(v2, "db", "version: 1\nquota: 5\n")
    copy = save(v2, "web~1", 'version: 1\ndomain: "lxc:web"\nquota: 9000\n')
    for _ in range(2):
        saved.refresh(Store(v2))
        assert saved.effective(WEB) == Store(v2).effective(WEB).change == Change(quota=50000)
        assert saved.effective(WEB._replace(name="w2")) == Change(quota=60000)
        assert saved.effective(WEB._replace(name="db")) == Change()
    assert [line.partition(" ")[0] for line in told] == ["lxc:db:", "lxc:web:"]
    assert f"{broken}:2:8: " in told[0]
    assert str(copy) in told[1]
    save(v2, "db", "version: 1\nquota: 5000\n")
    saved.refresh(Store(v2))
    assert saved.effective(WEB._replace(name="db")) == Change(quota=5000)
