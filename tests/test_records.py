import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_agent import records
from edge_agent.errors import RingError
from edge_agent.latency.stopwatch import Stamp, Stopwatch
from edge_agent.records import Clause, Close, Heard, Open, Record, Sound, Speech, Trace, decode, encode
from edge_agent.ring.ring import Reader, Writer, create

KINDS = Record.__args__

texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers(-(2**63), 2**63 - 1)
watches = st.builds(
    Stopwatch, st.lists(numbers, min_size=len(Stamp), max_size=len(Stamp)), numbers, st.lists(texts, max_size=3)
)
fields = {
    str: texts,
    int: numbers,
    bool: st.booleans(),
    bytes: st.binary(max_size=2048),
    float: st.floats(allow_nan=False),
    Stopwatch: watches,
    list[int]: st.lists(numbers),
    list[str]: st.lists(texts),
    list[tuple[int, int]]: st.lists(st.tuples(numbers, numbers)),
    str | None: st.none() | texts,
}


def of_kind(kind):
    return st.builds(kind, *(fields[field.type] for field in msgspec.structs.fields(kind)))


any_record = st.one_of(*(of_kind(kind) for kind in KINDS))


@given(any_record)
def test_every_record_comes_back_as_it_was(record):
    found = decode(encode(record))
    assert type(found) is type(record)
    assert found == record


def test_every_struct_of_the_module_is_a_record():
    structs = {
        value
        for value in vars(records).values()
        if isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__module__ == records.__name__
    }
    assert structs == set(KINDS)


def test_every_record_says_whose_session_it_is():
    assert all(msgspec.structs.fields(kind)[0].name == "session" for kind in KINDS)


@given(st.binary(max_size=200))
@example(b"")
@example(b"\xc1")
@example(b"\xdd\xff\xff\xff\xff")  # an array of four billion
@example(b"\x93\xa5Close\x00" + b"\x91" * 5000 + b"\xc0")  # deeper than any stack
@example(b"\x95\xa4Open\x00\xa1\xff\xc0\xc0")  # no UTF-8
def test_bytes_that_are_no_record_are_garbled_and_nothing_worse(payload):
    try:
        decode(payload)
    except RingError as error:
        assert error.code == "ring.garbled"
        assert str(len(payload)) in str(error)


@given(any_record, st.data())
def test_a_record_that_was_cut_short_is_garbled(record, data):
    payload = encode(record)
    with pytest.raises(RingError):
        decode(payload[: data.draw(st.integers(0, len(payload) - 1))])


@given(any_record, st.data())
def test_a_record_with_flipped_bits_never_raises_anything_but_its_error(record, data):
    payload = bytearray(encode(record))
    for at in data.draw(st.lists(st.integers(0, len(payload) - 1), max_size=4)):
        payload[at] ^= data.draw(st.integers(1, 255))
    try:
        decode(bytes(payload))
    except RingError as error:
        assert error.code == "ring.garbled"


def test_sound_is_a_copy_that_outlives_its_place_in_the_ring():
    memory = create("test", 4096)
    writer, reader = Writer(memory, readers=1), Reader(memory, 0)
    writer.try_write(encode(Sound(0, 0, 1, b"\x01\x02" * 320)))
    record = decode(reader.view())
    reader.release()
    for _ in range(20):
        writer.try_write(bytes(600))
        reader.view()
        reader.release()
    assert record.pcm == b"\x01\x02" * 320
    for end in (writer, reader, memory):
        end.close()


def test_records_of_a_newer_version_with_more_fields_are_still_understood():
    newer = msgspec.msgpack.encode(["Close", 3, "what later versions add"])
    assert decode(newer) == Close(3)


def test_settings_that_are_left_out_are_the_models_own():
    assert decode(msgspec.msgpack.encode(["Open", 1, "name"])) == Open(1, "name", None, None)


@pytest.mark.parametrize(
    "record",
    [Open(0, "x"), Close(0), Heard(0, 1, "", False), Speech(0, 1, 0, 0, b"")],
    ids=lambda record: type(record).__name__,
)
def test_records_are_immutable(record):
    with pytest.raises(AttributeError):
        record.session = 2


def test_a_frame_of_sound_costs_little_more_than_its_samples():
    pcm = bytes(640)  # 20 ms
    assert len(encode(Sound(0, 10**9, 10**18, pcm))) < len(pcm) + 32


def test_a_clause_carries_its_stopwatch_to_the_nanosecond():
    watch = Stopwatch.start(10**18 + 1, 800)
    watch.stamp(Stamp.FIRST_TOKEN, 10**18 + 2)
    found = decode(encode(Clause(0, 1, 0, 1, 0, "Yes.", True, True, "en", watch))).watch
    assert found == watch
    assert found.ms(Stamp.FIRST_TOKEN) == 1e-6


def test_a_trace_keeps_nothing_but_what_it_was_given():
    trace = Trace(0, "name", 1, 0, [0] * len(Stamp), 800, ["llm: greedy"], "asr", None, True)
    assert decode(encode(trace)) == trace
