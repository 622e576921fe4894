"""The configuration file: defaults, the documented example, and a line for every mistake."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_agent.config import MAX_FILE_BYTES, Budget, Config, Section, Shares, key_lines, load
from edge_agent.errors import ConfigError

EXAMPLE = Path(__file__).resolve().parents[1] / "edge-agent.example.toml"


@pytest.fixture(autouse=True)
def _nobody_elses_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "EDGE_AGENT_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def write(text: str | bytes, path: Path | None = None) -> Path:
    path = path or Path("kitchen.toml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def complaint(text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        load(write(text))
    return str(caught.value)


def options(section: type[Section] = Config, table: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, field in section.model_fields.items():
        if isinstance(field.default, Section):
            yield from options(type(field.default), (*table, name))
        else:
            yield (*table, name), field.default


class TestExample:
    def test_parses_to_the_defaults(self) -> None:
        assert load(EXAMPLE) == Config()

    def test_has_exactly_the_options_with_their_defaults(self) -> None:
        document = tomllib.loads(EXAMPLE.read_text())
        for path, default in options():
            value: Any = document
            for step in path:
                value = value[step]
            assert (value, type(value)) == (default, type(default)), path
        header = ""
        keys = []
        for line in EXAMPLE.read_text().splitlines():
            if line.startswith("["):
                header = line.strip("[]")
            elif line and not line.startswith("#"):
                keys.append(f"{header}.{line.split(' =')[0]}")
        assert sorted(keys) == sorted(".".join(path) for path, _ in options())

    @pytest.mark.parametrize("path", [path for path, _ in options()], ids=".".join)
    def test_says_something_about_each(self, path: tuple[str, ...]) -> None:
        lines = EXAMPLE.read_text().splitlines()
        assert re.match(r"# \S.*\.$", lines[key_lines("\n".join(lines))[path] - 2])

    def test_names_what_is_allowed(self) -> None:
        """The ranges in the comments are those that a wrong value is answered with."""
        text = EXAMPLE.read_text()
        for path, default in options():
            if isinstance(default, bool) or not isinstance(default, int | float):
                continue
            low, high = re.findall(r"from (\S+) to (\S+)\.$", complaint(f"{'.'.join(path)} = -1"))[0]
            table = text[text.index(f"[{'.'.join(path[:-1])}]") :]
            comments = table[: table.index(f"\n{path[-1]} = ")]
            bounds = {high} if path == ("reply", "max_tokens") else {low, high}  # there, 0 is the model's own
            for bound in bounds:
                assert re.search(rf"\b{re.escape(bound.removesuffix('.0'))}\b", comments), path


SLOTS = "it must be a whole number from 1 to 16."
SHARE = "it must be a whole number of milliseconds from 1 to 10000."
FOLDER = 'it must be the path of a folder, or "" for the usual one.'
DEVICE = 'it must be "auto", "cpu" or "cuda".'
DEFAULT = ", which the file leaves at its default,"
SECTIONS = "budget, devices, endpoint, house, journal, models, persona, reply, threads"
LONG = "line\n" * 2000

# fmt: off
MISTAKES = [  # the file, the line of its only mistake, what is said of it
    ('# a\n\n[house]\n\n[budget]\nladder = true\ntotal_ms = "fast"', 7,
     'budget.total_ms is "fast"; it must be a whole number of milliseconds from 100 to 10000.'),
    ("[house]\nslots = 0", 2, f"house.slots is 0; {SLOTS}"),
    ("[house]\nslots = 17", 2, f"house.slots is 17; {SLOTS}"),
    ("[house]\nslots = 1.5", 2, f"house.slots is 1.5; {SLOTS}"),
    ("[house]\nslots = true", 2, f"house.slots is true; {SLOTS}"),
    ("[house]\nslots = '4'", 2, f'house.slots is "4"; {SLOTS}'),
    ("[house]\nslots = 1979-05-27", 2, f"house.slots is 1979-05-27; {SLOTS}"),
    ("[house]\nslots = [4]", 2, f"house.slots is a list; {SLOTS}"),
    ("[house]\n[house.slots]\na = 1", 2, f"house.slots is a table; {SLOTS}"),
    ("[house]\nslots = " + "9" * 500, 2, f"house.slots is a huge number; {SLOTS}"),
    ("[house]\nslots = 0x" + "f" * 5000, 2, f"house.slots is a huge number; {SLOTS}"),
    ("[house]\nlog_level = 'INFO'", 2, 'house.log_level is "INFO"; it must be "debug", "info", "warning" or "error".'),
    ("[house]\nstate_dir = 3", 2, f"house.state_dir is 3; {FOLDER}"),
    ('[house]\nstate_dir = "a\\u0000b"', 2, f'house.state_dir is "a\\u0000b"; {FOLDER}'),
    ("[house]\nstate_dir = '~no.such.user/x'", 2, f'house.state_dir is "~no.such.user/x"; {FOLDER}'),
    ("[persona]\nname = ''", 2, 'persona.name is ""; it must be text of 1 to 64 characters.'),
    (f"[persona]\ninstructions = '''\n{LONG}'''\nlanguage = 'en'", 2,
     'persona.instructions is "' + "line\\n" * 9 + "line\\...; it must be text of at most 8000 characters."),
    ("[persona]\nlanguage = 'english'", 2,
     'persona.language is "english"; it must be "auto" or a two-letter ISO 639-1 code such as "en".'),
    ("[models]\nasr = ''", 2, 'models.asr is ""; it must be the id of a model in the catalog, or the path of one.'),
    ("[endpoint]\nsure_at = nan", 2, "endpoint.sure_at is nan; it must be a number from 0.0 to 1.0."),
    ("[endpoint]\nsure_at = inf", 2, "endpoint.sure_at is inf; it must be a number from 0.0 to 1.0."),
    ("[reply]\nspeed = 2.5", 2, "reply.speed is 2.5; it must be a number from 0.5 to 2.0."),
    ("[reply]\ninterruptible = 1", 2, "reply.interruptible is 1; it must be true or false."),
    ("[reply]\nfirst_clause = ''", 2, 'reply.first_clause is ""; it must be "natural" or "eager".'),
    ("[journal]\nkeep_days = -1", 2, "journal.keep_days is -1; it must be a whole number of days from 0 to 36500."),
    # where a key may stand
    ("[devices]\n\nasr = 'gpu'", 3, f'devices.asr is "gpu"; {DEVICE}'),
    ("devices.asr = 'gpu'", 1, f'devices.asr is "gpu"; {DEVICE}'),
    ("\ndevices = {llm = 'cpu', asr = 'gpu'}", 2, f'devices.asr is "gpu"; {DEVICE}'),
    ('[threads]\n"ll\\u006d" = 0', 2, "threads.llm is 0; it must be a whole number from 1 to 64."),
    ("[budget]\n[budget.shares]\nasr = 0", 3, f"budget.shares.asr is 0; {SHARE}"),
    ("[budget.shares]\nllm.x = 3", 2, f"budget.shares.llm is a table; {SHARE}"),
    # options that contradict each other
    ("[endpoint]\nunsure_ms = 400\nsure_ms = 500\n", 2,
     "endpoint.unsure_ms is 400; it must be more than endpoint.sure_ms, which is 500."),
    ("[endpoint]\n\npause_ms = 450", 3,
     f"endpoint.sure_ms{DEFAULT} is 352; it must be more than endpoint.pause_ms, which is 450."),
    ("[endpoint]\nunsure_at = 0.8", 2,
     f"endpoint.sure_at{DEFAULT} is 0.8; it must be more than endpoint.unsure_at, which is 0.8."),
    ("[budget]\ntotal_ms = 900\nshares = {endpoint = 400, asr = 100, llm = 180, tts = 90, playout = 30}", 3,
     "budget.shares add up to 800 milliseconds; they must make budget.total_ms, which is 900."),
    ("[budget.shares]\nendpoint = 500\nllm = 300", 1,
     ("budget.shares add up to 800 milliseconds and leave too little for asr, tts, playout; "
      "they must make budget.total_ms, which is 800.")),
    # sections that are none
    ("budget = 3", 1, "budget is 3; it must be a table, [budget]."),
    ("\n[[budget]]\ntotal_ms = 3", 2, "budget is a list; it must be a table, [budget]."),
    ("[budget]\nshares = [1]", 2, "budget.shares is a list; it must be a table, [budget.shares]."),
    # what there is not
    ("[budget]\n\n totl_ms = 3", 3, "there is no option budget.totl_ms; did you mean budget.total_ms?"),
    ("[house]\n[bugdet]\ntotal_ms = 3", 2, "there is no section bugdet; did you mean budget?"),
    ("total_ms = 3", 1, "there is no option total_ms; did you mean budget.total_ms?"),
    ("[journal]\nx = 3", 2, "there is no option journal.x; [journal] has enabled, keep_days."),
    ("[a.b.c.d.e]\nx = 3", 1, f"there is no section a; the file has {SECTIONS}."),
    ("[threads]\n'l\\lm' = 1", 2, 'there is no option threads."l\\\\lm"; did you mean threads.llm?'),
    ('[journal]\n"\\n\\u2028" = 3', 2, 'there is no option journal."\\n\\u2028"; [journal] has enabled, keep_days.'),
    # values of several lines before the mistake, other line ends, a byte order mark
    ('[persona]\ninstructions = """\n[budget]\ntotal_ms = 3\n"""\nnam = 1', 6,
     "there is no option persona.nam; did you mean persona.name?"),
    ("[persona]\r\ninstructions = '''\r\na'''\r\nnam = 1", 4,
     "there is no option persona.nam; did you mean persona.name?"),
    ("\ufeff[persona]\nnam = 1", 2, "there is no option persona.nam; did you mean persona.name?"),
]
# fmt: on


@pytest.mark.parametrize(("text", "line", "sentence"), MISTAKES, ids=[sentence[:40] for _, _, sentence in MISTAKES])
def test_a_mistake_is_named_with_its_line(text: str, line: int, sentence: str) -> None:
    assert complaint(text) == f"kitchen.toml, line {line}: {sentence}"


def test_every_mistake_is_reported_in_the_order_of_the_file() -> None:
    text = "[threads]\nasr = 0\ntts = 99\n[nowhere]\n[endpoint]\nsure_ms = 3000\npause_ms = 1\n[house]\nslots = 0"
    said = complaint(text).split("\n")
    assert [re.match(r"kitchen\.toml, line (\d+): (.*?)[ ,;]", line)[0] for line in said] == [  # type: ignore[index]
        "kitchen.toml, line 2: threads.asr ",
        "kitchen.toml, line 3: threads.tts ",
        "kitchen.toml, line 4: there ",
        "kitchen.toml, line 6: endpoint.unsure_ms,",
        "kitchen.toml, line 6: endpoint.patient_ms,",
        "kitchen.toml, line 7: endpoint.pause_ms ",
        "kitchen.toml, line 9: house.slots ",
    ]


SYNTAX = [
    ("[devices]\nasr = cuda", ", line 2, column 7 is not valid TOML: Invalid value; text stands in double quotes."),
    ("[devices]\n  asr", ", line 2, column 6 is not valid TOML: "),
    ("[devices]\nasr = ", ", line 2, column 7 is not valid TOML: "),
    ("[devices]\nasr = 'cpu'\nasr = 'cpu'", ", line 3, column 12 is not valid TOML: Cannot overwrite a value."),
    (b"[devices]\nasr = '\xff'", ", line 2: the file must be text in UTF-8."),
    ("[house]\nslots = " + "9" * 5000, " is not valid TOML: "),
    ("a = " + "[" * 5000, " is not valid TOML: "),
]


@pytest.mark.parametrize(("text", "sentence"), SYNTAX, ids=range(len(SYNTAX)))
def test_a_syntax_error_is_named_with_line_and_column(text: str | bytes, sentence: str) -> None:
    said = complaint(text)
    assert said.startswith(f"kitchen.toml{sentence}")
    assert said.endswith(".")
    assert "\n" not in said


class TestWhichFile:
    def test_none_at_all(self) -> None:
        assert load() == Config()

    def test_in_this_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        write("house.slots = 1", Path("home/.config/edge-agent/edge-agent.toml"))
        assert load().house.slots == 1
        write("house.slots = 2", Path("edge-agent.toml"))
        assert load().house.slots == 2
        monkeypatch.setenv("EDGE_AGENT_CONFIG", str(write("house.slots = 3", Path("other.toml"))))
        assert load().house.slots == 3
        assert load(write("house.slots = 5")).house.slots == 5
        monkeypatch.setenv("EDGE_AGENT_CONFIG", "")
        assert load().house.slots == 2

    def test_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ConfigError, match=r"^The configuration file hall\.toml does not exist\.$") as caught:
            load(Path("hall.toml"))
        assert caught.value.code == "config.missing"
        monkeypatch.setenv("EDGE_AGENT_CONFIG", "hall.toml")
        with pytest.raises(ConfigError, match=r"hall\.toml, which \$EDGE_AGENT_CONFIG names, does not exist\.$"):
            load()

    def test_unreadable(self) -> None:
        with pytest.raises(ConfigError, match=r"^home cannot be read: Is a directory\.$") as caught:
            Path("home").mkdir()
            load(Path("home"))
        assert caught.value.code == "config.unreadable"
        with pytest.raises(ConfigError, match=r"^a\\x00b cannot be read: embedded null byte\.$"):
            load(Path("a\0b"))
        Path("edge-agent.toml").mkdir()  # found without being asked for, but no reason to go on as if it were not there
        with pytest.raises(ConfigError, match=r"^edge-agent\.toml cannot be read"):
            load()

    def test_too_long(self) -> None:
        assert complaint("#" * (MAX_FILE_BYTES + 1)) == "kitchen.toml is longer than 64 KiB."


class TestBudget:
    def test_shares_follow_the_total(self) -> None:
        assert load(write("budget.total_ms = 1600")).budget.shares == Shares(
            endpoint=800, asr=200, llm=360, tts=180, playout=60
        )

    def test_shares_left_out_divide_the_rest(self) -> None:
        shares = load(write("budget.shares.endpoint = 480")).budget.shares
        assert shares == Shares(endpoint=480, asr=80, llm=144, tts=72, playout=24)

    @given(st.integers(100, 10_000))
    def test_shares_always_make_the_total(self, total_ms: int) -> None:
        assert sum(Budget(total_ms=total_ms).shares.model_dump().values()) == total_ms

    @given(st.integers(100, 10_000), st.dictionaries(st.sampled_from(list(Shares.model_fields)), st.integers(1, 3_000)))
    def test_given_shares_are_kept_or_refused(self, total_ms: int, chosen: dict[str, int]) -> None:
        try:
            budget = Budget(total_ms=total_ms, shares=Shares(**chosen))
        except ValidationError:
            return
        shares = budget.shares.model_dump()
        assert sum(shares.values()) == total_ms
        assert chosen.items() <= shares.items()
        assert min(shares.values()) >= 1


class TestForWorkers:
    def test_json_there_and_back(self) -> None:
        text = '[persona]\ninstructions = "Grüße,\\n\\"Haus\\""\n[budget]\ntotal_ms = 777\n[endpoint]\nsure_at = 0.7'
        config = load(write(text))
        assert config != Config()
        assert Config.from_json(config.to_json()) == config
        assert Config.from_json(config.to_json().encode()) == config

    @pytest.mark.parametrize("text", ["", "[]", "{", '{"house": {"slots": 99}}', '{"hous": {}}'])
    def test_no_configuration(self, text: str) -> None:
        with pytest.raises(ConfigError, match=r"^the configuration handed over: ") as caught:
            Config.from_json(text)
        assert caught.value.code == "config.invalid"

    def test_is_immutable(self) -> None:
        with pytest.raises(ValidationError):
            Config().house.slots = 3  # type: ignore[misc]


class TestStateDir:
    def test_usual(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert Config().state_dir == tmp_path / "home/.local/state/edge-agent"
        monkeypatch.setenv("XDG_STATE_HOME", "/var/lib/box")
        assert Config().state_dir == Path("/var/lib/box/edge-agent")

    def test_chosen(self, tmp_path: Path) -> None:
        assert load(write("house.state_dir = '/data/house'")).state_dir == Path("/data/house")
        assert load(write("house.state_dir = '~/house'")).state_dir == tmp_path / "home/house"

    def test_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("edge_agent.config.user_state_dir", lambda app: f"~no.such.user/{app}")
        with pytest.raises(ConfigError, match=r"^~no\.such\.user/edge-agent needs a home folder"):
            _ = Config().state_dir


def test_lines_of_every_way_to_write_a_key() -> None:
    text = """
