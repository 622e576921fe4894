"""The catalog as a document, and the one that ships."""

from __future__ import annotations

import pytest

from edge_agent.catalog.document import DEFAULT_PATH, line_of, load_catalog
from edge_agent.catalog.entries import HubSource, LlmModel
from edge_agent.errors import CatalogError

SHIPPED = DEFAULT_PATH.read_text(encoding="utf-8")


def complaint(tmp_path, text: str) -> str:
    path = tmp_path / "catalog.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogError) as caught:
        load_catalog(path)
    assert caught.value.code == "catalog.bad_catalog"
    return str(caught.value)


def line(needle: str) -> int:
    """The first line of the shipped catalog on which `needle` stands."""
    return SHIPPED[: SHIPPED.index(needle)].count("\n") + 1


def test_the_shipped_catalog_holds_together():
    catalog = load_catalog()
    assert set(catalog.profiles) == {"embedded", "cpu", "gpu"}
    assert catalog.profile().required == (
        "whisper-base",
        "smollm2-135m-instruct",
        "piper-en_US-joe-medium",
        "smart-turn-v3.2",
    )
    assert catalog.entry("whisper-base").opens == "."
    assert catalog.entry("smart-turn-v3.2").opens == "smart-turn-v3.2-cpu.onnx"
    llm = catalog.entry("smollm2-135m-instruct")
    assert isinstance(llm, LlmModel)
    assert llm.chat.temperature == 0.0


def test_the_default_profile_needs_no_hub():
    catalog = load_catalog()
    for model_id in (*catalog.profile().required, *catalog.profile().optional):
        for file in catalog.entry(model_id).files:
            assert not isinstance(file.sources[0], HubSource), (model_id, file.path)


def test_an_unknown_model_gets_the_nearest_name():
    with pytest.raises(CatalogError, match="did you mean 'whisper-base'") as caught:
        load_catalog().entry("whisper-bass")
    assert caught.value.code == "catalog.unknown_model"
    with pytest.raises(CatalogError, match="models list"):
        load_catalog().entry("zzz")
    with pytest.raises(CatalogError, match="there are embedded, cpu, gpu"):
        load_catalog().profile("zzz")


def test_profiles_that_only_offer_a_model_stand_in_brackets():
    assert load_catalog().profiles_of("whisper-tiny.en") == ("(embedded)", "(cpu)")


def test_text_that_is_no_toml_names_its_line(tmp_path):
    assert "at line 2" in complaint(tmp_path, 'a = "b"\nthis is not TOML\n')


@pytest.mark.parametrize(
    ("right", "wrong", "words", "blamed"),
    [
        ('size = 98362432', 'size = "large"', "valid integer", 'size = 98362432'),
        ('rate_hz = 22050', 'rate_hertz = 22050', "Field required", '[models.piper-en_US-joe-medium]'),
        ('path = "model.bin"', 'path = "../model.bin"', "pattern", 'path = "model.bin"'),
        ('sha256 = "b179', 'sha256 = "X179', "pattern", 'sha256 = "b179'),
        ('temperature = 0.0', 'temperature = 3.0', "less than or equal to 2", 'temperature = 0.0'),
        ('kind = "turn"', 'kind = "ears"', "asr", '[models."smart-turn-v3.2"]'),
        ('asr = "whisper-base"', 'asr = "smart-turn-v3.2"', "no asr model", 'asr = "whisper-base"'),
        ('optional = ["whisper-tiny.en"]', 'optional = ["x"]', "not listed here", 'optional = ["whisper-tiny.en"]'),
    ],
)  # fmt: skip
def test_a_wrong_value_names_its_line(tmp_path, right, wrong, words, blamed):
    message = complaint(tmp_path, SHIPPED.replace(right, wrong, 1))
    assert words in message
    assert f" line {line(blamed)}: " in message


def test_a_source_with_a_wrong_member_names_the_list(tmp_path):
    message = complaint(tmp_path, SHIPPED.replace('version = "0.1.2"', 'version = "../../etc"'))
    number = int(message.partition(" line ")[2].partition(":")[0])
    assert SHIPPED.splitlines()[number - 1] == "sources = ["
    assert number == line('version = "0.1.2"') - 2


def test_the_line_of_a_key_is_exact():
    assert line_of(SHIPPED, ("models", "smart-turn-v3.2", "turn", "files", 0, "sha256")) == line("2bb0263")
    assert line_of(SHIPPED, ("models", "whisper-base", "asr", "files", 2, "size")) == line("size = 1068101")
    assert line_of(SHIPPED, ("profiles", "gpu", "llm")) == line('llm = "qwen3')


def test_an_id_beside_the_key_is_refused(tmp_path):
    text = SHIPPED.replace("[models.whisper-base]", '[models.whisper-base]\nid = "other"', 1)
    assert "the id of a model is its key" in complaint(tmp_path, text)


def test_a_catalog_that_is_not_there(tmp_path):
    with pytest.raises(CatalogError, match="restore it") as caught:
        load_catalog(tmp_path / "none.toml")
    assert caught.value.code == "catalog.no_catalog"


def test_history_that_cannot_fit_is_refused(tmp_path):
    assert "must fit in context_tokens" in complaint(
        tmp_path, SHIPPED.replace("history_tokens = 640", "history_tokens = 4000")
    )


@pytest.mark.parametrize("text", ["", "models = 3", "[models]\nx = 1", "profiles = []", "[profiles]\n[models]"])
def test_any_other_document_is_refused_with_a_sentence(tmp_path, text):
    assert "correct that line" in complaint(tmp_path, text)
