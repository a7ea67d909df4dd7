"""Notes and tags on calls, and saved views: who may write them, what they may be, and where they are found."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from calls import ledger, notes
from calls.entries import CallRecord
from calls.models import Call, CallNote, CallTag, SavedView, Tag
from tests import samples

pytestmark = pytest.mark.django_db

LIST = "/admin/calls/call/"
HOSTILE = '<img src=x onerror=alert(1)>\u202e"\x07'


@pytest.fixture
def call() -> CallRecord:
    record = samples.call(samples.account())
    ledger.apply([record])
    return record


def page(of: CallRecord, part: str = "change") -> str:
    return f"{LIST}{of.sid}/{part}/"


def operator(name: str, *permissions: str) -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def found(client: Client, query: str) -> list[str]:
    return [row.pk for row in client.get(f"{LIST}?{query}").context["cl"].result_list]


class TestNotes:
    def test_a_note_says_who_wrote_it(self, admin_client: Client, call: CallRecord) -> None:
        admin_client.post(page(call, "notes/add"), {"text": " Wants a refund.\nCall back. "})
        note = CallNote.objects.get()
        assert (note.text, note.author) == ("Wants a refund.\nCall back.", "admin")
        html = admin_client.get(page(call)).content.decode()
        assert "Wants a refund.<br>Call back." in html
        assert found(admin_client, "q=REFUND") == [call.sid]

    @pytest.mark.parametrize(("text", "said"), [("  ", "write something"), ("x" * 2001, "at most 2000")])
    def test_what_cannot_be_kept_is_said(self, admin_client: Client, call: CallRecord, text: str, said: str) -> None:
        html = admin_client.post(page(call, "notes/add"), {"text": text}, follow=True).content.decode()
        assert said in html
        assert not CallNote.objects.exists()

    def test_a_call_has_only_so_many(self, admin_client: Client, call: CallRecord) -> None:
        CallNote.objects.bulk_create(CallNote(call_id=call.sid, text="x", author="ann") for _ in range(200))
        answer = admin_client.post(page(call, "notes/add"), {"text": "y"}, headers={"Accept": "application/json"})
        assert answer.status_code == 400
        assert "delete one first" in answer.json()["error"]

    def test_ones_own_note_can_be_deleted_and_others_with_the_permission(self, call: CallRecord) -> None:
        ann = operator("ann", "view_call", "add_callnote")
        bob = operator("bob", "view_call", "add_callnote")
        boss = operator("boss", "view_call", "delete_callnote")
        for _ in range(2):
            ann.post(page(call, "notes/add"), {"text": "Mine."})
        first, second = CallNote.objects.order_by("pk")
        assert bob.post(page(call, f"notes/{first.pk}/delete")).status_code == 403
        assert ann.post(page(call, f"notes/{first.pk}/delete")).status_code == 302
        assert boss.post(page(call, f"notes/{second.pk}/delete")).status_code == 302
        assert boss.post(page(call, f"notes/{second.pk}/delete")).status_code == 302
        assert not CallNote.objects.exists()

    def test_who_may_only_look_sees_notes_and_no_forms(self, call: CallRecord) -> None:
        notes.add_note(Call.objects.get(), "Seen.", "ann")
        viewer = operator("viewer", "view_call")
        html = viewer.get(page(call)).content.decode()
        assert "Seen." in html
        assert "notes/add" not in html
        assert "tags/add" not in html
        for part in ("notes/add", "tags/add", "tags/1/delete"):
            assert viewer.post(page(call, part), {"text": "x", "tag": "x"}).status_code == 403
        assert operator("nobody").post(page(call, "notes/add"), {"text": "x"}).status_code == 403

    def test_they_are_kept_when_the_call_is_written_again(self, call: CallRecord) -> None:
        notes.add_note(Call.objects.get(), "Kept.", "ann")
        notes.add_tags(Call.objects.get(), "kept", "ann")
        call.reason = "Known now."
        ledger.apply([call])
        assert Call.objects.get().reason == "Known now."
        assert (CallNote.objects.count(), CallTag.objects.count()) == (1, 1)

    def test_of_no_call_is_not_found(self, admin_client: Client) -> None:
        assert admin_client.post(f"{LIST}CA1/notes/add/", {"text": "x"}).status_code == 404
        assert admin_client.get(f"{LIST}CA1/notes/add/").status_code == 405


class TestTags:
    def test_several_are_added_at_once_each_once(self, admin_client: Client, call: CallRecord) -> None:
        answer = admin_client.post(
            page(call, "tags/add"), {"tag": "VIP,  to  check , vip"}, headers={"Accept": "application/json"}
        )
        assert answer.json() == {"message": "Tagged vip, to check.", "tags": ["to check", "vip"], "notes": 0}
        assert CallTag.objects.filter(added_by="admin").count() == 2
        html = admin_client.post(page(call, "tags/add"), {"tag": "Vip"}, follow=True).content.decode()
        assert "has this tag already" in html

    def test_calls_are_found_by_tag(self, admin_client: Client, call: CallRecord) -> None:
        ledger.apply([samples.call(samples.account())])
        notes.add_tags(Call.objects.get(pk=call.sid), "vip", "ann")
        assert found(admin_client, "tag=vip") == [call.sid]
        assert found(admin_client, "q=VIP") == [call.sid]
        assert found(admin_client, "tag=other") == []
        ledger.apply([samples.recording(call)])
        rows = admin_client.get("/admin/calls/recording/?tag=vip").context["cl"].result_list
        assert [row.call_id for row in rows] == [call.sid]

    def test_known_tags_of_the_account_are_offered(self, admin_client: Client, call: CallRecord) -> None:
        Tag.objects.create(account_id=call.account_sid, name="offered")
        Tag.objects.create(account=samples.account(), name="foreign")
        html = admin_client.get(page(call)).content.decode()
        assert '<option value="offered">' in html
        assert '<option value="foreign">' not in html

    @pytest.mark.parametrize(
        ("text", "said"),
        [(" , ", "write a word"), ("x" * 41, "at most 40"), (",".join(map(str, range(21))), "can have 20 tags")],
    )
    def test_what_cannot_be_kept_is_said(self, admin_client: Client, call: CallRecord, text: str, said: str) -> None:
        assert said in admin_client.post(page(call, "tags/add"), {"tag": text}, follow=True).content.decode()
        assert not Tag.objects.exists()

    def test_a_tag_that_no_call_has_is_forgotten(self, admin_client: Client, call: CallRecord) -> None:
        notes.add_tags(Call.objects.get(), "vip", "ann")
        row = CallTag.objects.get()
        assert "Tag vip is taken off" in _said(admin_client, page(call, f"tags/{row.pk}/delete"))
        assert not Tag.objects.exists()
        assert "was gone already" in _said(admin_client, page(call, f"tags/{row.pk}/delete"))


def _said(client: Client, path: str) -> str:
    return client.post(path, follow=True).content.decode()


class TestSavedViews:
    def save(self, client: Client, **values: str) -> str:
        return client.post(f"{LIST}views/save/", values, follow=True).content.decode()

    def test_a_view_is_shown_above_the_list_and_leads_to_it(self, admin_client: Client, call: CallRecord) -> None:
        html = self.save(admin_client, name="Busy ones", query="status__exact=busy&p=3&next=1.CA1&q=")
        assert "View Busy ones is kept." in html
        view = SavedView.objects.get()
        assert view.query == "status__exact=busy"
        assert 'href="?status__exact=busy" aria-current="true"' in html
        assert "Busy ones" in admin_client.get(LIST).content.decode()
        assert "Busy ones" not in admin_client.get("/admin/calls/recording/").content.decode()

    def test_the_same_name_replaces_it(self, admin_client: Client) -> None:
        self.save(admin_client, name="Mine", query="status__exact=busy")
        self.save(admin_client, name=" Mine ", query="?status__exact=failed", shared="on")
        assert [(view.query, view.shared) for view in SavedView.objects.all()] == [("status__exact=failed", True)]

    def test_others_see_only_what_is_shared_and_cannot_forget_it(self, admin_client: Client) -> None:
        self.save(admin_client, name="Private one", query="status__exact=busy")
        self.save(admin_client, name="Shared one", query="status__exact=failed", shared="on")
        ann = operator("ann", "view_call")
        html = ann.get(LIST).content.decode()
        assert "Shared one" in html
        assert "Private one" not in html
        for view in SavedView.objects.all():
            assert ann.post(f"{LIST}views/{view.pk}/delete/").status_code == 403
        assert SavedView.objects.count() == 2

    def test_it_can_be_forgotten(self, admin_client: Client) -> None:
        self.save(admin_client, name="Gone", query="status__exact=busy")
        path = f"{LIST}views/{SavedView.objects.get().pk}/delete/"
        assert "View Gone is forgotten" in _said(admin_client, path)
        assert admin_client.post(path).status_code == 302

    @pytest.mark.parametrize(
        ("name", "query", "said"),
        [
            (" ", "q=1", "give the view a name"),
            ("x" * 61, "q=1", "at most 60"),
            ("Long", "q=" + "x" * 2000, "too long"),
            ("Nul", "q=%00", "too long"),
        ],
    )
    def test_what_cannot_be_kept_is_said(self, admin_client: Client, name: str, query: str, said: str) -> None:
        assert said in self.save(admin_client, name=name, query=query)
        assert not SavedView.objects.exists()

    def test_hostile_names_are_shown_harmlessly(self, admin_client: Client) -> None:
        html = self.save(admin_client, name=HOSTILE, query="status__exact=busy", shared="on")
        assert "<img src=x" not in html
        assert "\u202e" not in html

    def test_without_the_permission_nothing_is_kept(self) -> None:
        assert operator("nobody").post(f"{LIST}views/save/", {"name": "x"}).status_code == 403
