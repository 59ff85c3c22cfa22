"""What a declaration may say: the rules, the application's own instruments, and the sets that are its to close."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph import DeclarationError, catalogue
from tachograph.catalogue import EVENTS, FOREIGN, INSTRUMENTS, OTHER, Instrument, Label, labels, render, rules
from tachograph.catalogue.registry import Registry

GOOD = Instrument(name="acme.jobs", kind="counter", unit="{job}", description="Jobs.")


def changed(**changes):
    return dataclasses.replace(GOOD, **changes)


def histogram(**changes):
    return changed(**{"name": "acme.time", "kind": "histogram", "unit": "s", "bounds": (1, 2), **changes})


@pytest.fixture
def registry():
    return Registry(INSTRUMENTS)


class TestOurs:
    def test_no_rule_is_broken(self):
        """
        What everybody else has to fulfil, our declarations and those of the conventions that we draw fulfil too.
        """
        assert [str(each) for each in catalogue.lint((*INSTRUMENTS, *FOREIGN))] == []

    @pytest.mark.parametrize("each", INSTRUMENTS, ids=lambda each: each.name)
    def test_names_are_below_our_namespace(self, each):
        """
        An instrument of ours is named below `tachograph.`, a label is of a convention or below it too.
        """
        assert each.name.startswith("tachograph.")
        assert all(label.name.startswith(("tachograph.", "gen_ai.")) for label in each.labels)

    def test_labels_are_declared_once(self):
        """
        Two labels of one name differ in their sets; equal ones would be one object.
        """
        used = {id(label): label for each in INSTRUMENTS for label in each.labels}.values()
        closed = [repr(label) for label in used if not label.declarable]

        assert len(closed) == len(set(closed))

    def test_events_have_names_verbs_and_meta(self):
        """
        An event is named once, its verbs are upper-case.
        """
        names = [each.name for each in EVENTS]

        assert len(names) == len(set(names)) == 14
        assert all(verb.isupper() for each in EVENTS for verb in each.verbs)
        assert all(each.meta and each.description for each in EVENTS)

    def test_both_routes_agree(self):
        """
        An instrument has one name in Prometheus, whichever way it goes there.
        """
        for each in INSTRUMENTS:
            assert render.samples(each, "scrape") == render.samples(each, "collector")
            assert render.labels(each, "scrape") == render.labels(each, "collector")


class TestRules:
    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            ((changed(name="acme." + "x" * 300),), "write it like 'acme.deploy.runs'"),
            ((changed(name="acme.jobs.total"),), "write the name without it"),
            ((changed(unit="seconds"),), "write a UCUM code"),
            ((changed(unit=""),), "write a UCUM code"),
            ((changed(unit="{no space}"),), "write a UCUM code"),
            ((changed(unit="{" + "x" * 70 + "}"),), "write a UCUM code"),
            ((histogram(bounds=(1, float("inf"))),), "write them from low to high"),
            ((histogram(bounds=tuple(range(1, 60))),), "write at most 50"),
            ((GOOD, changed(unit="1")), "is declared already, and differently"),
            ((changed(labels=(Label("acme.user_id"),)),), "reads as an id"),
            ((changed(labels=tuple(Label(f"acme.l{n}") for n in range(9))),), "write at most 8"),
            ((changed(labels=(Label("acme.big", cap=5000),)),), "write at most 1000"),
            ((changed(labels=(Label("acme.a_b"), Label("acme.a.b"))),), "write another label name"),
            ((changed(labels=(Label("le"),)),), "write another label name"),
            ((changed(name="acme.a.b"), changed(name="acme.a_b")), "write another name"),
            ((histogram(), changed(name="acme.time.seconds.count", kind="gauge")), "write another name"),
            ((histogram(), changed(name="acme.time", kind="gauge", unit="s")), "write another name"),
        ],
    )  # fmt: skip
    def test_it_is_found_and_what_to_write_is_said(self, wrong, says):
        """
        Each rule finds what it is about, and says what to write instead.
        """
        found = catalogue.lint(wrong)

        assert any(says in str(each) for each in found)
        assert all(str(each).startswith("instrument 'acme.") for each in found)

    def test_bounds_of_other_kinds_are_found(self):
        """
        The rule holds for declarations that were not made by the class's own way as well.
        """
        wrong = changed()
        object.__setattr__(wrong, "bounds", (2, 1))

        assert len(catalogue.lint((wrong,))) == 2

    @pytest.mark.parametrize(
        "name",
        [
            "vcs.repository.name", "acme.repo", "url.full", "acme.callback_url", "acme.commit", "git.sha", "user.id",
            "enduser.id", "run_id", "plan_id", "request_id", "gen_ai.conversation.id", "gen_ai.agent.id",
            "gen_ai.tool.call.id", "acme.prompt", "gen_ai.input.messages", "acme.user", "acme.email",
            "trace_id", "acme.uuid", "http.target", "user.name", "acme.image.digest",
        ],
    )  # fmt: skip
    def test_what_must_never_be_a_label(self, name):
        """
        Repositories, URLs, commits, people, ids and prompts are no labels, however they are spelled.
        """
        assert rules.forbidden(name) is not None

    @pytest.mark.parametrize(
        "name",
        ["http.route", "gen_ai.request.model", "gen_ai.agent.name", "url.scheme", "tachograph.task", "acme.environment",
         "acme.identity_provider", "acme.shape", "acme.user_agent.family", "acme.report"],
    )  # fmt: skip
    def test_what_may_be_a_label(self, name):
        """
        A word is forbidden as a word, not as a part of another.
        """
        assert rules.forbidden(name) is None

    @given(st.lists(st.sampled_from(INSTRUMENTS), unique=True))
    def test_any_part_of_the_catalogue_is_clean(self, some):
        """
        A finding is never about what is not there.
        """
        assert catalogue.lint(some) == ()

    @given(st.from_regex(r"[a-z][a-z0-9]{0,8}(\.[a-z0-9_]{1,8}){0,3}", fullmatch=True))
    def test_names_that_lint_passes_stay_apart(self, name):
        """
        Whatever the name, the same samples under another spelling are found.
        """
        twin = name.replace(".", "_")
        if twin == name:
            return
        given_ = (changed(name=name, kind="gauge"), changed(name=twin, kind="gauge"))

        assert any("write another name" in str(each) for each in catalogue.lint(given_))


class TestAdding:
    def test_what_is_added_is_found(self, registry):
        """
        An application's instrument is one of the declared ones.
        """
        assert registry.add(GOOD) is GOOD
        assert registry.find("acme.jobs") is GOOD
        assert registry.instruments() == (*INSTRUMENTS, GOOD)

    def test_the_same_declaration_again_is_the_first(self, registry):
        """
        A module that is loaded twice declares the same; what is in force is the first.
        """
        first = registry.add(changed(labels=(Label("acme.kind", values=("a",)),)))

        assert registry.add(changed(labels=(Label("acme.kind", values=("a",)),))) is first

    @pytest.mark.parametrize(
        "other", [changed(description="Other."), changed(unit="1"), changed(labels=(Label("acme.kind"),))]
    )
    def test_another_declaration_of_the_name_is_refused(self, registry, other):
        """
        One name, one meaning.
        """
        registry.add(GOOD)

        with pytest.raises(DeclarationError, match="declared already, and differently; write another name"):
            registry.add(other)
        assert registry.find("acme.jobs") is GOOD

    def test_ours_cannot_be_taken(self, registry):
        """
        A name of the catalogue, or one that is the same in Prometheus, is taken.
        """
        with pytest.raises(DeclarationError, match="tachograph_tool_calls_total"):
            registry.add(changed(name="tachograph.tool_calls"))

    def test_through_the_front_door(self):
        """
        `tachograph.catalogue.add` refuses what breaks a rule.
        """
        with pytest.raises(DeclarationError, match="which reads as an id; write a label with few values"):
            catalogue.add(changed(name="acme.front", labels=(Label("acme.run_id"),)))
        assert catalogue.find("acme.front") is None

    @pytest.mark.parametrize("values", [("",), (1,)])
    def test_a_value_is_a_word(self, values):
        """
        A set lists words.
        """
        with pytest.raises(DeclarationError, match="write words"):
            Label("acme.kind", values=values)


class TestDeclaring:
    @staticmethod
    def registry_of(*made: Label) -> Registry:
        return Registry(changed(name=f"acme.n{n}", labels=(label,)) for n, label in enumerate(made))

    def test_a_set_is_closed_by_its_declaration(self):
        """
        Until then it is open up to its cap, from then on it is what was declared.
        """
        label = Label("acme.stage", cap=2, declarable=True)
        registry = self.registry_of(label)
        before = [label.admit(word) for word in ("x", "y", "z")]
        registry.declare("acme.stage", "fetch", "plan")

        assert before == ["x", "y", OTHER]
        assert [label.admit(word) for word in ("fetch", "plan", "x", "z")] == ["fetch", "plan", OTHER, OTHER]
        assert label.is_closed
        assert label.words == ("fetch", "plan")

    def test_listed_words_stay(self):
        """
        Words of the catalogue are admitted beside those of the application, and take no place of the cap.
        """
        label = Label("acme.scanner", values=("trivy",), cap=1, declarable=True)
        registry = self.registry_of(label)
        before = [label.admit(word) for word in ("own", "trivy", "more")]
        registry.declare("acme.scanner", "semgrep")
        registry.declare("acme.scanner", "bandit")

        assert before == ["own", "trivy", OTHER]
        assert [label.admit(word) for word in ("trivy", "semgrep", "bandit", "own")] == [
            "trivy", "semgrep", "bandit", OTHER,
        ]  # fmt: skip

    def test_the_instrument_tells_sets_of_one_name_apart(self):
        """
        Where a name is that of several sets, it must be said whose is meant.
        """
        one, two = (Label("acme.reason", declarable=True) for _ in range(2))
        registry = self.registry_of(one, two)

        with pytest.raises(DeclarationError, match=r"of acme\.n0, acme\.n1; write instrument='acme.n0' or another"):
            registry.declare("acme.reason", "quota")
        registry.declare("acme.reason", "quota", instrument="acme.n1")
        assert (one.is_closed, two.is_closed) == (False, True)

    @pytest.mark.parametrize(
        ("name", "words", "of"),
        [
            ("tachograph.outcome", ("fine",), None),
            ("acme.nothing", ("x",), None),
            ("tachograph.stage", (), None),
            ("tachograph.stage", ("",), None),
            ("tachograph.stage", (OTHER,), None),
            ("tachograph.reason", ("x",), "tachograph.scan.failures"),
        ],
    )
    def test_a_wrong_declaration_says_what_to_write(self, name, words, of):
        """
        A closed set, one that is not there, and words that are none are refused.
        """
        with pytest.raises(DeclarationError, match="write"):
            catalogue.declare(name, *words, instrument=of)

    def test_these_are_the_applications(self):
        """
        The labels that the catalogue leaves to the application.
        """
        found = {label.name for each in INSTRUMENTS for label in each.labels if label.declarable}

        assert found == {
            "tachograph.stage", "tachograph.type", "tachograph.scanner", "tachograph.reason", "tachograph.status",
            "tachograph.trust_level",
        }  # fmt: skip
        assert repr(labels.STAGE) == "Label('tachograph.stage', cap=50, declarable=True)"
