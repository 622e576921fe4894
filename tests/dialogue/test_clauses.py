"""Where a reply is cut into clauses."""

# ruff: noqa: RUF001  (typographic marks are what it is about)

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.dialogue.clauses import FENCE_MAX_CHARS, LEADING_SPACE_MAX, MAX_CHARS, ClauseSplitter

PIECES = st.lists(
    st.sampled_from(
        [
            *"abIT .,:;!?-–—…\"'“”’()[]*_`#@/&<>|0123456789\n",
            *"。！？、，京都한국؟،।¿é😀\u200d\u0301",
            *(" the", " and", " because", " in", " Paris", " it", "Yes", "No.", " Dr.", " U.S.", " e.g.", " etc."),
            *(" example.com", "```", "**", "...", "3.5", "1,000", "7:30", "No. 5", "\n\n- ", "1. ", "   ", " St. The"),
        ]
    ),
    max_size=60,
).map("".join)


def split(text: str, *, step: int = 1, **options) -> list[str]:
    splitter = ClauseSplitter(**options)
    clauses = []
    for start in range(0, len(text), step):
        clauses += splitter.push(text[start : start + step])
    return clauses + splitter.finish()


def released(text: str, **options) -> list[str]:
    """What is released before the stream ends."""
    return ClauseSplitter(**options).push(text)


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        # The first clause
        ("The capital of France is Paris.", ["The capital of France is Paris."]),
        ("Yes, it is. Really.", ["Yes,", " it is.", " Really."]),
        ("Sure! I can help you.", ["Sure!", " I can help you."]),
        ("Well... I think so.", ["Well...", " I think so."]),
        ("Of course, I can do that.", ["Of course,", " I can do that."]),
        ("Paris, France is big.", ["Paris, France is big."]),
        ("Here it is: the answer.", ["Here it is:", " the answer."]),
        ("I tried it — no luck.", ["I tried it —", " no luck."]),
        ("I tried it—no luck.", ["I tried it—", "no luck."]),
        ("I tried it - no luck.", ["I tried it -", " no luck."]),
        ("You should bring an umbrella because it rains.", ["You should bring an umbrella", " because it rains."]),
        (
            "The weather here is usually mild today and it stays dry.",
            ["The weather here is usually mild today", " and it stays dry."],
        ),
        ("You need some white salt and pepper.", ["You need some white salt and pepper."]),
        (
            "The weather around here is usually mild in spring.",
            ["The weather around here is usually mild", " in spring."],
        ),
        ("This is one of the best things in the world.", ["This is one of the best things", " in the world."]),
        ("No. I did not.", ["No.", " I did not."]),
        # Full stops that end nothing
        ("It costs 3.5 units. Fine.", ["It costs 3.5 units.", " Fine."]),
        ("There are 1,000 people. Fine.", ["There are 1,000 people.", " Fine."]),
        ("It is 7:30 now. Go.", ["It is 7:30 now.", " Go."]),
        ("I saw Dr. Smith there. Yes.", ["I saw Dr. Smith there.", " Yes."]),
        ("Take fruit, e.g. apples. Yes.", ["Take fruit,", " e.g. apples.", " Yes."]),
        ("The U.S. troops left. Then peace.", ["The U.S. troops left.", " Then peace."]),
        ("They left the U.S. The end.", ["They left the U.S.", " The end."]),
        ("It is No. 5 here. Yes.", ["It is No. 5 here.", " Yes."]),
        ("Come at 5 p.m. on Monday. Yes.", ["Come at 5 p.m. on Monday.", " Yes."]),
        ("Come at 5 p.m. Then we go.", ["Come at 5 p.m.", " Then we go."]),
        ("He lives on Main St. The house is old.", ["He lives on Main St.", " The house is old."]),
        ("He went to St. Louis once. Yes.", ["He went to St. Louis once.", " Yes."]),
        ("Visit example.com today. Now.", ["Visit example.com today.", " Now."]),
        ("Mail bob@mail.example.org now. Go.", ["Mail bob@mail.example.org now.", " Go."]),
        ("It is https://a.b/c?d=1.2,3 here. Go.", ["It is https://a.b/c?d=1.2,3 here.", " Go."]),
        ("J. R. R. Tolkien wrote it. Yes.", ["J. R. R. Tolkien wrote it.", " Yes."]),
        ("Take vitamin C. It helps.", ["Take vitamin C.", " It helps."]),
        ("So do I. Then go.", ["So do I.", " Then go."]),
        ("It began in 1969. Then it grew.", ["It began in 1969.", " Then it grew."]),
        ("On March 5, 2024, we met.", ["On March 5, 2024,", " we met."]),
        ("Buy apples, pears, etc. and go. Now.", ["Buy apples,", " pears, etc. and go.", " Now."]),
        ("Hm... I waited... and waited. Yes.", ["Hm...", " I waited...", " and waited.", " Yes."]),
        ("Let me think... It is Paris.", ["Let me think...", " It is Paris."]),
        ("I waited... and waited.", ["I waited.", ".. and waited."]),  # the price of not waiting for the next token
        # Quotations, code and markdown
        ('He said "Stop it." Then he left.', ['He said "Stop it."', " Then he left."]),
        ("He said “Stop it.” Then he left.", ["He said “Stop it.”", " Then he left."]),
        ('"Who is it?" he asked. Nobody.', ['"Who is it?" he asked.', " Nobody."]),
        ("(This is it.) That was it.", ["(This is it.)", " That was it."]),
        ("**Paris is big.** Yes.", ["**Paris is big.**", " Yes."]),
        ("**Paris, France and Rome** are big.", ["**Paris, France and Rome** are big."]),
        ("See [the docs, here](https://x.com/a). Bye.", ["See [the docs, here](https://x.com/a).", " Bye."]),
        ("Type `a, b. c` now. Bye.", ["Type `a, b. c` now.", " Bye."]),
        ("1. First do this\n2. Then that", ["1. First do this", "\n2. Then that"]),
        ("- one\n- two", ["- one", "\n- two"]),
        ("# Title\n\nSome text here.", ["# Title", "\n\nSome text here."]),
        ("```python\nx = 1. Then\n\ny = 2\n``` Done.", ["```python\nx = 1. Then\n\ny = 2\n```", " Done."]),
        ("Fish &amp; chips, please.", ["Fish &amp; chips,", " please."]),
        ("Sure!😀 Let me see.", ["Sure!", "😀 Let me see."]),
        ("", []),
        ("  \n ", []),
        ("...", ["..."]),
    ],
)
def test_english(text: str, clauses: list[str]) -> None:
    assert split(text) == clauses