a.b = 1
c = { d = 1, "e f" = [
  1, ["]"],  # ]
] }
[g . h]
i = \"\"\"
[x]
\"\"\"
"j.k" = 1

[[l]]  # one
m = 1
[l.n]
o = 1
[[l]]
m = 2
"""
    assert key_lines(text) == {
        ("a",): 2, ("a", "b"): 2,
        ("c",): 3, ("c", "d"): 3, ("c", "e f"): 3,
        ("g",): 6, ("g", "h"): 6, ("g", "h", "i"): 7, ("g", "h", "j.k"): 10,
        ("l",): 12, ("l", "m"): 13, ("l", "n"): 14, ("l", "n", "o"): 15,
    }  # fmt: skip


def test_a_value_without_end_costs_little() -> None:
    said = complaint("slots = 1\na = [\n" + "[],\n" * 16_000 + "]\nx = 1")
    assert said.startswith("kitchen.toml: there is no option a; ")
    assert "kitchen.toml, line 1: there is no option slots; did you mean house.slots?" in said


NAMES = {step for path, _ in options() for step in path}
KEYS = st.sampled_from([*sorted(NAMES), "x", '"a b"', "''", "house.slots"])
VALUES = st.sampled_from(
    [
        "1",
        "-1",
        "1.5",
        "nan",
        "true",
        '"a"',
        "'auto'",
        "[]",
        "[{a=1}]",
        "{}",
        "{llm=1}",
        '"""\na"""',
        "1979-05-27",
        "=",
        "",
    ]
)
LINES = st.one_of(
    st.builds("{} = {}".format, KEYS, VALUES),
    st.builds("[{}]".format, KEYS),
    st.builds("[[{}.{}]]".format, KEYS, KEYS),
    st.text(max_size=20),
)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.lists(LINES, max_size=12).map(lambda lines: "\n".join(lines).encode())))
@example(b"'''\n'''=1")
@example(b"\xef\xbb\xbf")
@example(b"a\r=1")
def test_garbage_is_a_config_error(content: bytes) -> None:
    try:
        config = load(write(content))
    except ConfigError as error:
        assert str(error)
        assert all(line.startswith("kitchen.toml") for line in str(error).splitlines())
    else:
        assert Config.from_json(config.to_json()) == config
