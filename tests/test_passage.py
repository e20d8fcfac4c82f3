"""One person through one gate, as sequences of what is seen and what must follow."""

from __future__ import annotations

from gate.decision import AskSecondFactor, Decision, Open, Refuse, Wait
from gate.passage import (
    NO_FACE,
    Candidate,
    Command,
    OpenDoor,
    Phase,
    Policy,
    Show,
    State,
    forget_gone,
    may_decide,
    step,
    unopened,
)
from gate.words import Word
from models.wire.tap import Evidence, PassEvidence

POLICY = Policy(clear_s=1.0, anti_passback_s=300.0)
EVIDENCE = Evidence(
    engine="dlib-resnet-1", score=0.5, margin=0.2, frames=3, liveness=None, gallery_version=1
)
ANNA, BORIS = "a" * 32, "b" * 32


def sees(track_id: int, decision: Decision) -> Candidate:
    return Candidate(track_id, decision, positioned=not isinstance(decision, Wait))


def opens(account: str) -> Open:
    return Open(account, EVIDENCE)


def play(*seen: tuple[float, Candidate | None], state: State | None = None) -> list[Command]:
    """Feed observations in order and collect every command."""
    state = state or State()
    commands: list[Command] = []
    for now_s, candidate in seen:
        state, new = step(state, candidate, now_s, POLICY)
        commands.extend(new)
    return commands


def doors(commands: list[Command]) -> list[str]:
    return [command.account for command in commands if isinstance(command, OpenDoor)]


def test_a_rider_who_walks_up_is_advised_then_let_through() -> None:
    commands = play(
        (0.0, sees(1, Wait("Come closer."))),
        (0.5, sees(1, Wait("Come closer."))),
        (1.0, sees(1, opens(ANNA))),
    )
    assert commands == [
        Show(Phase.POSITION, "Come closer."),
        OpenDoor(ANNA, EVIDENCE),
        Show(Phase.OPEN, ""),
    ]


def test_the_same_advice_is_shown_once() -> None:
    commands = play(*((t / 10, sees(1, Wait("Come closer."))) for t in range(20)))
    assert commands == [Show(Phase.POSITION, "Come closer.")]


def test_one_passage_opens_once_however_long_the_rider_stands_there() -> None:
    commands = play(*((t / 10, sees(1, opens(ANNA))) for t in range(600)))
    assert doors(commands) == [ANNA]


def test_a_rider_whose_track_breaks_is_not_charged_again() -> None:
    commands = play(
        (0.0, sees(1, opens(ANNA))),
        (0.5, None),
        (3.0, None),
        (3.5, sees(2, opens(ANNA))),
    )
    assert doors(commands) == [ANNA]
    assert commands[-1] == Show(Phase.ALREADY_PASSED, Word.JUST_PASSED)


def test_after_the_anti_passback_time_the_rider_may_pass_again() -> None:
    commands = play(
        (0.0, sees(1, opens(ANNA))), (5.0, None), (POLICY.anti_passback_s, sees(2, opens(ANNA)))
    )
    assert doors(commands) == [ANNA, ANNA]


def test_of_two_riders_behind_each_other_both_pass_in_turn() -> None:
    commands = play(
        (0.0, sees(1, opens(ANNA))),
        (0.4, sees(2, opens(BORIS))),
        (1.2, sees(2, opens(BORIS))),
    )
    assert doors(commands) == [ANNA, BORIS]


def test_the_next_face_waits_until_the_open_door_is_clear() -> None:
    commands = play((0.0, sees(1, opens(ANNA))), (0.9, sees(2, opens(BORIS))))
    assert doors(commands) == [ANNA]


def test_a_face_that_leaves_before_the_decision_costs_nothing() -> None:
    commands = play((0.0, sees(1, Wait("Look at the camera."))), (0.3, None), (2.0, None))
    assert doors(commands) == []
    assert commands[-1] == Show(Phase.IDLE, "")


def test_a_refused_face_stays_refused_while_it_stands_there() -> None:
    """More looks at a stranger would only be more chances of a false match."""
    commands = play(
        (0.0, sees(1, Refuse("Not recognised."))),
        (1.0, sees(1, opens(ANNA))),
        (9.0, sees(1, opens(ANNA))),
    )
    assert commands == [Show(Phase.REFUSED, "Not recognised.")]


def test_a_neighbour_in_between_gives_a_refused_face_no_second_chance() -> None:
    commands = play(
        (0.0, sees(1, Refuse("Not recognised."))),
        (0.2, sees(2, Wait("Come closer."))),
        (0.4, sees(1, opens(ANNA))),
        (5.0, sees(1, opens(ANNA))),
    )
    assert doors(commands) == []


def test_a_face_that_is_not_enough_is_asked_for_another_medium() -> None:
    commands = play((0.0, sees(1, AskSecondFactor("Two riders look alike."))))
    assert commands == [Show(Phase.SECOND_FACTOR, "Two riders look alike.")]


def test_after_a_refusal_the_next_person_is_looked_at_at_once() -> None:
    commands = play((0.0, sees(1, Refuse("Not recognised."))), (0.2, sees(2, opens(ANNA))))
    assert doors(commands) == [ANNA]


def test_an_empty_gate_stays_idle_and_silent() -> None:
    assert play((0.0, None), (5.0, None), (50.0, None)) == []


def test_the_memory_of_earlier_passages_survives_a_restart() -> None:
    """The loop seeds the state from the taps on disk, at times before its own start."""
    state = State(passed={ANNA: -20.0})
    assert doors(play((0.0, sees(1, opens(ANNA))), state=state)) == []
    assert doors(play((281.0, sees(1, opens(ANNA))), state=state)) == [ANNA]