@pytest.mark.parametrize(
    ("language", "text", "clauses"),
    [
        ("ja", "東京は日本の首都です。人口は多い。", ["東京は日本の首都です。", "人口は多い。"]),
        ("ja", "はい、東京です。", ["はい、", "東京です。"]),
        ("zh", "你好，今天天气很好！你呢？", ["你好，", "今天天气很好！", "你呢？"]),
        ("zh", "他说：「走吧。」然后走了。", ["他说：「走吧。」", "然后走了。"]),
        ("hi", "राजधानी नई दिल्ली है। यह बड़ा है।", ["राजधानी नई दिल्ली है।", " यह बड़ा है।"]),
        ("ar", "نعم، هذا صحيح. هل تريد المزيد؟ شكرا.", ["نعم،", " هذا صحيح.", " هل تريد المزيد؟", " شكرا."]),
        ("es", "Claro, ¿quieres ir? ¡Vamos!", ["Claro,", " ¿quieres ir?", " ¡Vamos!"]),
        ("de", "Er kam am 3. Mai z. B. mit Dr. Müller.", ["Er kam am 3. Mai z. B. mit Dr. Müller."]),
        ("fr-FR", "Bien sûr, c'est Paris. Voilà.", ["Bien sûr,", " c'est Paris.", " Voilà."]),
    ],
)
def test_languages(language: str, text: str, clauses: list[str]) -> None:
    assert split(text, language=language) == clauses


