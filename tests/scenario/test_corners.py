"""Small stories of which each went wrong once."""

from pathlib import Path

import pytest

from licfsm.loading.scenarios import load_scenario
from licfsm.scenario.replay import replay

STORIES = {
    # A check under way at the deadline stays the last one, also after a restart (5.2, 7.3).
    "a_restart_does_not_excuse_a_deadline_that_passed_while_the_host_ran": """
version: 1
policy: veeam-9
license: {type: subscription, expires: 2025-02-14}
start: 2025-03-14T09:00
timeline:
  - {at: start, host: enable}
  - {at: 2025-03-14T12:00, server: {answer: up_to_date, takes: 3 hours}}
  - {at: 2025-03-14T23:00, host: check_now}
  - {at: 2025-03-15T00:10, host: restart}
  - {at: 2025-03-15T04:00, expect: {auto_update: AutoUpdateDisabled}}
""",
    # Ten hours of Retry-After, counted from the corrected clock, 10:30 (4.2, 7.6).
    "a_corrected_clock_keeps_what_the_server_asked_for": """
version: 1
policy: veeam-7
license: {type: subscription, expires: 2025-06-30}
start: 2025-02-01T09:00
timeline:
  - {at: start, server: {answer: connection_failed, retry_after: 10 hours}}
  - {at: start, host: enable}
  - {at: start + 1 hour, world: {clock: 2025-02-05T10:00}}
  - {at: start + 90 minutes, world: {clock: 2025-02-01T10:30}}
  - {at: start + 90 minutes, expect: {next_check: 2025-02-01T20:30}}
""",
    # Free mode lasts no instant: nothing is told of it but policy, key, and the grace before (7.2).
    "a_renewal_at_the_instant_of_a_policy_change_spares_the_notice": """
version: 1
policy: veeam-9
license: {type: subscription, expires: 2025-02-14}
start: 2025-03-02T09:00
timeline:
  - {at: start, host: enable}
  - {at: 2025-03-03T09:00, server: {answer: new_key, expires: 2026-02-14}}
  - {at: 2025-03-03T09:00, world: {policy: veeam-7}}
  - {at: 2025-03-03T09:00, expect: {reports: 3}}
""",
    # What changes outside comes first, also at the start (7.1).
    "mail_that_is_down_at_the_start_is_down_for_the_first_notice": """
version: 1
policy: veeam-9
license: {type: subscription, expires: 2025-02-14}
start: 2025-02-20T09:00
timeline:
  - {at: start, world: {mail: down}}
  - {at: start, expect: {mails: 0, reports: 1}}
""",
    # The state that the policy leads to waits for the question asked again (7.2, 7.3).
    "a_host_that_wakes_to_another_policy_in_mid_check_tells_after_the_answer": """
version: 1
policy: veeam-9
license: {type: subscription, expires: 2025-02-14}
start: 2025-03-02T09:00
timeline:
  - {at: start, server: {answer: up_to_date, takes: 1 hour}}
  - {at: start, host: enable}
  - {at: start + 10 minutes, host: {do: suspend, until: 2025-03-02T10:00}}
  - {at: start + 20 minutes, world: {policy: veeam-7}}
  - {at: start + 30 minutes, server: {answer: new_key, expires: 2026-02-14}}
  - {at: start + 3 hours, expect: {reports: 3}}
""",
    # The state that a changed policy leads to is told, though the clock is behind the memory (2.5, 7.5).
    "a_policy_changed_while_the_clock_is_behind": """
version: 1
policy: veeam-9
license: {type: perpetual, expires: 2025-02-27}
start: 2025-02-22T06:45
timeline:
  - {at: 2025-03-03T11:35, world: {clock: 2025-01-22T11:35}}
  - {at: 2025-03-05T00:18, world: {policy: veeam-8}}
  - {at: 2025-03-05T00:18, expect: {entitlement: Grace, reports: 5}}  # expiring, free mode, clock, policy, grace
""",
}


@pytest.mark.parametrize("name", STORIES)
def test_corner(name: str, tmp_path: Path) -> None:
    """The story goes as its expectations say."""
    path = tmp_path / f"{name}.yaml"
    path.write_text(STORIES[name], encoding="utf-8")
    assert [] == replay(load_scenario(path)).failures
