"""Where calls go: endpoints, ring groups with their members in order, and the routes that lead to them."""

from __future__ import annotations

from dataclasses import replace

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from routing import outbound, sipuri
from routing.models.access import SipDomain, url_field
from routing.models.address import SipAddress, sip_error
from routing.models.base import Account, Ordered, method_field
from routing.models.endings import Ending, EndingKind, check_account, check_ending, ending_of
from routing.models.schedules import Schedule
from routing.models.voicemail import Voicemail
from routing.validators import (
    RECORDING_EVENTS,
    normal_events,
    parse_headers,
    validate_caller_id,
    validate_pattern,
    with_code,
)

MAX_NOUNS = 10  # Twilio: one <Dial> takes at most ten nouns


class Endpoint(SipAddress):
    """A phone or application that calls are sent to: what a `<Sip>` noun says, and the client of its name."""

    account = models.ForeignKey(Account, models.PROTECT, related_name="endpoints")
    name = models.CharField(
        max_length=64, help_text="Whose phone. The Client noun of TwiML finds it by this name, in whatever case."
    )
    uri = models.CharField(
        "SIP URI",
        max_length=1300,
        help_text="Where it is reached, such as sip:alice@198.51.100.7:5060. Under 255 characters. "
        "Transport, region, secure and headers in it move to their own fields.",
    )
    headers = models.TextField(
        "custom headers",
        blank=True,
        help_text="One on each line, as Name: value. Names begin with X-, or are User-to-User. "
        "Under 1024 characters once encoded.",
    )
    status_callback = url_field("status callback URL", "Told of the progress of each call to this endpoint.")
    status_callback_events = models.CharField(
        "status callback events",
        max_length=64,
        blank=True,
        help_text="Which of initiated, ringing, answered and completed it is told of. None: completed.",
    )
    status_callback_method = method_field("status callback method")
    screening_url = url_field(
        "screening URL", "TwiML that the one who answers hears before the two are connected; Hangup in it declines."
    )
    screening_method = method_field("screening method")
    enabled = models.BooleanField(default=True, help_text="A disabled endpoint is not rung.")

    class Meta:
        ordering = ("name", "id")

    def __str__(self) -> str:
        return self.name

    def sip_uri(self) -> sipuri.SipUri:
        """Return the URI with all that its fields say in it; raise `SipUriError` or `ValidationError`."""
        uri = super().sip_uri()
        return replace(uri, headers=uri.headers + parse_headers(self.headers))

    def way(self) -> outbound.Way:
        """Return how the endpoint is reached; raise `SipUriError`, `ValidationError` or `SecretError`."""
        return outbound.Way(self.sip_uri(), self.username or None, self.password or None)

    def clean(self) -> None:
        """Move what the URI says into the fields; refuse contradictions and a name that is taken."""
        self._take_headers(self._parsed())
        super().clean()
        self._check_name()
        try:
            self.status_callback_events = normal_events(self.status_callback_events)
        except ValidationError as error:
            raise ValidationError({"status_callback_events": error}) from error

    def _check_name(self) -> None:
        # In Python: databases differ in what they take for the same letter.
        others = Endpoint.objects.filter(account=self.account_id).exclude(pk=self.pk).only("name", "uri")
        key = outbound.client_key(self.name)
        if other := next((one for one in others if outbound.client_key(one.name) == key), None):
            raise ValidationError(
                {
                    "name": f"Endpoint {other} at {other.address} has this name already, and <Client> finds endpoints "
                    "by name in whatever case: choose another."
                }
            )

    def _take_headers(self, parsed: sipuri.SipUri) -> None:
        try:
            headers = parsed.headers + parse_headers(self.headers)
            replace(parsed, headers=headers)
        except sipuri.SipUriError as error:
            raise ValidationError({"headers": sip_error(error)}) from error
        except ValidationError as error:
            raise ValidationError({"headers": error}) from error
        names = [name.lower() for name, _ in headers]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValidationError({"headers": f"{twice} is given twice: keep one (the SIP URI may have headers too)."})
        self.headers = "\n".join(f"{name}: {value}" for name, value in headers)


