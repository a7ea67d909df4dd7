"""ADAPTER: the audio half of `pjsip.py`: who hears whom on PJSIP's conference bridge, players, tones and recorders.

Lives in the thread that owns PJSIP; every method must be called there. A wish for a leg that has no media yet is kept
and fulfilled when it has, and again after a re-INVITE, which gives the leg a new port.
"""

from __future__ import annotations

import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pjsua2 as pj

from sipengine.ports import Event, LegId, PlayDone, RecordClosed, RecordFailed
from sipengine.tones import Cadence

log = logging.getLogger("sipengine.pjsip")

CLOCK_RATE = 8000  # Hz: the bridge mixes telephone band; wide-band legs are resampled at its edge
DTMF = frozenset("0123456789*#ABCDabcd")
DIGIT_SECONDS = 0.3  # from one digit to the next: what the library's RFC 4733 events take, and our tones too
_TONE_MS = 160

Pairs = tuple[tuple[LegId, LegId], ...]  # (speaker, listener)


class _Player(pj.AudioMediaPlayer):  # type: ignore[misc]  # pjsua2 has no types
    """Plays a file once; its end arrives on a thread of the library's own, so it only posts."""

    def __init__(self, post: Callable[[Event], None], leg: LegId, number: int) -> None:
        super().__init__()
        self.post, self.leg, self.number = post, leg, number

    def onEof2(self) -> None:
        self.post(PlayDone(self.leg, self.number))


@dataclass(slots=True)
class _Source:
    """A player or tone that a leg hears."""

    leg: LegId
    media: Any


@dataclass(slots=True)
class _Recorder:
    """One file per channel, and the legs that each channel hears."""

    files: list[Any]
    legs: list[set[LegId]] = field(default_factory=list)


@dataclass(slots=True)
class _Wishes:
    """What one leg takes part in."""

    pairs: set[tuple[LegId, LegId]] = field(default_factory=set)
    sources: set[int] = field(default_factory=set)
    recorders: set[int] = field(default_factory=set)
    heard_by: set[tuple[int, int]] = field(default_factory=set)  # (recorder, channel) that get all it hears
    ears: int = 0  # who measures its level


