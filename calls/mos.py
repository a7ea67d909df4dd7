"""PURE: what people would say of a call's sound, estimated from its packets: a mean opinion score from 1 to 4.5.

The E-model (ITU-T G.107) with its defaults, reduced to delay and loss as by Cole and Rosenbluth, "Voice over IP
Performance Monitoring" (ACM CCR 31, 2001); equipment figures of ITU-T G.113 appendix I.
"""

from __future__ import annotations

BASIC = 93.2  # the transmission rating of a perfect narrow-band connection
FRAME_MS = 20.0
CONCEALED = 25.1  # Bpl of G.711 with concealment of lost packets, which our library has
# Impairment by the codec itself (Ie) and its robustness against loss (Bpl). G.107 is a narrow-band model: G.722 and
# Opus, which G.113 gives no figures for, are held to sound like G.711 at their best.
CODECS = {
    "PCMU": (0.0, CONCEALED),
    "PCMA": (0.0, CONCEALED),
    "G722": (0.0, CONCEALED),
    "OPUS": (0.0, CONCEALED),
    "SPEEX": (11.0, CONCEALED),
}


def rating(codec: str, loss: float, delay_ms: float) -> float | None:
    """Return the transmission rating R (0 to 93.2) for a share of lost packets (0 to 1) and a delay one way.

    None for a codec that there are no figures of.
    """
    figures = CODECS.get(codec.partition("/")[0].upper())
    if figures is None:
        return None
    own, robustness = figures
    percent = 100 * min(max(loss, 0.0), 1.0)
    by_loss = own + (95 - own) * percent / (percent + robustness)
    by_delay = 0.024 * delay_ms + (0.11 * (delay_ms - 177.3) if delay_ms > 177.3 else 0.0)
    return max(0.0, BASIC - by_loss - by_delay)


def score(rated: float) -> float:
    """Return the mean opinion score of a rating (G.107 annex B), from 1 to 4.5."""
    if rated <= 0:
        return 1.0
    if rated >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * rated + rated * (rated - 60) * (100 - rated) * 7e-6)


def estimate(
    codec: str, received: int, lost: int, *, jitter_ms: float | None = None, round_trip_ms: float | None = None
) -> float | None:
    """Return the score of one direction, None if nothing was received or the codec is unknown.

    `lost` counts packets that never came. The delay is half the round trip, a frame, and
    a buffer of twice the jitter; what is not known counts as nothing.
    """
    if received + lost <= 0 or received <= 0:
        return None
    delay = (round_trip_ms or 0.0) / 2 + FRAME_MS + 2 * (jitter_ms or 0.0)
    rated = rating(codec, lost / (received + lost), delay)
    return None if rated is None else round(score(rated), 2)