class RingGroup(models.Model):
    """Endpoints that ring together or one after the other: what a `<Dial>` says."""

    class Strategy(models.TextChoices):
        PARALLEL = "parallel", "Parallel – all at once, the first to answer gets the call"
        SEQUENTIAL = "sequential", "Sequential – one after the other, in order"

    class Record(models.TextChoices):
        NO = "do-not-record", "Do not record"
        ANSWER = "record-from-answer", "From answer, one channel"
        RINGING = "record-from-ringing", "From ringing, one channel"
        ANSWER_DUAL = "record-from-answer-dual", "From answer, two channels (caller left)"
        RINGING_DUAL = "record-from-ringing-dual", "From ringing, two channels (caller left)"

    class RingTone(models.TextChoices):
        AUTOMATIC = "", "Automatic"
        AT = "at", "Austria"
        AU = "au", "Australia"
        BG = "bg", "Bulgaria"
        BR = "br", "Brazil"
        BE = "be", "Belgium"
        CH = "ch", "Switzerland"
        CL = "cl", "Chile"
        CN = "cn", "China"
        CZ = "cz", "Czechia"
        DE = "de", "Germany"
        DK = "dk", "Denmark"
        EE = "ee", "Estonia"
        ES = "es", "Spain"
        FI = "fi", "Finland"
        FR = "fr", "France"
        GR = "gr", "Greece"
        HU = "hu", "Hungary"
        IL = "il", "Israel"
        IN = "in", "India"
        IT = "it", "Italy"
        LT = "lt", "Lithuania"
        JP = "jp", "Japan"
        MX = "mx", "Mexico"
        MY = "my", "Malaysia"
        NL = "nl", "Netherlands"
        NO = "no", "Norway"
        NZ = "nz", "New Zealand"
        PH = "ph", "Philippines"
        PL = "pl", "Poland"
        PT = "pt", "Portugal"
        RU = "ru", "Russia"
        SE = "se", "Sweden"
        SG = "sg", "Singapore"
        TH = "th", "Thailand"
        TW = "tw", "Taiwan"
        UK = "uk", "United Kingdom"
        US = "us", "United States"
        US_OLD = "us-old", "United States (old)"
        VE = "ve", "Venezuela"
        ZA = "za", "South Africa"

    account = models.ForeignKey(Account, models.PROTECT, related_name="ring_groups")
    name = models.CharField(max_length=64, help_text="Who answers here, such as Support.")
    strategy = models.CharField(max_length=10, choices=Strategy.choices, default=Strategy.PARALLEL)
    ring_timeout = models.PositiveSmallIntegerField(
        "ring timeout",
        default=30,
        validators=[MinValueValidator(5), MaxValueValidator(600)],
        help_text="Seconds to ring, 5 to 600; each member for itself when sequential.",
    )
    time_limit = models.PositiveIntegerField(
        "time limit",
        default=14400,
        validators=[MinValueValidator(1), MaxValueValidator(14400)],
        help_text="Seconds after which a connected call is ended, 1 to 14400 (four hours).",
    )
    answer_on_bridge = models.BooleanField(
        "answer on bridge",
        default=True,
        help_text="The caller hears ringing, and the call is answered only when a member has answered.",
    )
    record = models.CharField(max_length=24, choices=Record.choices, default=Record.NO)
    trim = models.BooleanField("trim silence", default=False, help_text="Cut silence off both ends of the recording.")
    recording_status_callback = url_field(
        "recording callback URL", "Told when the recording of a call to this group can be fetched."
    )
    recording_status_callback_events = models.CharField(
        "recording callback events",
        max_length=64,
        blank=True,
        help_text="Which of in-progress, completed and absent it is told of. None: completed.",
    )
    recording_status_callback_method = method_field("recording callback method")
    caller_id = models.CharField(
        "caller ID",
        max_length=64,
        blank=True,
        validators=[validate_caller_id],
        help_text="What the members see as the caller: letters, digits and + - _ . only. Empty: the caller's own.",
    )
    hangup_on_star = models.BooleanField(
        "hang up on *", default=False, help_text="The caller can end the call to the member by pressing *."
    )
    ring_tone = models.CharField(
        "ring tone",
        max_length=6,
        blank=True,
        choices=RingTone.choices,
        default=RingTone.AUTOMATIC,
        help_text="The ringing that the caller hears. Automatic: what the called side sends.",
    )
    fallback = models.CharField(
        "if nobody answers",
        max_length=16,
        choices=EndingKind.choices,
        default=EndingKind.HANGUP,
    )
    fallback_group = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="fallback_of", verbose_name="other group"
    )
    fallback_endpoint = models.ForeignKey(
        Endpoint, models.PROTECT, null=True, blank=True, related_name="fallback_of", verbose_name="endpoint"
    )
    fallback_voicemail = models.ForeignKey(
        Voicemail, models.PROTECT, null=True, blank=True, related_name="fallback_of", verbose_name="voicemail box"
    )
    fallback_text = models.TextField(
        "spoken message", max_length=4096, blank=True, help_text="Read to the caller, then the call is hung up."
    )
    schedule = models.ForeignKey(
        Schedule,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="groups",
        verbose_name="opening hours",
        help_text="When the group is rung. Empty: always.",
    )
    closed = models.CharField(
        "outside opening hours", max_length=16, choices=EndingKind.choices, default=EndingKind.HANGUP
    )
    closed_group = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="closed_of", verbose_name="other group when closed"
    )
    closed_endpoint = models.ForeignKey(
        Endpoint, models.PROTECT, null=True, blank=True, related_name="closed_of", verbose_name="endpoint when closed"
    )
    closed_voicemail = models.ForeignKey(
        Voicemail,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="closed_of",
        verbose_name="voicemail box when closed",
    )
    closed_text = models.TextField(
        "spoken message when closed",
        max_length=4096,
        blank=True,
        help_text="Read to the caller, then the call is hung up.",
    )

    class Meta:
        ordering = ("name", "id")
        verbose_name = "ring group"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a fallback that is incomplete, foreign, or leads back here, and unknown events."""
        try:
            self.recording_status_callback_events = normal_events(
                self.recording_status_callback_events, RECORDING_EVENTS
            )
        except ValidationError as error:
            raise ValidationError({"recording_status_callback_events": error}) from error
        check_ending(self, "fallback")
        check_ending(self, "closed")
        check_account(self.account_id, "schedule", self.schedule)
        if self.fallback == EndingKind.GROUP:
            self._check_loop()

    @property
    def if_unanswered(self) -> Ending:
        """Return what becomes of a call that nobody takes."""
        return ending_of(self, "fallback")

    @property
    def if_closed(self) -> Ending:
        """Return what becomes of a call outside the opening hours."""
        return ending_of(self, "closed")

    def _check_loop(self) -> None:
        names, seen, group = [self.name], {self.pk}, self.fallback_group
        while group and group.fallback == EndingKind.GROUP and group.pk not in seen:
            names.append(group.name)
            seen.add(group.pk)
            group = group.fallback_group
        if group and group.pk in seen:
            chain = " → ".join([*names, group.name])
            raise ValidationError(
                {"fallback_group": f"{chain}: an unanswered call would go round for ever. Choose another group."}
            )


def check_members(strategy: str, enabled: int) -> None:
    """Refuse a parallel group with more members than one `<Dial>` takes."""
    if strategy == RingGroup.Strategy.PARALLEL and enabled > MAX_NOUNS:
        text = (
            f"{enabled} enabled members, but at most {MAX_NOUNS} can ring at once: make the strategy sequential, "
            "disable some, or split the group and let this one fall back to the other."
        )
        raise with_code(13250, text)


class RingGroupMember(models.Model):
    """An endpoint's place in a ring group."""

    group = models.ForeignKey(RingGroup, models.CASCADE, related_name="members")
    endpoint = models.ForeignKey(Endpoint, models.CASCADE, related_name="memberships")
    enabled = models.BooleanField(default=True, help_text="A disabled member is not rung.")
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ("position", "id")
        verbose_name = "member"
        constraints = [
            models.UniqueConstraint(
                fields=["group", "endpoint"],
                name="routing_member_once",
                violation_error_message="This endpoint is in the group already: keep one of the two.",
            )
        ]

    def __str__(self) -> str:
        return str(self.endpoint)


