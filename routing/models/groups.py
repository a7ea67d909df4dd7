"""Ring groups with their members in order: who rings when, and what follows when nobody answers."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import connection, models

from routing import loops
from routing.models.access import url_field
from routing.models.base import Account, method_field
from routing.models.endings import Ending, EndingKind, check_account, check_ending, ending_of
from routing.models.schedules import Schedule
from routing.models.targets import Endpoint
from routing.models.voicemail import Voicemail
from routing.validators import RECORDING_EVENTS, normal_events, validate_caller_id, with_code

ENDINGS = ("fallback", "closed")  # the choices of what becomes of a call that the group does not take
WEIGHT = 50
MAX_NOUNS = 10  # Twilio: one <Dial> takes at most ten nouns


class RingGroup(models.Model):
    """Endpoints that ring together or one after the other: what a `<Dial>` says."""

    class Strategy(models.TextChoices):
        PARALLEL = "parallel", "Parallel – all at once, the first to answer gets the call"
        SEQUENTIAL = "sequential", "Sequential – one after the other, in order"
        RANDOM = "random", "Random – one after the other, the order drawn for each call"
        ROUND_ROBIN = "round-robin", "Round robin – one after the other, each call begins with the next member"
        LONGEST_IDLE = "longest-idle", "Longest idle – one after the other, who has not talked for longest first"
        WEIGHTED = "weighted", "Weighted – one after the other, drawn by the members' weights"

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
    strategy = models.CharField(max_length=12, choices=Strategy.choices, default=Strategy.PARALLEL)
    ring_timeout = models.PositiveSmallIntegerField(
        "ring timeout",
        default=30,
        validators=[MinValueValidator(5), MaxValueValidator(600)],
        help_text="Seconds to ring, 5 to 600; for each member when they ring one after the other.",
    )
    skip_busy = models.BooleanField(
        "skip busy members",
        default=False,
        help_text="Members who are in a call are not rung. If all are, nobody answers, and at once.",
    )
    exclude_caller = models.BooleanField(
        "leave out the caller",
        default=True,
        help_text="A member who calls this group is not rung itself.",
    )
    confirm = models.BooleanField(
        "confirm with 1",
        default=False,
        help_text="Whoever answers hears who calls, and gets the call by pressing 1. Keeps mobile mailboxes from "
        "taking it. An endpoint's own screening follows after that.",
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
    caller_id_prefix = models.CharField(
        "caller ID prefix",
        max_length=24,
        blank=True,
        validators=[validate_caller_id],
        help_text="Goes before the caller's number on the members' displays, such as Sales- for Sales-4930123456: "
        "letters, digits and + - _ . only.",
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
        self._check_loop()

    @property
    def if_unanswered(self) -> Ending:
        """Return what becomes of a call that nobody takes."""
        return ending_of(self, "fallback")

    @property
    def if_closed(self) -> Ending:
        """Return what becomes of a call outside the opening hours."""
        return ending_of(self, "closed")

    @property
    def leads_to(self) -> dict[str, int]:
        """Return the ids of the groups that a call can go on to, by the field that names them."""
        found = {}
        if self.fallback == EndingKind.GROUP and self.fallback_group_id:
            found["fallback_group"] = self.fallback_group_id
        if self.schedule_id and self.closed == EndingKind.GROUP and self.closed_group_id:
            found["closed_group"] = self.closed_group_id
        return found

    def _check_loop(self) -> None:
        own = self.leads_to
        if not self.pk or not own:
            return
        if connection.in_atomic_block:
            # Two changes at once, each fine by itself, would close a loop: the second waits for the first.
            Account.objects.select_for_update(no_key=True).filter(pk=self.account_id).first()
        others = RingGroup.objects.filter(account=self.account_id).exclude(pk=self.pk)
        groups = others.only("name", "schedule_id", *(f"{end}{part}" for end in ENDINGS for part in ("", "_group_id")))
        names, edges = {self.pk: self.name}, {}
        for group in groups:
            names[group.pk], edges[group.pk] = group.name, list(group.leads_to.values())
        for field, pk in own.items():
            if way := loops.chain_back(self.pk, {**edges, self.pk: [pk]}):
                chain = " → ".join(names[pk] for pk in way)
                text = f"{chain}: an unanswered call would go round for ever. Choose another group."
                raise ValidationError({field: text})


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
    ring_timeout = models.PositiveSmallIntegerField(
        "rings for",
        null=True,
        blank=True,
        validators=[MinValueValidator(5), MaxValueValidator(600)],
        help_text="Seconds, 5 to 600. Empty: the group's. No effect while all ring at once.",
    )
    weight = models.PositiveSmallIntegerField(
        default=WEIGHT,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="1 to 100, for the strategy “weighted”: of 20 and 10, the first begins in two of three calls.",
    )
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
