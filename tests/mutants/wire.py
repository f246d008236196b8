"""Faults in what makes, writes and reads messages: each is one that a peer has, or nearly."""

from __future__ import annotations

from tests.mutants.mutation import Mutant

CODEC = "sse_kit.codec"
MESSAGES = "sse_kit.messages"
STATES = "sse_kit.states"

DECODING = ("tests/test_codec.py::test_a_stream_is_read_by_the_rules",)
ENCODING = ("tests/test_codec.py::test_a_message_has_one_form_on_the_wire",)
LIMITS = (
    "tests/test_codec_limits.py::test_an_event_over_the_limit_is_refused",
    "tests/test_codec_limits.py::test_what_came_before_an_error_in_its_chunk_is_given_out_first",
)
LINEAR = ("tests/test_codec_limits.py::test_the_work_is_linear_in_the_length",)
PAYLOADS = ("tests/test_codec_payload.py::test_a_payload_that_is_no_message_is_refused",)
REFUSALS = ("tests/test_messages.py::test_what_a_stream_cannot_carry_is_refused_by_name",)
DETOURS = ("tests/test_messages.py::test_nothing_gets_round_the_rules",)
VALUES = (
    "tests/test_messages.py::test_of_a_value_is_its_one_obvious_text",
    "tests/test_messages.py::test_of_a_value_without_one_obvious_text_is_refused",
)
MOVES = ("tests/test_states.py::test_a_connection_goes_only_where_the_design_says",)

MUTANTS = (
    Mutant(
        "no space but all spaces are removed",
        CODEC,
        'value.removeprefix(b" ")',
        'value.lstrip(b" ")',
        DECODING,
    ),
    Mutant(
        "two BOMs are removed",
        CODEC,
        "line.removeprefix(BOM)",
        "line.removeprefix(BOM).removeprefix(BOM)",
        DECODING,
    ),
    Mutant("a CRLF cut in two counts twice", CODEC, r'chunk.endswith(b"\r")', "False", DECODING),
    Mutant("an id may hold NUL", CODEC, 'b"id" if NUL not in value', 'b"id"', DECODING),
    Mutant(
        "all that is digits somewhere is a retry",
        CODEC,
        "value.isdigit()",
        "value.strip().isdigit()",
        DECODING,
    ),
    Mutant(
        "a block resets the id",
        CODEC,
        "        self._id = None",
        '        self._id = None; self._id_buffer = ""',
        DECODING,
    ),
    Mutant(
        "an id counts without an empty line",
        CODEC,
        "self._id = self._id_buffer = ",
        "self._id = self._id_buffer = self.last_event_id = ",
        DECODING,
    ),
    Mutant(
        "all LFs at the end of data are removed",
        CODEC,
        "lines[:-1].decode",
        r'lines.rstrip(b"\n").decode',
        DECODING,
    ),
    Mutant(
        "empty data is no event", CODEC, "if lines else None", "if lines[:-1] else None", DECODING
    ),
    Mutant(
        "data is cut where str.splitlines cuts",
        CODEC,
        r'text.replace("\n", "\n" + prefix)',
        r'("\n" + prefix).join(text.splitlines())',
        ENCODING,
    ),
    Mutant(
        "an error swallows the blocks before it",
        CODEC,
        "            if not blocks:\n                raise",
        "            raise",
        LIMITS,
    ),
    Mutant(
        "the limit of an event is one of the stream",
        CODEC,
        "        self._size = 0\n        self._data.clear()",
        "        self._data.clear()",
        LIMITS,
    ),
    Mutant(
        "each chunk moves what is there",
        CODEC,
        "self._pending += piece",
        "self._pending = self._pending + piece",
        LINEAR,
    ),
    Mutant("the version may be true", CODEC, "type(version) is not int or ", "", PAYLOADS),
    Mutant(
        "an event may be injected",
        MESSAGES,
        "    if breaks_line(value):\n",
        "    if False:\n",
        REFUSALS,
    ),
    Mutant("true is a retry", MESSAGES, "strict=True", "strict=False", REFUSALS),
    Mutant(
        "lone surrogates are text",
        MESSAGES,
        "    except UnicodeEncodeError:\n        return True",
        "    except UnicodeEncodeError:\n        return False",
        REFUSALS,
    ),
    Mutant(
        "model_construct does not validate",
        MESSAGES,
        "return cls(**values)",
        "return super().model_construct(_fields_set, **values)",
        DETOURS,
    ),
    Mutant("text is HTML", MESSAGES, "html.escape(str(value), quote=False)", "str(value)", VALUES),
    Mutant(
        "a server's connection goes back",
        STATES,
        "_S.RECONNECTING: _CLIENT",
        "_S.RECONNECTING: _BOTH",
        MOVES,
    ),
)
