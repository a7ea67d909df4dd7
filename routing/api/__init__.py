"""Twilio's REST API, /2010-04-01/: its plumbing, and the resources of `routing`. `calls.api` has those of calls.

How a resource is written:

    class WidgetBody(Body):                            # rendering: exactly the documented keys, in order
        sid = Words()
        date_created = Date(source="created")
        uri = Uri(lambda row: uri(row.account_id, "Widgets", row.sid))

    class WidgetParameters(Parameters):                # parameters: exactly the documented names
        code = 21240                                   # of errors whose field has none
        FriendlyName = Text(source="friendly_name", required=True)
        VoiceUrl = Url(source="voice_url")

    class WidgetRows(Rows[Widget]):
        body, parameters = WidgetBody, WidgetParameters

        def rows(self) -> QuerySet[Widget]:            # only what belongs to `self.account`
            return Widget.objects.filter(account=self.account)

    class Widgets(WidgetRows, ListView[Widget], CreateView[Widget]):
        key = "widgets"

        def create(self, values): ...                  # in a transaction; raise ApiError(code, message)

    class OneWidget(WidgetRows, FetchView[Widget], UpdateView[Widget], DeleteView[Widget]): ...

and in urls.py `*resource("Accounts/<sid:account_sid>/Widgets", Widgets.as_view(), "widgets")`, the second with
`/<sid:sid>`. Authentication, subaccounts, rate, size, paging, error bodies and OpenAPI come with the base classes.
"""
