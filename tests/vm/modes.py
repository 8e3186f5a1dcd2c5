"""Which tests need not run in which mode of the guest: they can find nothing there that another mode does not show.

Where the cpu controller is on v1, systemd and the runtimes write the same files in the same way, whether systemd's own
hierarchy is v1 too (legacy) or v2 (hybrid): what differs is how cgroups and units are found, which is tested in both.
"""

from __future__ import annotations

_AS_ON_LEGACY = "on hybrid the files of the cpu controller, and who writes them, are those of legacy"
_RECORDS = "reads the records of a runtime, which are the same in every mode"
_GUARD = "about the guard's own units and patience; its work on v1 is tested with real runtimes here, and on v1 kernels"
_USERS = "about sudo, and files of cputune's own, which no cgroup has to do with"

NOT_ON: dict[str, dict[str, str]] = {
    "unified": {},
    "legacy": {
        "test_guard.py::test_it_gives_in_to_one_that_comes_back_again_and_again": _GUARD,
        "test_guard.py::test_killed_and_started_again_in_the_middle_of_fifty_starts_it_misses_none": _GUARD,
        "test_guard.py::test_a_timer_in_its_place": _GUARD,
        "test_hooks.py::test_no_hook_keeps_a_container_from_starting": "about hooks that fail, and so change no cgroup",
        "test_names.py::test_an_id_may_be_shortened_and_a_name_comes_first": _RECORDS,
        "test_names.py::test_a_half_written_record_is_said_and_hides_no_other_container": _RECORDS,
        "test_rights.py::test_anybody_sees_what_is_saved": _USERS,
        "test_rights.py::test_everybody_has_a_history_of_his_own": _USERS,
        "test_rights.py::test_one_line_for_sudo": _USERS,
        "test_rights.py::test_what_sudo_keeps_of_a_users_environment_moves_nothing": _USERS,
        "test_without_power.py::test_a_power_failure_between_two_saved_configurations": "about files on a disk only",
    },
    "hybrid": {
        "test_config.py": "about what is saved and applied: the same files of the cpu controller as on legacy",
        "test_guard.py": _AS_ON_LEGACY,
        "test_hooks.py": _AS_ON_LEGACY,
        "test_native.py": _AS_ON_LEGACY,
        "test_plan.py": _AS_ON_LEGACY,
        "test_rights.py": _AS_ON_LEGACY,
        "test_transactions.py": _AS_ON_LEGACY,
        "test_without_power.py": _AS_ON_LEGACY,
        "test_names.py::test_an_id_may_be_shortened_and_a_name_comes_first": _RECORDS,
        "test_names.py::test_a_half_written_record_is_said_and_hides_no_other_container": _RECORDS,
    },
}
"""By mode: a file, or one of its tests, and why it is left out."""


def needed(mode: str, file: str, test: str) -> bool:
    """Whether a test, of any parameters, can find something in this mode."""
    return not {file, f"{file}::{test}"} & NOT_ON[mode].keys()