class Route(Ordered):
    """What a dialled user means at a SIP domain; the first route in order that matches is taken."""

    domain = models.ForeignKey(SipDomain, models.CASCADE, related_name="routes", verbose_name="SIP domain")
    pattern = models.CharField(
        "dialled user",
        max_length=128,
        validators=[validate_pattern],
        help_text="What is before the @ of the dialled address: 100, a prefix such as 555*, or * for everything.",
    )
    group = models.ForeignKey(RingGroup, models.PROTECT, null=True, blank=True, related_name="routes")
    endpoint = models.ForeignKey(Endpoint, models.PROTECT, null=True, blank=True, related_name="routes")
    voicemail = models.ForeignKey(
        Voicemail, models.PROTECT, null=True, blank=True, related_name="routes", verbose_name="voicemail box"
    )
    url = url_field("TwiML URL", "A TwiML application elsewhere that takes over the call.")
    method = method_field("method")
    enabled = models.BooleanField(default=True, help_text="A disabled route is passed over.")

    class Meta:
        ordering = ("position", "id")

    def __str__(self) -> str:
        return f"{self.pattern} at {self.domain}"

    def matches(self, user: str) -> bool:
        """Say whether the pattern covers this dialled user."""
        if self.pattern.endswith("*"):
            return user.startswith(self.pattern[:-1])
        return user == self.pattern

    def clean(self) -> None:
        """Refuse anything but exactly one destination, of the domain's account."""
        chosen = [name for name in ("group", "endpoint", "voicemail", "url") if getattr(self, name)]
        if len(chosen) != 1:
            text = "Choose exactly one destination: a group, an endpoint, a voicemail box, or a TwiML URL."
            raise ValidationError(dict.fromkeys(chosen[1:] or ["group"], text))
        if self.domain_id:
            for field in ("group", "endpoint", "voicemail"):
                check_account(self.domain.account_id, field, getattr(self, field))