class Mixer:
    """All audio of one phone. `media_of` returns a leg's port, or None while it has none; `alive` says whether the leg
    is still in the tables; `discard` keeps an object until it may die.
    """

    def __init__(
        self,
        post: Callable[[Event], None],
        media_of: Callable[[LegId], Any],
        alive: Callable[[LegId], bool],
        discard: Callable[[Any], None],
    ) -> None:
        self._post = post
        self._media_of = media_of
        self._alive = alive
        self._discard = discard
        self._wishes: defaultdict[LegId, _Wishes] = defaultdict(_Wishes)
        self._sources: dict[int, _Source] = {}
        self._recorders: dict[int, _Recorder] = {}
        self._silence: Any = None
        self._ear: Any = None

    def open(self, silence: str, ear: Any) -> None:
        """Take a source of silence, which keeps the channels of a recording in step while nobody speaks, and a sink
        for what is only measured: the bridge does not read a port that nobody listens to.
        """
        self._ear = ear
        if silence:
            self._silence = pj.AudioMediaPlayer()
            self._silence.createPlayer(silence, 0)

    def close(self) -> None:
        """Close every recorder's files and stop every player."""
        for number in list(self._recorders):
            self.stop_recording(number)
        for number in list(self._sources):
            self.stop(number)
        self._silence = self._ear = None

    def ready(self, leg: LegId) -> None:
        """Connect everything that waited for this leg's media."""
        media = self._media_of(leg)
        wishes = self._wishes.get(leg)
        if media is None or wishes is None:
            return
        for speaker, listener in wishes.pairs:
            self._connect(speaker, listener)
        for number in wishes.sources:
            _transmit(self._sources[number].media, media)
        if wishes.ears:
            _transmit(media, self._ear)
        for number in wishes.recorders:
            recorder = self._recorders[number]
            for channel, group in enumerate(recorder.legs):
                if leg in group:
                    _transmit(media, recorder.files[channel])

    def forget(self, leg: LegId) -> None:
        """Drop a leg that has ended; the bridge itself lets go of its port."""
        wishes = self._wishes.get(leg)
        if wishes is None:
            return
        for number, channel in tuple(wishes.heard_by):
            self.record_heard(number, channel, leg, False)
        del self._wishes[leg]
        for pair in wishes.pairs:
            other = pair[0] if pair[1] == leg else pair[1]
            if other in self._wishes:
                self._wishes[other].pairs.discard(pair)
        for number in tuple(wishes.sources):
            self.stop(number)
        for number in wishes.recorders:
            for group in self._recorders[number].legs:
                group.discard(leg)

    def join(self, pairs: Pairs) -> None:
        """Let each speaker be heard by its listener."""
        for speaker, listener in pairs:
            if self._alive(speaker) and self._alive(listener):
                self._wishes[speaker].pairs.add((speaker, listener))
                self._wishes[listener].pairs.add((speaker, listener))
                self._connect(speaker, listener)

    def part(self, pairs: Pairs) -> None:
        """Take `join` back."""
        for pair in pairs:
            for leg in pair:
                if leg in self._wishes:
                    self._wishes[leg].pairs.discard(pair)
            source = self._media_of(pair[0])
            if source is not None:
                for sink in self._sinks(pair[1]):
                    with contextlib.suppress(pj.Error):
                        source.stopTransmit(sink)

    def play(self, leg: LegId, number: int, path: str, loop: bool) -> None:
        """Play a WAV file to a leg; what cannot be played is done at once."""
        player = _Player(self._post, leg, number)
        try:
            player.createPlayer(path, 0 if loop else pj.PJMEDIA_FILE_NO_LOOP)
        except pj.Error as error:
            log.warning("leg=%d cannot play %s: %s", leg, path, plain(error))
            self._post(PlayDone(leg, number))
            return
        self._add_source(leg, number, player)

    def tone(self, leg: LegId, number: int, cadence: Cadence) -> None:
        """Play a tone to a leg, over and over."""
        tones = pj.ToneDescVector()
        for on_ms, off_ms in cadence.steps:
            tone = pj.ToneDesc()
            tone.freq1 = cadence.frequencies[0]
            tone.freq2 = cadence.frequencies[1] if len(cadence.frequencies) > 1 else 0
            tone.on_msec, tone.off_msec = on_ms, off_ms
            tones.append(tone)
        generator = pj.ToneGenerator()
        generator.createToneGenerator(CLOCK_RATE, 1)
        generator.play(tones, True)
        self._add_source(leg, number, generator)

    def digits(self, leg: LegId, number: int, digits: str) -> None:
        """Play digits to a leg as tones, once; they take `DIGIT_SECONDS` each."""
        tones = pj.ToneDigitVector()
        for digit in digits:
            tone = pj.ToneDigit()
            tone.digit, tone.on_msec, tone.off_msec = digit.lower(), _TONE_MS, int(DIGIT_SECONDS * 1000) - _TONE_MS
            tones.append(tone)
        generator = pj.ToneGenerator()
        generator.createToneGenerator(CLOCK_RATE, 1)
        generator.playDigits(tones)
        self._add_source(leg, number, generator)

    def _add_source(self, leg: LegId, number: int, source: Any) -> None:
        if not self._alive(leg):
            self._discard(source)
            return
        self._sources[number] = _Source(leg, source)
        self._wishes[leg].sources.add(number)
        for sink in self._sinks(leg):
            _transmit(source, sink)

    def stop(self, number: int) -> None:
        """Stop a player or a tone."""
        source = self._sources.pop(number, None)
        if source is None:
            return
        if source.leg in self._wishes:
            self._wishes[source.leg].sources.discard(number)
        self._discard(source.media)

    def record(self, number: int, groups: list[set[LegId]], paths: list[str]) -> None:
        """Record each group of legs into its own file."""
        files: list[Any] = []
        for path in paths:
            recorder = pj.AudioMediaRecorder()
            try:
                recorder.createRecorder(path)
            except pj.Error as error:
                log.error("cannot record to %s: %s", path, plain(error))
                for file in files:
                    self._discard(file)
                self._post(RecordFailed(number, plain(error)))
                return
            files.append(recorder)
        self._recorders[number] = _Recorder(files, [set() for _ in groups])
        for channel, group in enumerate(groups):
            if self._silence is not None:
                _transmit(self._silence, files[channel])
            for leg in group:
                self.record_also(number, channel, leg)

    def record_also(self, number: int, channel: int, leg: LegId) -> None:
        """Add a leg to one channel."""
        recorder = self._recorders.get(number)
        if recorder is None or not self._alive(leg):
            return
        recorder.legs[channel].add(leg)
        self._wishes[leg].recorders.add(number)
        media = self._media_of(leg)
        if media is not None:
            _transmit(media, recorder.files[channel])

    def record_without(self, number: int, channel: int, leg: LegId) -> None:
        """Take a leg out of one channel."""
        recorder = self._recorders.get(number)
        if recorder is None or leg not in recorder.legs[channel]:
            return
        recorder.legs[channel].discard(leg)
        if leg in self._wishes and not any(leg in group for group in recorder.legs):
            self._wishes[leg].recorders.discard(number)
        media = self._media_of(leg)
        if media is not None:
            with contextlib.suppress(pj.Error):
                media.stopTransmit(recorder.files[channel])

    def record_heard(self, number: int, channel: int, leg: LegId, wanted: bool) -> None:
        """Record in one channel also all that a leg hears, or no longer."""
        recorder = self._recorders.get(number)
        if recorder is None or not self._alive(leg) and wanted:
            return
        wishes, file = self._wishes[leg], recorder.files[channel]
        speakers = (self._media_of(speaker) for speaker, listener in wishes.pairs if listener == leg)
        heard = [*speakers, *(self._sources[source].media for source in wishes.sources)]
        if wanted:
            wishes.heard_by.add((number, channel))
        else:
            wishes.heard_by.discard((number, channel))
        for media in heard:
            if media is not None and wanted:
                _transmit(media, file)
            elif media is not None:
                with contextlib.suppress(pj.Error):
                    media.stopTransmit(file)

    def measure(self, leg: LegId, wanted: bool) -> None:
        """Let the level of a leg be measured, or no longer."""
        if not self._alive(leg):
            return
        wishes, media = self._wishes[leg], self._media_of(leg)
        wishes.ears += 1 if wanted else -1
        if media is None:
            return
        if wanted:
            _transmit(media, self._ear)
        elif not wishes.ears:
            with contextlib.suppress(pj.Error):
                media.stopTransmit(self._ear)

    def level(self, leg: LegId) -> int:
        """Return the level of a leg that is measured, 0 to 49: see `pjsip_watch.SILENT`."""
        media = self._media_of(leg)
        if media is None:
            return 0
        try:
            return int(media.getTxLevel())
        except pj.Error:
            return 0

    def stop_recording(self, number: int) -> None:
        """Close the files."""
        recorder = self._recorders.pop(number, None)
        if recorder is None:
            return
        for leg in set().union(*recorder.legs):
            self._wishes[leg].recorders.discard(number)
        for wishes in self._wishes.values():
            wishes.heard_by = {one for one in wishes.heard_by if one[0] != number}
        recorder.files.clear()  # the last reference: the library writes the header and closes the file
        self._post(RecordClosed(number))

    def _connect(self, speaker: LegId, listener: LegId) -> None:
        source = self._media_of(speaker)
        if source is not None:
            for sink in self._sinks(listener):
                _transmit(source, sink)

    def _sinks(self, listener: LegId) -> list[Any]:
        """Return where goes what a leg is to hear: to its own port, if it has one, and into what records it."""
        media, wishes = self._media_of(listener), self._wishes.get(listener)
        files = [self._recorders[number].files[channel] for number, channel in wishes.heard_by] if wishes else []
        return files if media is None else [media, *files]


def _transmit(source: Any, sink: Any) -> None:
    try:
        source.startTransmit(sink)
    except pj.Error as error:
        log.warning("audio could not be connected: %s", plain(error))


def plain(error: Any) -> str:
    """Return the library's own words for an error, without its file and line."""
    return str(getattr(error, "reason", "") or error)
