"""How much silence to wait for before a turn is over, from how likely the turn detector thinks that it is.

Measured on recorded questions, the detector is right about finished ones soon after the last word, but as sure of
itself at inner pauses of 128 to 224 ms: so even a sure verdict waits longer than such a pause lasts.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.dialogue.turns import FRAME_MS


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """Silence in milliseconds by the detector's verdict.

    Attributes:
        sure_ms: enough when the detector gives at least `sure_at`.
        unsure_ms: enough when it gives at least `unsure_at`.
        patient_ms: enough whatever it says.
        sure_at: probability.
        unsure_at: probability.
        ask_every_ms: the detector is asked at the pause and again after each such stretch of it.
    """

    sure_ms: int
    unsure_ms: int
    patient_ms: int
    sure_at: float
    unsure_at: float
    ask_every_ms: int = 256

    def end_frames(self, probability: float) -> int:
        """Silent frames that end the turn when the detector last said `probability`."""
        if probability >= self.sure_at:
            wait_ms = self.sure_ms
        elif probability >= self.unsure_at:
            wait_ms = self.unsure_ms
        else:
            wait_ms = self.patient_ms
        return -(-wait_ms // FRAME_MS)

    def ask_again(self, silent_frames: int, pause_frames: int, probability: float) -> bool:
        """Whether the detector should look again, `silent_frames` into the silence."""
        since_pause = silent_frames - pause_frames
        return probability < self.sure_at and since_pause > 0 and since_pause % (self.ask_every_ms // FRAME_MS) == 0