@pytest.mark.parametrize(
    "text",
    [
        "Yes.",
        "Yes,",
        "The capital of France is Paris.",
        "Is that so?",
        "Here is what I found:",
        "Of course,",
        "東京は首都です。",
    ],
)
def test_an_unambiguous_first_clause_is_not_kept_waiting(text: str) -> None:
    assert released(text) == [text]


@pytest.mark.parametrize(
    "text", ["It is 3.", "No.", "Well.", "Ask Dr.", "Visit example.", "She said “Paris.", "In 1,", "http:"]
)
def test_an_ambiguous_end_waits_for_the_next_character(text: str) -> None:
    assert released(text) == []


def test_eager_cuts_earlier() -> None:
    text = "Paris, the capital of France"
    assert split(text)[0] == "Paris, the capital of France"
    assert split(text, eager=True)[0] == "Paris,"
    text = "Bring an umbrella because it rains."
    assert split(text) == [text]
    assert split(text, eager=True) == ["Bring an umbrella", " because it rains."]


def test_first_words_min_is_respected() -> None:
    assert split("In the city, it rains.", first_words_min=4) == ["In the city, it rains."]


def test_later_clauses_end_at_a_comma_only_after_several_words() -> None:
    assert split("It rains. Apples, pears, plums, figs, dates, nuts, and more.") == [
        "It rains.",
        " Apples, pears, plums, figs, dates, nuts,",
        " and more.",
    ]


def test_a_long_sentence_after_a_short_clause_is_cut_at_a_phrase() -> None:
    text = "Sure, the Great Wall of China was built over several centuries by many different dynasties and rulers."
    assert split(text)[:2] == ["Sure,", " the Great Wall of China was built over several centuries"]


def test_text_without_punctuation_is_bounded() -> None:
    clauses = split("word " * 400)
    assert max(map(len, clauses)) <= MAX_CHARS
    assert "".join(clauses) == ("word " * 400).rstrip()
    assert max(map(len, split("x" * 5000))) <= MAX_CHARS
    assert max(map(len, split("京" * 500, language="zh"))) <= MAX_CHARS / 3 + 1


def test_an_endless_code_block_and_endless_space_are_bounded() -> None:
    assert max(map(len, split("```\n" + "x = 1\n" * 3000))) <= FENCE_MAX_CHARS
    splitter = ClauseSplitter()
    assert splitter.push(" " * 100_000) == []
    assert splitter.push("Hello there. ") == [" " * LEADING_SPACE_MAX + "Hello there."]


def test_finish_makes_it_as_new() -> None:
    splitter = ClauseSplitter()
    assert splitter.push("Yes, it is") == ["Yes,"]
    assert splitter.finish() == [" it is"]
    assert splitter.finish() == []
    assert splitter.push("Yes, it is") == ["Yes,"]


@pytest.mark.parametrize("options", [{"first_words_min": 0}, {"max_chars": 3}])
def test_senseless_limits_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        ClauseSplitter(**options)


@given(PIECES, st.sampled_from(["en", "de", "ja"]), st.booleans(), st.data())
def test_pieces_do_not_matter_and_nothing_is_lost(text: str, language: str, eager: bool, data: st.DataObject) -> None:
    options = {"language": language, "eager": eager, "max_chars": data.draw(st.sampled_from([40, MAX_CHARS]))}
    whole = split(text, step=max(1, len(text)), **options)
    assert split(text, **options) == whole
    splitter = ClauseSplitter(**options)
    clauses, rest = [], text
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        clauses += splitter.push(rest[:size])
        rest = rest[size:]
    assert clauses + splitter.finish() == whole
    assert "".join("".join(whole).split()) == "".join(text.split())
    assert "```" in text or all(len(clause) <= options["max_chars"] for clause in whole)


@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    assert split(text) == split(text, step=7)
    assert "".join("".join(split(text)).split()) == "".join(text.split())


@pytest.mark.parametrize("unit", [".", ",", "a. ", "[", "`", "1.", "A.", "**a", " ", "é", "。", '."', "a, ", "Dr. "])
def test_no_text_takes_long(unit: str) -> None:
    text = unit * (10_000 // len(unit))
    start = time.process_time()
    split(text)
    assert time.process_time() - start < 5