def test_old_passages_are_forgotten() -> None:
    state, _ = step(
        State(passed={BORIS: 0.0}), sees(1, opens(ANNA)), POLICY.anti_passback_s + 1, POLICY
    )
    assert set(state.passed) == {ANNA}


def test_an_ended_passage_asks_for_no_more_embeddings() -> None:
    opened, _ = step(State(), sees(1, opens(ANNA)), 0.0, POLICY)
    assert not may_decide(opened, 1)
    assert may_decide(opened, 2)
    looking, _ = step(State(), sees(1, Wait("Look at the camera.")), 0.0, POLICY)
    assert may_decide(looking, 1)


def test_a_door_that_failed_is_no_passage_and_the_next_try_makes_no_tap() -> None:
    opened, _ = step(State(), sees(1, opens(ANNA)), 0.0, POLICY)
    shut, told = unopened(opened, ANNA)
    assert told == (Show(Phase.OUT_OF_SERVICE, Word.DOOR_FAULT),)
    again, commands = step(shut, sees(1, opens(ANNA)), 1.0, POLICY)
    assert commands == (OpenDoor(ANNA, EVIDENCE, on_record=True), Show(Phase.OPEN, ""))
    _, commands = step(again, sees(2, opens(ANNA)), 9.0, POLICY)
    assert commands == (Show(Phase.ALREADY_PASSED, Word.JUST_PASSED),)


def test_a_door_that_fails_twice_for_a_rider_still_owes_one_opening() -> None:
    opened, _ = step(State(), sees(1, opens(ANNA)), 0.0, POLICY)
    again, _ = step(unopened(opened, ANNA)[0], sees(1, opens(ANNA)), 1.0, POLICY)
    _, commands = step(unopened(again, ANNA)[0], sees(1, opens(ANNA)), 2.0, POLICY)
    assert commands[0] == OpenDoor(ANNA, EVIDENCE, on_record=True)


def test_who_stepped_back_from_a_door_that_failed_is_looked_at_again() -> None:
    opened, _ = step(State(), sees(1, opens(ANNA)), 0.0, POLICY)
    gone, _ = step(opened, None, 1.5, POLICY)
    shut, told = unopened(gone, ANNA)
    assert (told, shut.phase) == ((), Phase.IDLE)
    assert may_decide(shut, 1)


def test_a_door_that_failed_for_one_rider_says_nothing_of_the_next() -> None:
    first, _ = step(State(), sees(1, opens(ANNA)), 0.0, POLICY)
    second, _ = step(first, sees(2, opens(BORIS)), 1.2, POLICY)
    after, told = unopened(second, ANNA)
    assert (told, after.phase, after.ended) == ((), Phase.OPEN, second.ended)
    _, commands = step(after, sees(3, opens(ANNA)), 9.0, POLICY)
    assert commands[0] == OpenDoor(ANNA, EVIDENCE, on_record=True)


def test_after_the_anti_passback_time_a_failed_opening_counts_no_more() -> None:
    opened, _ = step(State(), sees(1, opens(ANNA)), 0.0, POLICY)
    late = POLICY.anti_passback_s
    after, commands = step(unopened(opened, ANNA)[0], sees(2, opens(ANNA)), late, POLICY)
    assert (commands[0], after.owed) == (OpenDoor(ANNA, EVIDENCE), frozenset())


PASS = PassEvidence(pass_hash="ab" * 32)


def shows(decision: Decision, track_id: int = NO_FACE) -> Candidate:
    return Candidate(track_id, decision, presented=True)


def test_a_pass_opens_without_a_face_and_once_while_it_is_held_up() -> None:
    held = shows(Open(ANNA, PASS, "pass"))
    commands = play(*((at_s / 10, held) for at_s in range(30)))
    assert commands == [OpenDoor(ANNA, PASS, "pass"), Show(Phase.OPEN, "")]


def test_a_rider_who_is_not_recognised_may_show_a_pass() -> None:
    commands = play(
        (0.0, sees(1, Refuse("Not recognised."))),
        (0.5, shows(Open(ANNA, PASS, "pass"), track_id=1)),
        (0.6, sees(1, Wait(""))),
    )
    assert commands[1:] == [OpenDoor(ANNA, PASS, "pass"), Show(Phase.OPEN, "")]


def test_whatever_is_shown_one_passage_makes_one_tap() -> None:
    by_face_then_pass = play((0.0, sees(1, opens(ANNA))), (0.1, shows(Open(ANNA, PASS, "pass"), 1)))
    by_pass_then_face = play((0.0, shows(Open(ANNA, PASS, "pass"), 1)), (0.1, sees(1, opens(ANNA))))
    assert doors(by_face_then_pass) == doors(by_pass_then_face) == [ANNA]


def test_a_refused_pass_may_be_followed_by_a_good_one() -> None:
    commands = play(
        (0.0, shows(Refuse("This pass has expired."))),
        (1.0, shows(Open(BORIS, PASS, "pass"))),
    )
    assert commands[0] == Show(Phase.REFUSED, "This pass has expired.")
    assert doors(commands) == [BORIS]


def test_the_next_riders_pass_waits_until_the_first_has_gone() -> None:
    next_one = shows(Open(BORIS, PASS, "pass"), track_id=2)
    commands = play((0.0, sees(1, opens(ANNA))), (0.5, next_one), (1.6, next_one))
    assert doors(commands) == [ANNA, BORIS]
    assert doors(play((0.0, sees(1, opens(ANNA))), (0.5, next_one))) == [ANNA]


def test_what_ended_for_a_face_is_forgotten_when_the_face_has_gone() -> None:
    refused = State(ended=frozenset({1, 2, 3}))
    assert forget_gone(refused, frozenset({2, 9})).ended == {2}
