"""llm: decides what to say.

    transcripts -> clauses

A committed transcript becomes a prompt, the prompt's beginning is in the KV cache from the turn before, and the reply
leaves clause by clause as its tokens come. All sessions that are being answered take their next token in one
evaluation. A reply ends at the token at which its epoch is over. While its first clause is being spoken a reply rests:
the cores belong to the voice, and the clause will be heard for much longer than the rest takes. While nobody waits,
the history as it will be asked next time is evaluated in advance.

The records of a turn are held until its reply is complete. Sampling is seeded by the turn, so a successor that reads
them again says the same, and whoever has some of it already passes over that.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence

from edge_agent.catalog.entries import Chat
from edge_agent.clock import MS, ms_between, now_ns
from edge_agent.dialogue.acknowledgement import acknowledgement
from edge_agent.dialogue.clauses import ClauseSplitter
from edge_agent.engines.llama import LlamaEngine, Sampling
from edge_agent.errors import EngineError
from edge_agent.latency.budget import ACKNOWLEDGEMENT, GREEDY, SHORTER_CLAUSE, SHORTER_REPLY, Budget, rungs_for
from edge_agent.latency.prediction import Predictor
from edge_agent.latency.stopwatch import Stamp, Stopwatch
from edge_agent.records import Clause, Close, Commit, Drop, Heard, Open, Record, Transcript
from edge_agent.workers.cores import free_cores
from edge_agent.workers.learning import Learning
from edge_agent.workers.loop import Desk
from edge_agent.workers.talks import Answer, Talk, Talks

FIRST_CLAUSE_TOKENS = 9  # of a natural first clause
EAGER_CLAUSE_TOKENS = 5
TYPICAL_PROMPT_TOKENS = 20  # not in the KV cache: what the user just said
SENTENCE_ENDS = ".!?\u3002\uff01\uff1f\u0964\u061f"  # Latin, CJK, Devanagari, Arabic
REST_MAX_MS = 250  # for the voice to speak the first clause
REST_SLICE_S = 0.002
PREFILL_PATIENCE_MS = 2_500
STEP_PATIENCE_MS = 1_500
SPEECHLESS = "Sorry, I don't know what to say to that."

log = logging.getLogger("edge_agent.llm")


class Stage:
    """The language model."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        config = desk.config
        self._chat = Chat.model_validate_json(desk.station.manifest.chat)
        path = desk.model("llm")
        slots = config.house.slots
        self._engine = LlamaEngine(
            path,
            context_tokens=self._chat.context_tokens,
            slots=slots,
            threads=config.threads.llm,
            device=config.devices.llm,
        )
        self._engine.warm_up()
        self._budget = Budget(config.budget.total_ms, config.budget.shares.model_dump())
        self._prefill = Predictor("llm prefill", path.stem, config.devices.llm, base_ms=20, slope_ms=4)
        self._token = Predictor("llm token", path.stem, config.devices.llm, base_ms=0, slope_ms=12)
        self._learning = Learning(desk, (self._prefill, self._token), (TYPICAL_PROMPT_TOKENS, FIRST_CLAUSE_TOKENS))
        self._talks = Talks(desk, self._chat, self._engine.count)
        self._blank = set(range(slots)) - {slot for slot, _ in self._talks.items()}  # to be prepared for conversations
        if len(self._blank) == slots:
            self._empty(self._blank.pop())

    # Records

    def handle(self, record: Record) -> None:
        """See `loop.Stage`."""
        slot = record.session
        if isinstance(record, Open | Close):
            self._turn_over(slot, record)
            self._desk.send("clauses", record)
            return
        talk = self._talks.get(slot)
        if talk is None:
            log.warning("session %d is not open: %s passed over", slot, type(record).__name__)
            return
        if isinstance(record, Transcript):
            if record.turn > talk.done:
                self._desk.inlets["transcripts"].hold(slot)
                talk.transcript = record
        elif isinstance(record, Commit):
            self._committed(talk, record)
        elif isinstance(record, Drop):
            talk.transcript = None
            self._desk.inlets["transcripts"].free(slot)
            self._desk.send("clauses", record)
        elif isinstance(record, Heard):
            if talk.answer is not None and talk.answer.transcript.turn == record.turn:
                self._end(talk, "llm: interrupted")
            self._talks.heard(talk, record)

    def _turn_over(self, slot: int, record: Open | Close) -> None:
        """A new conversation in the slot, or none."""
        talk = self._talks.get(slot)
        if talk is not None and talk.answer is not None:
            self._end(talk, "llm: the conversation was closed")
        self._desk.inlets["transcripts"].free(slot)
        self._blank.discard(slot)
        if isinstance(record, Open):
            self._talks.open(record)
        else:
            self._talks.close(record)
            self._empty(slot)

    def _empty(self, slot: int, stop: Callable[[], bool] = lambda: False) -> bool:
        """Let a slot hold nothing but what every conversation begins with; False when `stop` came first."""
        settings = Open(slot, "")
        with self._desk.step(PREFILL_PATIENCE_MS):
            self._engine.use_threads(self._threads())
            prompt = self._engine.render(self._talks.history(settings).messages(), add_generation_prompt=False)
            self._engine.prefill(slot, prompt, stop=stop)
        return self._engine.tokens_in(slot) == len(prompt)

    def _committed(self, talk: Talk, commit: Commit) -> None:
        transcript = talk.transcript
        if transcript is None or (transcript.turn, transcript.revision) != (commit.turn, commit.revision):
            if commit.turn < talk.done or (commit.turn, commit.revision) == (talk.done, talk.done_revision):
                return  # read again after a death; its reply is on its way
            again = commit.turn == talk.done  # ears died before it could note that this turn was committed
            where = "llm: answered before" if again else "llm: no transcript of what was committed"
            self._desk.send("clauses", Drop(commit.session, commit.turn, commit.revision, where, True, commit.watch))
            return
        talk.transcript = None
        if talk.answer is not None:
            self._end(talk, "llm: interrupted")
        talk.answer = self._plan(talk, transcript, commit)

    # Answers

    def _plan(self, talk: Talk, transcript: Transcript, commit: Commit) -> Answer:
        """How to answer: the model's own sampling, less what the ladder takes."""
        chat = self._chat
        watch = commit.watch
        watch.stamp(Stamp.LLM_START)
        max_tokens = self._desk.config.reply.max_tokens or chat.max_tokens
        max_tokens = min(max_tokens, chat.context_tokens - chat.history_tokens)
        talk.history.begin(transcript.text, turn=transcript.turn)
        rungs = self._rungs(talk, watch)
        watch.rungs.extend(rungs)
        sampling = Sampling(
            temperature=0.0 if GREEDY in rungs else chat.temperature,
            top_p=chat.top_p,
            top_k=chat.top_k,
            repeat_penalty=chat.repeat_penalty,
            seed=transcript.turn,
        )
        eager = SHORTER_CLAUSE in rungs or self._desk.config.reply.first_clause == "eager"
        answer = Answer(
            transcript,
            commit.epoch,
            watch,
            ClauseSplitter(transcript.language, eager=eager),
            max_tokens,
            sampling,
            one_sentence=SHORTER_REPLY in rungs,
        )
        if ACKNOWLEDGEMENT in rungs:
            phrase = acknowledgement(transcript.language, transcript.turn)
            self._send(answer, phrase or "", last=False, counts=False)
        return answer

    def _rungs(self, talk: Talk, watch: Stopwatch) -> list[str]:
        config = self._desk.config
        if not config.budget.ladder:
            return []
        token_ms = self._token.predict(1)
        prompt_tokens = self._engine.count(talk.history.records()[-1].user) + 8
        predicted_ms = self._prefill.predict(prompt_tokens) + self._token.predict(FIRST_CLAUSE_TOKENS)
        gains = {
            SHORTER_CLAUSE: (FIRST_CLAUSE_TOKENS - EAGER_CLAUSE_TOKENS) * token_ms,
            GREEDY: 0.05 * token_ms if self._chat.temperature > 0 else 0.0,
            # The first clause is spoken while the rest is written, on the same cores.
            SHORTER_REPLY: token_ms,
            ACKNOWLEDGEMENT: math.inf if config.budget.acknowledgements else 0.0,
        }
        behind_ms = (self._desk.typical_ms("tts") or self._budget.shares["tts"]) + self._budget.shares["playout"]
        return rungs_for("llm", watch.left_ms(), predicted_ms, behind_ms, gains)

    def _over(self, answer: Answer) -> bool:
        return self._desk.session(answer.transcript.session).epoch != answer.epoch

    def idle(self) -> bool:
        """One prompt, or one token for every reply, or a piece of history in advance; False when nothing is left."""
        answering = [talk for talk in self._talks.values() if talk.answer is not None]
        for talk in answering:
            if talk.answer is not None and self._over(talk.answer):
                self._end(talk, "llm: interrupted")
                return True
        waiting = [talk for talk in answering if talk.answer is not None and talk.answer.reply is None]
        if waiting:
            self._evaluate(min(waiting, key=lambda talk: talk.answer.watch.deadline_ns if talk.answer else 0))
            return True
        if answering:
            self._step(answering)
            return True
        return self._anticipate()

    def _evaluate(self, talk: Talk) -> None:
        """Bring the prompt into the KV cache and begin the reply."""
        answer = talk.answer
        if answer is None:
            return
        slot = answer.transcript.session
        try:
            prompt = self._engine.render(talk.history.messages())
            began_ns = now_ns()
            with self._desk.step(PREFILL_PATIENCE_MS + self._prefill.predict(len(prompt))):
                self._engine.use_threads(self._threads(looks=6))
                evaluated = self._engine.prefill(slot, prompt, stop=lambda: self._over(answer))
            if self._over(answer):
                return
            took_ms = ms_between(began_ns, now_ns())
            threads = self._engine.threads
            log.debug("%d of %d tokens, %.0f ms, %d threads", evaluated, len(prompt), took_ms, threads)
            self._learning.learn(self._prefill, evaluated, took_ms)
            answer.reply = self._engine.begin(slot, answer.sampling, max_tokens=answer.max_tokens)
            answer.began_ns = now_ns()
        except EngineError as error:
            log.error("session %d, turn %d: %s", slot, answer.transcript.turn, error)
            self._end(talk, f"llm: {error.code}")

    def _step(self, answering: Sequence[Talk]) -> None:
        awake = [talk for talk in answering if talk.answer is not None and not self._resting(talk.answer)]
        replies = [talk.answer.reply for talk in awake if talk.answer is not None and talk.answer.reply is not None]
        if not replies:
            time.sleep(REST_SLICE_S)
            return
        with self._desk.step(STEP_PATIENCE_MS):
            self._engine.use_threads(self._threads())
            self._engine.step(replies)
        for talk in awake:
            answer = talk.answer
            if answer is None or answer.reply is None:
                continue
            if answer.reply.delta:
                answer.watch.stamp(Stamp.FIRST_TOKEN)
            for clause in answer.splitter.push(answer.reply.delta):
                self._send(answer, clause, last=False)
                if answer.one_sentence and clause.rstrip()[-1:] in SENTENCE_ENDS:
                    answer.reply.end("stopped")
                    answer.splitter.finish()
                    break
            if answer.reply.finish:
                self._finish(talk, answer)

    def _threads(self, looks: int = 1) -> int:
        return free_cores(self._desk.config.threads.llm, looks)

    def _resting(self, answer: Answer) -> bool:
        """Whether the voice is still at the first clause."""
        if now_ns() >= answer.rest_until_ns:
            return False
        speaking = self._desk.busy("tts")
        if answer.voice_began and not speaking:
            answer.rest_until_ns = 0
        answer.voice_began = answer.voice_began or speaking
        return answer.rest_until_ns > 0

    def _finish(self, talk: Talk, answer: Answer) -> None:
        """The model has said all; the last clause goes out."""
        rest = answer.splitter.finish()
        if answer.reply is not None and answer.reply.finish == "length" and answer.clauses and rest:
            rest.pop()  # cut off in the middle of a sentence: better not begun
        if not rest and not answer.clauses:
            rest = [SPEECHLESS]
        for clause in rest[:-1]:
            self._send(answer, clause, last=False)
        self._send(answer, rest[-1] if rest else "", last=True)
        self._close(talk, answer)

    def _send(self, answer: Answer, text: str, *, last: bool, counts: bool = True) -> None:
        transcript = answer.transcript
        if counts and not answer.clauses and answer.reply is not None:
            answer.watch.stamp(Stamp.FIRST_CLAUSE)
            tokens = answer.max_tokens - answer.reply.left_tokens
            self._learning.learn(self._token, max(1, tokens), ms_between(answer.began_ns, now_ns()))
        clause = Clause(
            transcript.session,
            transcript.turn,
            transcript.revision,
            answer.epoch,
            answer.clauses,
            text,
            last,
            counts,
            transcript.language,
            answer.watch,
        )
        self._desk.send("clauses", clause)
        if not answer.clauses:
            answer.rest_until_ns = now_ns() + REST_MAX_MS * MS
        answer.clauses += 1

    def _end(self, talk: Talk, where: str) -> None:
        """The reply is cut short."""
        answer = talk.answer
        if answer is None:
            return
        transcript = answer.transcript
        if answer.reply is not None:
            answer.reply.end("stopped")
        drop = Drop(transcript.session, transcript.turn, transcript.revision, where, True, answer.watch)
        self._desk.send("clauses", drop)
        self._close(talk, answer)

    def _close(self, talk: Talk, answer: Answer) -> None:
        """The turn is dealt with: note it, let go of its records."""
        transcript = answer.transcript
        talk.answer = None
        talk.done, talk.done_revision = transcript.turn, transcript.revision
        self._talks.note(talk, transcript)
        end = Clause(
            transcript.session,
            transcript.turn,
            transcript.revision,
            0,
            0,
            "",
            True,
            True,
            transcript.language,
            answer.watch,
        )
        self._talks.note(talk, end)
        inlet = self._desk.inlets["transcripts"]
        inlet.free(transcript.session)
        inlet.settle()

    def _anticipate(self) -> bool:
        """Evaluate the history of one conversation as far as it is known, while nobody waits.

        The recognizer goes first, and a slot without a conversation is prepared only while nobody speaks in any.
        """
        if self._desk.busy("asr"):
            return False
        for slot, talk in list(self._talks.items()):
            if not talk.cold:
                continue
            talk.cold = False  # unless it is broken off
            known = talk.history.prompt("")
            with self._desk.step(PREFILL_PATIENCE_MS):
                self._engine.use_threads(self._threads())
                prompt = self._engine.render(known, unfinished=True)
                self._engine.prefill(slot, prompt, stop=self._disturbed)
            talk.cold = self._engine.tokens_in(slot) < len(prompt)
            return True
        if self._blank and not self._spoken_to():
            slot = self._blank.pop()
            if not self._empty(slot, stop=lambda: self._disturbed() or self._spoken_to()):
                self._blank.add(slot)
            return True
        return False

    def _disturbed(self) -> bool:
        return self._desk.inlets["transcripts"].reader.ready() or self._desk.busy("asr")

    def _spoken_to(self) -> bool:
        """Whether anybody is speaking, or was and is not answered yet."""
        slots = range(self._desk.config.house.slots)
        return any(self._desk.session(slot).turn != self._desk.session(slot).committed for slot in slots)

    def close(self) -> None:
        """Keep what was learned."""
        self._learning.keep()
        self._engine.close()
