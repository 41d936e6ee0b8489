"""What a launcher's pass does follows from its facts alone."""

import pytest

from motoko.runs.ends import End
from motoko.workers.launcher.agenda import Agenda, News
from motoko.workers.launcher.ahead import LINGER_S
from motoko.workers.launcher.plan import Candidate, Facts, plan, widths

NOW = 100.0
END = End(code=0)


def facts(**known):
    defaults = {"paused": False, "waiting": False, "is_low": True, "late": (), "news": News()}
    return Facts(now=NOW, **{**defaults, **known})


class TestWhetherAPassIsDue:
    def test_nothing_to_do(self):
        assert not facts().is_due

    def test_runs_wait(self):
        assert facts(waiting=True).is_due
        assert not facts(waiting=True, paused=True).is_due
        assert not facts(waiting=True, is_low=False).is_due, "enough are prepared"

    def test_an_end_waits_for_others_while_there_is_something_to_start(self):
        assert facts(news=News({1: END}, first_end=NOW)).is_due
        assert not facts(news=News({1: END}, first_end=NOW), is_low=False).is_due
        assert facts(news=News({1: END}, first_end=NOW - LINGER_S), is_low=False).is_due
        assert facts(news=News({1: END}), is_low=False).is_due, "it has waited for a launcher"

    def test_what_else_does_not_wait(self):
        assert facts(news=News(changed={1: {"batch_state": "RUNNING"}}), paused=True).is_due
        assert facts(late=[1], paused=True).is_due


class TestPlan:
    def test_places_are_taken_in_order(self):
        queue = [Candidate(3, width=2), Candidate(5), Candidate(4)]
        assert widths(queue) == [2, 1, 1]
        assert plan(facts(), queue, places=2, spare=0).start == {3: 0, 5: 1}

    def test_what_can_never_start_takes_no_place(self):
        queue = [Candidate(1, can_start=False), Candidate(2), Candidate(3, can_start=False)]
        assert widths(queue) == [1]
        assert plan(facts(), queue, places=1, spare=0).start == {1: None, 2: 0, 3: None}
        assert plan(facts(), queue, places=0, spare=0).start == {1: None}, "2 is next"

    def test_some_are_prepared_meanwhile(self):
        queue = [Candidate(number) for number in range(5)]
        made = plan(facts(), queue, places=1, spare=2)
        assert (made.start, made.prepare) == ({0: 0}, [1, 2])

    @pytest.mark.parametrize("next_one", [Candidate(1, width=2), Candidate(1, is_unstarted=True)])
    def test_those_that_are_not_prepared_let_nobody_pass(self, next_one):
        made = plan(facts(), [next_one, Candidate(2)], places=0, spare=5)
        assert not made.start and not made.prepare and not made.does_something

    def test_what_has_happened_is_committed_with_it(self):
        made = plan(facts(news=News({1: END}, {2: {"a": 1}}), late=[3]), [], places=0, spare=0)
        assert (made.end, made.change, made.give_back) == ({1: END}, {2: {"a": 1}}, [3])
        assert made.does_something


class TestAgenda:
    def test_an_end_says_more_than_what_came_before(self):
        agenda = Agenda(finished={1})
        agenda.note_change(1, {"batch_state": "RUNNING"})
        agenda.note_change(2, {"batch_state": "RUNNING"})
        agenda.note_change(2, {"batch_job_id": "3"})
        agenda.note_end(1, END, NOW)
        agenda.note_end(2, END, NOW + 1)
        assert agenda.news == News({1: End(code=0, finished=True), 2: END}, {}, first_end=NOW)
        assert not agenda.finished

    def test_what_was_not_committed_comes_back(self):
        agenda = Agenda()
        agenda.note_end(1, END, NOW)
        agenda.note_change(3, {"a": 1, "b": 1})
        news = agenda.take_news()
        assert agenda.news == News()
        agenda.note_end(2, END, NOW + 1)
        agenda.note_change(3, {"b": 2})
        agenda.put_back(news)
        assert agenda.news == News({1: END, 2: END}, {3: {"a": 1, "b": 2}}, first_end=NOW)

    @pytest.mark.parametrize("since", [NOW, None])
    def test_much_news_is_taken_in_parts(self, since):
        agenda = Agenda()
        for number in range(5):
            agenda.note_end(number, END, since)
            agenda.note_change(10 + number, {"a": number})
        sizes = []
        while agenda.news != News():
            news = agenda.take_news(2)
            assert news.first_end == since and len(news.ended) == len(news.changed)
            sizes.append(len(news.ended))
        assert sizes == [2, 2, 1]

    def test_order(self):
        agenda = Agenda(unstarted={9, 8})
        for number in (2, 1):
            agenda.waiting.add(number)
        assert list(agenda.due(NOW)) == [8, 9, 1, 2] and agenda.has_waiting
        for number in (8, 9, 1, 2):
            agenda.drop(number)
        assert not agenda.has_waiting
